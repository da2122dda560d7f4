"""Time our Frechet distance against scipy's, and a whole FID against pytorch-fid.

    python benchmarks/fid_speed.py
    python benchmarks/fid_speed.py --end_to_end 1000

The second run draws that many pictures, halves them into two folders, and scores them with random
Inception weights in both programs, which takes minutes on a CPU. Both have the same network,
resizing and batches: the difference is reading, statistics and distance.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from core.command_line.options import new_parser, positive_int
from core.imaging.images import list_images, write_png
from fid.backbones import BACKBONES
from fid.backbones.options import BackboneOptions
from fid.distances import frechet_distance, statistics_of
from share import run_script

WIDTH = BACKBONES["pytorch-fid"].width
SETS = (25, 233, 2000, 10000)  # images
DECAY = 0.7  # of the features' standard deviations, k ** -0.7, about that of real ones
BATCH_SIZE = 32


def seconds(function, *arguments):
    """(result, wall time) of a call."""
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


def by_sqrtm(x, y):
    """The usual way: covariances, and the matrix root of their product."""
    import scipy.linalg  # here, as below: the options are read before

    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(cov_x @ cov_y)
    # Rounding makes the root complex; the usual code drops the imaginary part.
    traces = np.trace(cov_x + cov_y) - 2 * np.trace(root.real)
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + traces)


def by_singular_values(x, y):
    """Our way, from the same features."""
    return frechet_distance(statistics_of(x), statistics_of(y))


def compare_distances():
    """Print both distances, and their times, for sets of several sizes."""
    import torch

    rng = np.random.default_rng(0)
    deviations = np.arange(1, WIDTH + 1) ** -DECAY
    print(
        f"Frechet distance of two sets of n features, {WIDTH} dimensions, "
        f"{torch.get_num_threads()} thread(s); covariances included"
    )
    print("     n      ours   sqrtm     ratio   distances")
    for n in SETS:
        # Two Gaussians that differ in their means alone, (n, WIDTH) each.
        x, y = (rng.standard_normal((n, WIDTH)) * deviations + shift for shift in (0, 0.01))
        ours, fast = seconds(by_singular_values, x, y)
        theirs, slow = seconds(by_sqrtm, x, y)
        times = f"{fast:7.3f} s {slow:6.1f} s {slow / fast:8.0f}"
        print(f"{n:6} {times}   {ours:.6f} {theirs:.6f}", flush=True)


def draw_images(folder, count):
    """Write noisy pictures of 256 pixels, by turns into the folders `real` and `generated`."""
    rng = np.random.default_rng(0)
    for i in tqdm(range(count), desc="draw"):
        path = folder / ("real" if i % 2 else "generated") / f"{i:05}.png"
        path.parent.mkdir(exist_ok=True)
        write_png(path, (128 + 40 * rng.standard_normal((256, 256))).clip(0, 255).astype(np.uint8))


def compare_programs(count, num_workers):
    """Print both programs' distance and time for `count` pictures."""
    import torch
    from pytorch_fid import fid_score, inception

    from fid.backbones.inception_network import tensorflow_inception
    from fid.backbones.loading import load_backbone
    from fid.features import folder_statistics

    torch.manual_seed(0)  # of the weights: both programs get the same
    tensors = tensorflow_inception().state_dict()
    inception.load_state_dict_from_url = lambda *args, **kwargs: tensors  # nothing is downloaded
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_images(folder, count)
        weights = folder / "inception.pth"
        torch.save(tensors, weights)
        sides = [folder / "real", folder / "generated"]

        def ours():
            """Our FID, from folders to the number."""
            backbone = load_backbone(BackboneOptions("pytorch-fid", weights, device="cpu"))
            statistics = (
                folder_statistics(list_images(side), backbone, BATCH_SIZE, num_workers)
                for side in sides
            )
            return frechet_distance(*statistics)

        def theirs():
            """The FID of pytorch-fid, which loads its network within the call as ours does."""
            return fid_score.calculate_fid_given_paths(
                [str(side) for side in sides], BATCH_SIZE, "cpu", WIDTH, num_workers
            )

        results = {"ours": seconds(ours), "pytorch-fid": seconds(theirs)}
    for program, (distance, wall) in results.items():
        print(
            f"{program:12} {wall:7.1f} s for {count} images, {count / wall:.1f} images/s, "
            f"FID {distance:.6f}"
        )


def main(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument(
        "--end_to_end",
        type=positive_int,
        metavar="INT",
        help="compare whole programs on that many images instead",
    )
    parser.add_argument(
        "--num_workers",
        type=positive_int,
        default=1,
        metavar="INT",
        help="processes that read images, in both programs",
    )
    args = parser.parse_args(argv)
    if args.end_to_end:
        compare_programs(args.end_to_end, args.num_workers)
    else:
        compare_distances()


if __name__ == "__main__":
    run_script(main)
