"""Options of the segmenter: its training, its scores, and the texts of its export."""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.command_line.options import (
    OptionError,
    non_negative_float,
    non_negative_int,
    option,
    positive_float,
    positive_int,
)
from core.hardware.device_options import DeviceOptions

# Small and fast, enough for phantoms. Of real micrographs it misses mitochondria that resnet18
# finds.
ENCODER = "tu-mobilenetv3_small_100"
SIZE_MULTIPLE = 32  # pixels; what a network of five levels needs, ours has four
SOURCES = ("real", "synthetic")
PICTURE_ROWS = 6  # of the picture that `score` draws
AUGMENTATION_NAMES = BASIC, STRONG = "basic", "strong"


def side_of_crops(text: str) -> int:
    """A positive multiple of `SIZE_MULTIPLE`."""
    value = positive_int(text)
    if value % SIZE_MULTIPLE:
        raise argparse.ArgumentTypeError(f"{value} is no multiple of {SIZE_MULTIPLE}")
    return value


def source_weight(text: str) -> tuple[str, float]:
    """`real=1.5` as a pair of name and weight."""
    name, equals, weight = text.partition("=")
    if name not in SOURCES or not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: expected real=WEIGHT or synthetic=WEIGHT")
    return name, non_negative_float(weight)


def check_encoder(encoder: str) -> None:
    """Raise OptionError for the field `encoder` where there is no encoder of that name."""
    import segmentation_models_pytorch as smp  # here: programs read their options before
    import timm

    # Only models that timm knows: it would download one whose name is that of a hub's file.
    is_timm = encoder.startswith("tu-") and timm.is_model(encoder.removeprefix("tu-"))
    if not is_timm and encoder not in smp.encoders.get_encoder_names():
        raise OptionError(
            "encoder",
            f"{encoder}: not an encoder of segmentation-models-pytorch, try resnet18 or {ENCODER}",
        )


@dataclass(frozen=True)
class SegmenterOptions:
    """Hyper-parameters of the segmenter's training."""

    batch_size: int = option(16, positive_int, "INT", "crops per step")
    learning_rate: float = option(3e-3, positive_float, "FLOAT", "highest learning rate of AdamW")
    image_size: int = option(
        128, side_of_crops, "PIXELS", f"side of the crops, a multiple of {SIZE_MULTIPLE}"
    )
    encoder: str = option(
        ENCODER,
        None,
        "NAME",
        "untrained encoder of segmentation-models-pytorch; "
        "real images want resnet18 (3 times slower)",
    )
    augmentation: str = option(
        BASIC,
        None,
        None,
        "basic: flips, quarter turns, brightness, contrast, blur, noise; strong: nnU-Net's kinds "
        "too (rotation, scaling, elastic, gamma, low resolution)",
        choices=AUGMENTATION_NAMES,
    )
    precision: str = option(
        "auto",
        choices=("auto", "32", "bf16"),
        help="auto: bf16 on a GPU that multiplies in it, else 32. bf16 halves the time of resnet18 "
        "on CPUs with AMX",
    )
    mix: tuple[tuple[str, float], ...] = option(
        (),
        source_weight,
        "SOURCE=WEIGHT",
        "how often each source is shown, for example real=1 synthetic=1, for all sources that "
        "there are; by default every image is shown as often as any other",
        nargs="+",
    )
    synthetic_first: int = option(
        0, non_negative_int, "STEPS", "steps at the beginning that show synthetic pairs alone"
    )
    validations: int = option(
        5, positive_int, "INT", "validations, evenly spread; the best weights are kept"
    )
    patience: int | None = option(
        None, positive_int, "INT", "stop after so many validations without a better mIoU"
    )
    seed: int = option(0, non_negative_int, "INT", "of weights, order and augmentation")
    num_workers: int = option(0, non_negative_int, "INT", "processes that read images")

    def check(self):
        """Raise OptionError for an unknown encoder or a mixture of nothing."""
        check_encoder(self.encoder)
        names = [name for name, _ in self.mix]
        if len(set(names)) < len(names):
            raise OptionError("mix", "names a source twice")
        if self.mix and not any(weight for _, weight in self.mix):
            raise OptionError("mix", "all weights are 0")

    def check_sources(self, numbers: Mapping[str, int], steps: int) -> None:
        """Raise OptionError where a source that the options name has no pairs, or is never shown.

        Args:
            numbers: pairs of each of `SOURCES`.
            steps: of the training.
        """
        for name, weight in self.mix:
            if weight and not numbers[name]:
                raise OptionError("mix", f"{name}={weight:g}, but there are no {name} pairs")
        for name in SOURCES:
            if self.mix and numbers[name] and name not in dict(self.mix):
                raise OptionError("mix", f"names no weight of {name}; {name}=0 leaves it out")
        if self.synthetic_first and not numbers["synthetic"]:
            raise OptionError("synthetic_first", "there are no synthetic pairs")
        if self.synthetic_first > steps:
            raise OptionError("synthetic_first", f"{self.synthetic_first} of only {steps} steps")
        if self.synthetic_first == steps and self.weights(numbers)[SOURCES.index("real")]:
            reason = f"all {steps} steps: real pairs would never be shown"
            raise OptionError("synthetic_first", reason)

    def weights(self, numbers: Mapping[str, int]) -> list[float]:
        """Weight of each of `SOURCES`: its share of the crops, relative to the others."""
        return [dict(self.mix).get(name, 0) if self.mix else numbers[name] for name in SOURCES]


@dataclass(frozen=True)
class BioimageOptions:
    """The texts with which a model is presented to people."""

    name: str = option(
        "Segmenter for electron micrographs", None, "TEXT", "name of the model, 5 to 128 letters"
    )
    authors: Sequence[str] = option((), None, "NAME", "who made it", nargs="+", required=True)
    licence: str | None = option(
        None, None, "SPDX", "licence of the model as SPDX names it, such as CC-BY-4.0"
    )
    class_names: Sequence[str] | None = option(
        None, None, "NAME", "of the classes, in order; class_0, ... when not given", nargs="+"
    )

    def check(self):
        """Raise OptionError for a name that the specification refuses."""
        if not 5 <= len(self.name) <= 128:
            raise OptionError("name", f"{len(self.name)} letters, expected 5 to 128")
        if bad := re.search(r"[^A-Za-z0-9_+\- ()]", self.name):
            raise OptionError("name", f"{bad[0]!r} is no letter, digit, space or one of _+-()")

    def names_of(self, num_classes: int) -> list[str]:
        """Names of the classes; raises OptionError where they are not as many, or not different."""
        names = list(self.class_names or (f"class_{i}" for i in range(num_classes)))
        if len(names) != num_classes or len(set(names)) != num_classes:
            raise OptionError("class_names", f"expected {num_classes} different names")
        return names


@dataclass(frozen=True)
class SegmenterScoreOptions:
    """Options of `score`."""

    checkpoint: Path = option(None, Path, "FILE", "segmenter that `train` wrote", required=True)
    shuffled: bool = option(
        False, bool, help="also score against the masks of other images: the level of chance"
    )
    output: Path | None = option(None, Path, "FILE", "JSON file to write")
    picture: Path | None = option(
        None, Path, "FILE", f"PNG to write: {PICTURE_ROWS} rows of image | mask | prediction"
    )


@dataclass(frozen=True)
class SegmenterRunOptions(DeviceOptions):
    """Options of both commands."""

    overwrite: bool = option(False, bool, help="replace files that exist")
