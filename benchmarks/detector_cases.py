"""Detectors with random weights, which get synthetic maps in place of their networks' outputs.

Random weights would give maps without edges, lines and people, and so nothing to do for the code
around a network.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn

from annotator import hed, midas, mlsd, openpose, uniformer
from annotator.openpose.maps import STRIDE
from annotator.synthetic_maps import FIGURE, edge_maps, heat_map, line_maps, pose_maps
from core.fetching.downloads import WeightsFile

# Joints of a hand, in sides of its square.
HAND = np.random.default_rng(0).uniform(0.2, 0.8, (openpose.hand.NUM_JOINTS, 2))


@dataclass(frozen=True)
class Case:
    """A detector to measure.

    Attributes:
        detector: class, with the folder of the weights as its argument.
        networks: classes of its networks, each with the file of its weights.
        answers: for each network, by its attribute in the detector, a function from the network's
            input to synthetic maps.
        options: of a call of the detector.
    """

    name: str
    detector: type
    networks: list[tuple[type[nn.Module], WeightsFile]]
    answers: dict[str, Callable]
    options: dict = field(default_factory=dict)


def median_seconds(function: Callable, repeats: int) -> float:
    """Median CPU time of all threads; other work on the machine hardly changes it."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return statistics.median(times)


# Planted maps


def draw_rings(size: int) -> np.ndarray:
    """Signed distance of every pixel to the nearest of many circles, (size, size)."""
    rows, columns = np.mgrid[:size, :size] - size / 2
    return (np.hypot(rows, columns) + 8) % 16 - 8  # a circle every 16 pixels


def draw_lines(size: int, rng: np.random.Generator) -> np.ndarray:
    """As many lines as M-LSD decodes at most, (lines, 4) in pixels."""
    starts = rng.uniform(0.1 * size, 0.9 * size, (mlsd.MAX_LINES, 2))
    ends = (starts + rng.uniform(-100, 100, starts.shape)).clip(0, size - 1)
    return np.concatenate([starts, ends], axis=1)


def draw_poses(x: torch.Tensor, people: int) -> list[torch.Tensor]:
    """OpenPose's fields and heat maps of full figures side by side, for an input (1, 3, h, w)."""
    side = x.shape[2] // STRIDE
    middles = (np.arange(people) + 0.5) * side / people  # x of each, in cells of the maps
    crowd = [FIGURE * 0.7 * side + (middle, side / 2) for middle in middles]
    heat, fields = pose_maps(crowd, side, side, sigma=0.7)
    return [torch.from_numpy(maps)[None] for maps in (fields, heat)]


def draw_hand(x: torch.Tensor) -> torch.Tensor:
    """Heat maps of one hand and the background for an input (N, 3, h, w)."""
    side = x.shape[2] // STRIDE
    joints = (*HAND, HAND[0])
    maps = [heat_map([joint * side], side, side, sigma=side / 40) for joint in joints]
    return torch.from_numpy(np.stack(maps))[None].expand(len(x), -1, -1, -1)


def make_cases(size: int, people: int) -> list[Case]:
    """All detectors with a network, for a square picture of `size` pixels."""
    rng = np.random.default_rng(0)
    edges = edge_maps(draw_rings(size))
    lines = line_maps(draw_lines(size, rng), size, size)[None]
    # A rough slope for MiDaS, (1, H, W): its values change nothing about the time.
    plane = torch.from_numpy(np.add.outer(np.arange(size), rng.uniform(0, 1, size))).float()[None]
    logits = torch.randn(1, 150, 128, 128)  # of a picture of 512 pixels, at stride 4

    def poses(x):
        """`draw_poses` of this many people."""
        return draw_poses(x, people)

    body = (openpose.network.BodyNetwork, openpose.BODY_WEIGHTS)
    hand = (openpose.network.HandNetwork, openpose.HAND_WEIGHTS)
    hed_network = (hed.HEDNetwork, hed.HED_WEIGHTS)
    midas_network = (midas.DPTHybrid, midas.MIDAS_WEIGHTS)
    mlsd_network = (mlsd.MLSDNetwork, mlsd.MLSD_WEIGHTS)
    uniformer_network = (uniformer.UniformerNetwork, uniformer.UNIFORMER_WEIGHTS)
    person = openpose.OpenposeDetector
    return [
        Case("hed", hed.HEDdetector, [hed_network], {"network": lambda x: edges}),
        Case("midas", midas.MidasDetector, [midas_network], {"network": lambda x: plane}),
        Case("mlsd", mlsd.MLSDdetector, [mlsd_network], {"network": lambda x: lines}),
        Case("openpose", person, [body], {"body": poses}),
        Case(
            "openpose, hands",
            person,
            [body, hand],
            {"body": poses, "hand": draw_hand},
            options={"hand": True},
        ),
        Case(
            "uniformer",
            uniformer.UniformerDetector,
            [uniformer_network],
            {"network": lambda x: logits},
        ),
    ]


# Measuring


def build(case: Case, folder: Path):
    """The detector with random weights, which it loads from files as users have them."""
    for network, file in case.networks:
        torch.save(network().state_dict(), folder / file.name)  # published names
    return case.detector(folder)


class Replay:
    """A network that gives synthetic maps.

    On its first pass it makes these maps and times the real network. Afterwards it repeats them.
    """

    def __init__(self, network, answer, repeats):
        self.network, self.answer, self.repeats = network, answer, repeats
        self.answers, self.seconds, self.position = [], 0.0, 0
        self.is_recording = True

    def __call__(self, x):
        if self.is_recording:
            with torch.inference_mode():
                self.seconds += median_seconds(lambda: self.network(x), self.repeats)
            self.answers.append(self.answer(x))
        answer = self.answers[self.position % len(self.answers)]
        self.position += 1
        return answer


def measure(detector, case: Case, picture: np.ndarray, repeats: int) -> tuple[float, float]:
    """Seconds in the networks, and seconds around them."""
    if "hand" in case.answers:
        detector.load_hand()  # otherwise its first use would, and replace the synthetic one
    replays = {
        name: Replay(getattr(detector, name), answer, repeats)
        for name, answer in case.answers.items()
    }
    with mock.patch.multiple(detector, **replays):
        # The first pass makes the maps, so that the timed ones do not.
        detector(picture, **case.options)
        for replay in replays.values():
            replay.is_recording = False
        around = median_seconds(lambda: detector(picture, **case.options), 3 * repeats)
    return sum(replay.seconds for replay in replays.values()), around
