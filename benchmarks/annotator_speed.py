"""How much CPU time does everything around a detector's network take, beside the network itself?

    python benchmarks/annotator_speed.py

The networks have random weights, so their own outputs mean nothing; what follows them gets planted maps instead, with many edges, 200
lines and several people. `around` is the whole detector with a network that answers at once, so reading the picture is in it too.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from planted import FIGURE, edge_maps, heat_map, line_maps, pose_maps
from tqdm import tqdm

from annotator import hed, midas, mlsd, openpose, uniformer
from annotator.openpose.maps import STRIDE
from core.options import positive_int

HAND = np.random.default_rng(0).uniform(
    0.2, 0.8, (openpose.hand.NUM_JOINTS, 2)
)  # joints, in sides of its square


def seconds(function, repeats: int) -> float:
    """Median CPU time, of all threads: other work on the machine hardly changes it."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return statistics.median(times)


def build(detector, networks, folder):
    """The detector with random weights, through files as users have them."""
    for network, file in networks:
        torch.save(network().state_dict(), folder / file.name)
    return detector(folder)


def ring(size):
    """Signed distance of every pixel to the nearest of many circles around the middle."""
    rows, columns = np.mgrid[:size, :size] - size / 2
    return (np.hypot(rows, columns) + 8) % 16 - 8


def crowd(size, people):
    """Full figures side by side, in pixels of a square of `size`."""
    middles = (np.arange(people) + 0.5) * size / people
    return [FIGURE * 0.7 * size + (x, size / 2) for x in middles]


def cases(size, people):
    """Name, class, its networks, options, and for each network by attribute: from its input to planted maps."""
    rng = np.random.default_rng(0)
    starts = rng.uniform(0.1 * size, 0.9 * size, (mlsd.MOST_LINES, 2))
    lines = np.concatenate(
        [starts, (starts + rng.uniform(-100, 100, starts.shape)).clip(0, size - 1)], axis=1
    )

    def poses(x):
        side = x.shape[2] // STRIDE
        heat, fields = pose_maps(crowd(side, people), side, side, sigma=0.7)
        return [torch.from_numpy(maps)[None] for maps in (fields, heat)]

    def hands(x):
        side = x.shape[2] // STRIDE
        maps = np.stack(
            [heat_map([joint * side], side, side, sigma=side / 40) for joint in (*HAND, HAND[0])]
        )
        return torch.from_numpy(maps)[None].expand(len(x), -1, -1, -1)

    plane = torch.from_numpy(np.add.outer(np.arange(size), rng.uniform(0, 1, size))).float()[None]
    logits = torch.randn(1, 150, 128, 128)
    body = (openpose.network.BodyNetwork, openpose.BODY_WEIGHTS)
    hand = (openpose.network.HandNetwork, openpose.HAND_WEIGHTS)
    return [
        (
            "hed",
            hed.HEDdetector,
            [(hed.HEDNetwork, hed.WEIGHTS)],
            {},
            {"network": lambda x: edge_maps(ring(size))},
        ),
        (
            "midas",
            midas.MidasDetector,
            [(midas.DPTHybrid, midas.WEIGHTS)],
            {},
            {"network": lambda x: plane},
        ),
        (
            "mlsd",
            mlsd.MLSDdetector,
            [(mlsd.MLSDNetwork, mlsd.WEIGHTS)],
            {},
            {"network": lambda x: line_maps(lines, size, size)[None]},
        ),
        ("openpose", openpose.OpenposeDetector, [body], {}, {"body": poses}),
        (
            "openpose, hands",
            openpose.OpenposeDetector,
            [body, hand],
            {"hand": True},
            {"body": poses, "hand": hands},
        ),
        (
            "uniformer",
            uniformer.UniformerDetector,
            [(uniformer.UniformerNetwork, uniformer.WEIGHTS)],
            {},
            {"network": lambda x: logits},
        ),
    ]


class Replay:
    """Answers with what a network was made to answer before; on its first pass it makes it, and times the real network."""

    def __init__(self, network, answer, repeats):
        self.network, self.answer, self.repeats = network, answer, repeats
        self.answers, self.seconds, self.position = [], 0.0, 0
        self.recording = True

    def __call__(self, x):
        if self.recording:
            with torch.inference_mode():
                self.seconds += seconds(lambda: self.network(x), self.repeats)
            self.answers.append(self.answer(x))
        answer = self.answers[self.position % len(self.answers)]
        self.position += 1
        return answer


def measure(detector, answers, picture, options, repeats):
    """Seconds in the networks, seconds around them."""
    if "hand" in answers:
        detector.load_hand()
    replays = {
        name: Replay(getattr(detector, name), answer, repeats) for name, answer in answers.items()
    }
    with mock.patch.multiple(detector, **replays):
        detector(picture, **options)
        for replay in replays.values():
            replay.recording = False
        around = seconds(lambda: detector(picture, **options), 3 * repeats)
    return sum(replay.seconds for replay in replays.values()), around


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--size",
        type=positive_int,
        default=512,
        metavar="INT",
        help="side of the square picture in pixels, a multiple of 64",
    )
    parser.add_argument(
        "--people", type=positive_int, default=5, metavar="INT", help="people in the picture"
    )
    parser.add_argument(
        "--repeats",
        type=positive_int,
        default=3,
        metavar="INT",
        help="runs of each network, of which the median counts",
    )
    args = parser.parse_args()
    picture = np.random.default_rng(0).integers(0, 256, (args.size, args.size, 3), np.uint8)
    rows = []
    for name, detector, networks, options, answers in tqdm(
        cases(args.size, args.people), desc="detectors"
    ):
        with tempfile.TemporaryDirectory() as folder:
            built = build(detector, networks, Path(folder))
            rows.append((name, *measure(built, answers, picture, options, args.repeats)))
    print(f"one picture of {args.size} x {args.size}, {torch.get_num_threads()} thread(s)")
    print("detector             network       around     share")
    for name, network, around in rows:
        print(f"{name:16} {network:9.3f} s {1000 * around:9.1f} ms {around / network:9.1%}")


if __name__ == "__main__":
    main()
