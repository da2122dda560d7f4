r"""How close few sampling steps come to the 1000-step solution, on a trained model.

    python benchmarks/solver_steps.py \
        --model_weights_path RUN/EM_best_results.ckpt --mask_dir data/test/masks

Prints, for each sampler and number of steps, the distance of the latents from those of DDIM
(eta 0) with 1000 steps, as a share of their standard deviation. Noise, masks and prompt are the
same for all.
"""

import dataclasses
import time
from pathlib import Path

import torch
from einops import rearrange

from cldm.model import create_model
from cldm.sampling import SamplingOptions, sample_latents
from conditions import ConditionOptions, create_condition
from core.options import add_options, new_parser, non_negative_int, positive_int, read_options
from core.prompts import PROMPTS
from share import run_script

# eta 0: without noise on the way, all solvers approach the same solution.
SAMPLING = SamplingOptions(scale=1.0, strength=1.0, eta=0.0)
SAMPLING_FLAGS = {"scale": "scale", "strength": "strength"}
RUNS = [("ddim", 20), ("ddim", 50), ("ddim", 100), ("dpmpp", 10), ("dpmpp", 20), ("dpmpp", 50)]


def parse_args(argv=None):
    parser = new_parser(__doc__)
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
    add_options(parser, SAMPLING, "sampling", flags=SAMPLING_FLAGS)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    condition = create_condition("segmentation", ConditionOptions(args.num_classes))
    paths = condition.list_files(args.mask_dir)[: args.images]
    hints = torch.stack([torch.from_numpy(condition.read_hint(path)) for path in paths])
    hints = rearrange(hints, "n h w c -> n c h w")  # (N, C, H, W)
    sampling = read_options(SAMPLING, args, SAMPLING_FLAGS)
    model = create_model(args.config_yaml_path, args.model_weights_path, args.num_classes)
    prompts, seeds = [PROMPTS[0]] * len(paths), [args.seed + i for i in range(len(paths))]

    def latents(sampler, steps):
        """Latents by this solver, (N, 4, H / 8, W / 8), from the same noise each time."""
        options = dataclasses.replace(sampling, sampler=sampler, steps=steps)
        return sample_latents(model, [hints], prompts, seeds, options, verbose=steps == 1000)

    truth = latents("ddim", 1000)
    distances = {}
    print("sampler steps  distance  seconds")
    for sampler, steps in RUNS:
        start = time.monotonic()
        z = latents(sampler, steps)
        distances[sampler, steps] = float((z - truth).pow(2).mean().sqrt() / truth.std())
        seconds = time.monotonic() - start
        print(f"{sampler:7} {steps:5} {distances[sampler, steps]:9.4f} {seconds:8.1f}")
    ratio = distances["dpmpp", 20] / distances["ddim", 50]
    print(f"dpmpp at 20 steps has {ratio:.2f} of the distance of ddim at 50")


if __name__ == "__main__":
    run_script(main)
