"""Options of sampling, and the configuration that programs take when none is given."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.command_line.options import (
    OptionError,
    fraction,
    non_negative_float,
    option,
    positive_int,
)
from ldm.modules.diffusionmodules.schedule import TIMESTEPS
from ldm.samplers import SAMPLERS

DEFAULT_CONFIG = Path("./models/cldm_v15.yaml")  # beside the published weights
NANO_CONFIG = Path("models/cldm_nano.yaml")  # small enough to be trained on a CPU


def add_config_option(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the group `model` with `--config` to a parser, and return the group."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="YAML", help="model configuration"
    )
    return group


@dataclass(frozen=True)
class SamplingOptions:
    """Sampler, steps and strengths that `cldm.sampling.sample_images` follows."""

    sampler: str = option(
        "ddim",
        help="; ".join(f"{name}: {sampler.title}" for name, sampler in SAMPLERS.items()),
        choices=SAMPLERS,
    )
    steps: int = option(70, positive_int, "INT", "number of sampling steps")
    strength: float = option(2.0, non_negative_float, "FLOAT", "factor of the control residuals")
    scale: float = option(9.0, non_negative_float, "FLOAT", "classifier-free guidance, 1 for none")
    eta: float = option(1.0, fraction, "FLOAT", "stochasticity of DDIM")
    guidance_interval: Sequence[float] | None = option(
        None,
        non_negative_float,
        ("LOW", "HIGH"),
        "noise levels sigma between which guidance acts, of 0.03 to 14.6 in Stable Diffusion; "
        "elsewhere an evaluation costs half",
        nargs=2,
    )
    guess_mode: bool = option(
        False,
        bool,
        help="weaker control towards the shallow layers, none in the unconditional pass",
    )
    joint: bool = option(
        False,
        bool,
        help="draw the images of a batch jointly on a CPU too: faster for small models, but the "
        "last bits of an image depend on its batch. A GPU always does",
    )

    def check(self):
        """Raise OptionError for an empty interval, or more steps than the sampler can take."""
        if self.guidance_interval:
            low, high = self.guidance_interval
            if low >= high:
                raise OptionError("guidance_interval", f"{low:g} {high:g}, expected LOW below HIGH")
        valid = SAMPLERS[self.sampler].valid_steps(TIMESTEPS)
        if self.steps not in valid:
            raise OptionError(
                "steps", f"expected {valid[0]} to {valid[-1]} for sampler {self.sampler}"
            )


# Settings for pictures drawn during training: fewer steps, no noise between them, and the strength
# that the branch is trained with.
PREVIEW = SamplingOptions(steps=50, strength=1.0, eta=0.0)
