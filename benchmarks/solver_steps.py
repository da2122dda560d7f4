"""How close do few sampling steps come to the 1000-step solution? DPM-Solver++ and DDIM side by side on a trained model.

    python benchmarks/solver_steps.py --model_weights_path RUN/EM_best_results.ckpt --mask_dir data/test/masks

prints, for each solver and number of steps, the distance of the latents from those of DDIM (eta 0) with 1000 steps, as a
share of their deviation, over the same noise, masks and prompt.
"""

import argparse
import time
from pathlib import Path

import torch

from cldm.model import create_model
from cldm.sampling import SamplingOptions, sample_latents
from conditions import ConditionOptions, create_condition
from core.options import add_options, non_negative_int, positive_int
from core.prompts import PROMPTS
from share import run_script

RUNS = [("ddim", 20), ("ddim", 50), ("ddim", 100), ("dpmpp", 10), ("dpmpp", 20), ("dpmpp", 50)]


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--config_yaml_path",
        type=Path,
        default=Path("models/cldm_nano.yaml"),
        metavar="YAML",
        help="model configuration",
    )
    parser.add_argument(
        "--model_weights_path", type=Path, required=True, metavar="FILE", help="trained weights"
    )
    parser.add_argument(
        "--mask_dir", type=Path, required=True, metavar="DIR", help="masks of one size"
    )
    parser.add_argument(
        "--num_classes", type=positive_int, default=3, metavar="INT", help="classes of the masks"
    )
    parser.add_argument(
        "--images", type=positive_int, default=4, metavar="INT", help="masks to use"
    )
    parser.add_argument(
        "--seed", type=non_negative_int, default=0, metavar="INT", help="of the noise"
    )
    flags = {"scale": "scale", "strength": "strength"}
    add_options(parser, SamplingOptions(scale=1.0, strength=1.0), "sampling", flags=flags)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    condition = create_condition("segmentation", ConditionOptions(args.num_classes))
    paths = condition.list_files(args.mask_dir)[: args.images]
    hints = torch.stack([torch.from_numpy(condition.read_hint(path)) for path in paths]).permute(
        0, 3, 1, 2
    )
    model = create_model(args.config_yaml_path, args.model_weights_path, args.num_classes)
    prompts, seeds = [PROMPTS[0]] * len(paths), [args.seed + i for i in range(len(paths))]

    def latents(sampler, steps):
        options = SamplingOptions(sampler, steps, args.strength, args.scale, eta=0.0)
        return sample_latents(model, [hints], prompts, seeds, options, verbose=steps == 1000)

    truth = latents("ddim", 1000)
    distances = {}
    print("solver  steps  distance  seconds")
    for sampler, steps in RUNS:
        start = time.monotonic()
        z = latents(sampler, steps)
        distances[sampler, steps] = float((z - truth).pow(2).mean().sqrt() / truth.std())
        print(
            f"{sampler:6} {steps:6} {distances[sampler, steps]:9.4f} {time.monotonic() - start:8.1f}"
        )
    print(
        f"dpmpp at 20 steps has {distances['dpmpp', 20] / distances['ddim', 50]:.2f} of the distance of ddim at 50"
    )


if __name__ == "__main__":
    run_script(main)
