"""Detectors with a network: their options, weights and facts; the code lies in their folders."""

from dataclasses import dataclass

import cv2

from annotator.detector import EDGES, Detector
from annotator.weights import published
from core.command_line.options import fraction, non_negative_float, option, positive_float
from core.deferred import Deferred

HED_WEIGHTS = published("ControlNetHED.pth", "Annotators/resolve/main", licence="Apache-2.0")


@dataclass(frozen=True)
class HEDOptions:
    """Form in which the soft edges are drawn."""

    hed_scribble: bool = option(False, bool, help="draw bold strokes instead of soft edges")


HED = Detector(
    "hed",
    HEDOptions,
    EDGES,
    Deferred("annotator.hed:make"),
    weights=(HED_WEIGHTS,),
    interpolation=cv2.INTER_LINEAR,
)


MLSD_WEIGHTS = published("mlsd_large_512_fp32.pth", licence="Apache-2.0")


@dataclass(frozen=True)
class MLSDOptions:
    """Thresholds of `annotator.mlsd.decode_lines`."""

    mlsd_thr_v: float = option(0.1, fraction, "FLOAT", "least probability of a line")
    mlsd_thr_d: float = option(
        0.1, non_negative_float, "PIXELS", "least length of a line, at half resolution"
    )


MLSD = Detector(
    "mlsd", MLSDOptions, EDGES, Deferred("annotator.mlsd:make"), weights=(MLSD_WEIGHTS,)
)


MIDAS_WEIGHTS = published("dpt_hybrid-midas-501f0c75.pt", sha256="501f0c75", licence="MIT")
MIDAS_A, MIDAS_BG_TH = 6.2, 0.4  # of the published demo; calls from Python have other defaults


@dataclass(frozen=True)
class MidasOptions:
    """Map to draw, and steepness of normals; the defaults are those of the published demo."""

    midas_output: str = option(
        "depth",
        choices=("depth", "normal"),
        help="what to draw; normals in the channel order of published hints: z, y, x",
    )
    midas_a: float = option(
        MIDAS_A, positive_float, "FLOAT", "z of the normals: the smaller, the steeper"
    )
    midas_bg_th: float = option(
        MIDAS_BG_TH,
        fraction,
        "FLOAT",
        "normals face the viewer where the depth in [0, 1] is below it",
    )


MIDAS = Detector(
    "midas",
    MidasOptions,
    "depth or normals",
    Deferred("annotator.midas:make"),
    weights=(MIDAS_WEIGHTS,),
    interpolation=cv2.INTER_LINEAR,
)


OPENPOSE_LICENCE = "non-commercial research only"
BODY_WEIGHTS = published("body_pose_model.pth", licence=OPENPOSE_LICENCE)
HAND_WEIGHTS = published("hand_pose_model.pth", licence=OPENPOSE_LICENCE)


@dataclass(frozen=True)
class OpenposeOptions:
    """Parts that are drawn beside the body."""

    openpose_hand: bool = option(False, bool, help="draw hands too")


OPENPOSE = Detector(
    "openpose",
    OpenposeOptions,
    "people",
    Deferred("annotator.openpose:make"),
    weights=(BODY_WEIGHTS,),
    weights_by_option={"openpose_hand": HAND_WEIGHTS},
)


UNIFORMER_WEIGHTS = published("upernet_global_small.pth", licence="Apache-2.0")


@dataclass(frozen=True)
class UniformerOptions:
    """Order of the channels that the network is shown."""

    uniformer_swap_channels: bool = option(
        True, bool, help="show the network B, G, R as the published code does"
    )


UNIFORMER = Detector(
    "uniformer",
    UniformerOptions,
    "classes",
    Deferred("annotator.uniformer:make"),
    weights=(UNIFORMER_WEIGHTS,),
)
