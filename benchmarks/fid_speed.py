"""Time our Frechet distance against scipy's, and a whole FID against other programs.

    python benchmarks/fid_speed.py
    python benchmarks/fid_speed.py --end_to_end 1000
    python benchmarks/fid_speed.py --end_to_end 10000 --network cem1.5m

The last two draw that many pictures, halve them into two folders, and score them with random
weights in each program, which takes minutes on a CPU. All have the same network and batches: the
difference is reading, resizing, statistics and distance. pytorch-fid has no network for electron
micrographs.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from core.command_line.options import new_parser, positive_int
from core.imaging.images import list_images, write_png
from fid.backbones import BACKBONES, CEM
from fid.backbones.inception import PYTORCH_FID
from fid.backbones.options import BackboneOptions
from fid.distances import frechet_distance, statistics_of
from share import run_script

WIDTH = PYTORCH_FID.width
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


def of_this_code(sides, network, weights, num_workers):
    """Our FID, from two folders to the number."""
    from fid.backbones.loading import load_backbone
    from fid.features import folder_statistics

    backbone = load_backbone(BackboneOptions(network, weights, device="cpu"))
    statistics = (
        folder_statistics(list_images(side), backbone, BATCH_SIZE, num_workers) for side in sides
    )
    return frechet_distance(*statistics)


def of_pytorch_fid(sides, network, weights, num_workers):
    """The FID of pytorch-fid, which loads its network within the call as ours does."""
    import torch
    from pytorch_fid import fid_score, inception

    # Nothing is downloaded.
    inception.load_state_dict_from_url = lambda *args, **kwargs: torch.load(weights)
    sides = [str(side) for side in sides]
    return fid_score.calculate_fid_given_paths(sides, BATCH_SIZE, "cpu", WIDTH, num_workers)


def of_torch_fidelity(sides, network, weights, num_workers):
    """The FID of torch-fidelity; networks for micrographs are registered as its users would do."""
    import torch_fidelity

    if network in CEM:
        torch_fidelity.register_feature_extractor(network, _micrograph_extractor(network, weights))
        chosen = {"feature_extractor": network, "feature_layer_fid": "features"}
    else:
        chosen = {
            "feature_extractor": "inception-v3-compat",
            "feature_extractor_weights_path": str(weights),
        }
    return torch_fidelity.calculate_metrics(
        input1=str(sides[0]),
        input2=str(sides[1]),
        fid=True,
        cuda=False,
        cache=False,
        batch_size=BATCH_SIZE,
        verbose=False,
        **chosen,
    )["frechet_inception_distance"]


def _micrograph_extractor(network, weights):
    """A class that torch-fidelity makes its network of: grey, resized, normalised, ResNet-50."""
    import torch
    from torch.nn import functional as F
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase

    from fid.backbones.resnet50 import headless_resnet50

    size = BACKBONES[network].preprocessing.size
    mean, std = BACKBONES[network].preprocessing.mean[0], BACKBONES[network].preprocessing.std[0]

    class Extractor(FeatureExtractorBase):
        """ResNet-50 for grey pictures."""

        def __init__(self, name, features_list, **kwargs):
            super().__init__(name, features_list)
            self.network = headless_resnet50()
            self.network.load_state_dict(torch.load(weights))
            self.eval().requires_grad_(False)

        @staticmethod
        def get_provided_features_list():
            """Names of the features."""
            return ("features",)

        @staticmethod
        def can_be_compiled():
            """Not tried."""
            return False

        def forward(self, x):
            """uint8 (N, 3, H, W) with equal channels -> features (N, width)."""
            x = F.interpolate(x[:, :1].float(), (size, size), mode="bilinear", antialias=True)
            return (self.network((x / 255 - mean) / std),)  # (N, width)

    return Extractor


PROGRAMS = {
    "ours": of_this_code,
    "pytorch-fid": of_pytorch_fid,
    "torch-fidelity": of_torch_fidelity,
}


def compare_programs(count, num_workers, network):
    """Print the distance and the time of each program for `count` pictures."""
    import torch

    from fid.backbones.inception_network import tensorflow_inception

    torch.manual_seed(0)  # of the weights: all programs get the same
    # Other programs load Inception with its last layer, which ours leaves out.
    build = BACKBONES[network].build if network in CEM else tensorflow_inception
    tensors = build().state_dict()
    programs = [name for name in PROGRAMS if network not in CEM or name != "pytorch-fid"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_images(folder, count)
        weights = folder / "weights.pth"
        torch.save(tensors, weights)
        sides = [folder / "real", folder / "generated"]
        for program in programs:
            arguments = sides, network, weights, num_workers
            before = sum(os.times()[:4])
            distance, wall = seconds(PROGRAMS[program], *arguments)
            # Beside other work, wall times differ by what that does.
            used = sum(os.times()[:4]) - before  # with processes that read images
            print(
                f"{program:14} {wall:7.1f} s, {used:7.1f} CPU seconds for {count} images, "
                f"FID {distance:.4g}",
                flush=True,
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
        help="processes that read images; torch-fidelity chooses its own number",
    )
    parser.add_argument(
        "--network",
        choices=(PYTORCH_FID.name, *CEM),
        default=PYTORCH_FID.name,
        help="of whole programs",
    )
    args = parser.parse_args(argv)
    if args.end_to_end:
        compare_programs(args.end_to_end, args.num_workers, args.network)
    else:
        compare_distances()


if __name__ == "__main__":
    run_script(main)
