"""Seconds that a generated image costs, measured on this machine."""

import copy
import dataclasses
import statistics
import time
from typing import NamedTuple

import torch
from tqdm import tqdm

from cldm.multi import MultiConditionControlNet
from cldm.options import SamplingOptions
from cldm.sampling import sample_images
from cldm.speed import speed_up_drawing
from core.hardware.devices import mixed_precision, wait_for
from core.prompts import PROMPTS

# Sampling steps of two runs, whose difference in time is the cost of the steps between them. Both
# are few: a whole image on a CPU takes minutes, and every step costs the same.
FEW, MORE = 1, 5


class ImageCost(NamedTuple):
    """Seconds of one image.

    Attributes:
        fixed: for text, hints and decoder.
        evaluation: for each evaluation of U-Net and control branches.
    """

    fixed: float
    evaluation: float

    def total(self, evaluations: int) -> float:
        """Seconds of an image that needs `evaluations` U-Net evaluations."""
        return self.fixed + evaluations * self.evaluation


def measure_image(
    model,
    image_size: int,
    batch_size: int,
    device: torch.device,
    options: SamplingOptions,
    branches: int = 1,
    precision: str = "32",
    repeats: int = 3,
) -> ImageCost:
    """Cost of an image in a batch, as medians of `repeats` measurements.

    Args:
        model: a `ControlledDiffusionModel` with one control branch. It is sped up as in
            `generate.py`, so that it can only draw afterwards.
        image_size: height and width in pixels.
        options: their `steps` play no part.
        branches: control branches that steer the image, each with the weights of the model's one.
        precision: one of `core.hardware.devices.PRECISIONS`.
    """
    size = (batch_size, model.control_model.hint_channels, image_size, image_size)
    # What hints show does not change the time; neither do prompts, which are padded to 77 tokens.
    hints = [torch.rand(size) for _ in range(branches)]  # each (N, C, H, W)
    arguments = hints, PROMPTS[:1] * batch_size, list(range(batch_size))

    def seconds(steps):
        start = time.perf_counter()
        with mixed_precision(device.type, precision):
            sample_images(model, *arguments, dataclasses.replace(options, steps=steps))
        wait_for(device)
        return (time.perf_counter() - start) / batch_size

    give_branches(model, branches)
    model.eval().to(device)
    speed_up_drawing(model, compiled=False)
    seconds(FEW)  # the first run also records, allocates and picks kernels
    bar = tqdm(range(repeats), desc="images", leave=False)
    # In pairs, so that a machine that slows down meanwhile changes both times alike.
    pairs = [(seconds(FEW), seconds(MORE)) for _ in bar]
    per_step = statistics.median(more - few for few, more in pairs) / (MORE - FEW)
    evaluation = max(0.0, per_step)  # noise can make the difference of two short runs negative
    fixed = statistics.median(few for few, _ in pairs) - FEW * evaluation
    return ImageCost(max(0.0, fixed), evaluation)


def give_branches(model, number: int) -> None:
    """Give a model `number` copies of its control branch."""
    control = model.control_model
    controls = [control, *(copy.deepcopy(control) for _ in range(number - 1))]
    # Copies, as a real run has: one network used several times would need less memory.
    names = [f"branch {i}" for i in range(number)]
    channels, scales = [control.hint_channels] * number, [1.0] * number
    model.control_model = MultiConditionControlNet(controls, channels, names, scales)
