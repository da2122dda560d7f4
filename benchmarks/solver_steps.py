r"""Measure how close few sampling steps of a trained model come to the 1000-step solution.

    python benchmarks/solver_steps.py \
        --model_weights_path RUN/EM_best_results.ckpt --mask_dir data/test/masks

Prints, for each sampler and number of steps, the distance of the latents from those of DDIM
(eta 0) with 1000 steps, as a share of their standard deviation. Noise, masks and prompt are the
same for all.
"""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path

from einops import rearrange

from cldm.options import NANO_CONFIG, SamplingOptions
from conditions import ConditionOptions, create_condition
from conditions.base import classes_option
from core.command_line.groups import Group, add_groups, read_groups
from core.command_line.options import (
    new_parser,
    non_negative_int,
    option,
    positive_int,
    read_options,
)
from core.imaging.image_options import ImageOptions, add_image_options
from core.prompts import PROMPTS
from share import run_script

# eta 0: without noise on the way, all solvers approach the same solution.
SAMPLING = SamplingOptions(scale=1.0, strength=1.0, eta=0.0)
SAMPLING_FLAGS = {"scale": "scale", "strength": "strength"}


@dataclass(frozen=True)
class SolverOptions:
    """The model, and the masks that are drawn from."""

    config_yaml_path: Path = option(NANO_CONFIG, Path, "YAML", "model configuration")
    model_weights_path: Path = option(None, Path, "FILE", "trained weights", required=True)
    mask_dir: Path = option(None, Path, "DIR", "masks of one size", required=True)
    num_classes: int = classes_option()
    images: int = option(4, positive_int, "INT", "masks to use")
    seed: int = option(0, non_negative_int, "INT", "seed of the noise")


GROUPS = {
    "study": Group(SolverOptions, "model and masks"),
    "sampling": Group(SAMPLING, "sampling", SAMPLING_FLAGS),
}
RUNS = [
    *(("ddim", steps) for steps in (20, 50, 100)),
    *(("dpmpp", steps) for steps in (10, 12, 20, 50)),
    *(("unipc", steps) for steps in (8, 10, 12, 20)),
]


def main(argv=None):
    parser = new_parser(__doc__)
    add_groups(parser, GROUPS)
    add_image_options(parser)
    args = parser.parse_args(argv)
    # Here, because what works loads torch, which takes longer than reading the options.
    import torch

    from cldm.model import build_model
    from cldm.sampling import sample_latents

    read_options(ImageOptions, args).apply()
    options = read_groups(GROUPS, args)
    study, sampling = options["study"], options["sampling"]
    condition = create_condition("segmentation", ConditionOptions(study.num_classes))
    paths = condition.list_files(study.mask_dir)[: study.images]
    hints = torch.stack([torch.from_numpy(condition.read_hint(path)) for path in paths])
    hints = rearrange(hints, "n h w c -> n c h w")  # (N, C, H, W)
    model = build_model(study.config_yaml_path, study.model_weights_path, study.num_classes)
    prompts, seeds = [PROMPTS[0]] * len(paths), [study.seed + i for i in range(len(paths))]

    def latents(sampler, steps):
        """Latents by this solver, (N, 4, H / 8, W / 8), from the same noise each time."""
        options = dataclasses.replace(sampling, sampler=sampler, steps=steps)
        return sample_latents(model, [hints], prompts, seeds, options)

    truth = latents("ddim", 1000)
    distances = {}
    print("sampler steps  distance  seconds")
    for sampler, steps in RUNS:
        start = time.monotonic()
        z = latents(sampler, steps)
        distances[sampler, steps] = float((z - truth).pow(2).mean().sqrt() / truth.std())
        seconds = time.monotonic() - start
        print(f"{sampler:7} {steps:5} {distances[sampler, steps]:9.4f} {seconds:8.1f}")
    for run in (("dpmpp", 20), ("unipc", 12)):
        ratio = distances[run] / distances["ddim", 50]
        print(f"{run[0]} at {run[1]} steps has {ratio:.2f} of the distance of ddim at 50")


if __name__ == "__main__":
    run_script(main)
