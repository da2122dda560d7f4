"""Seconds that a generated image costs, measured on this machine."""

import copy
import dataclasses
import statistics
import time
from typing import NamedTuple

import torch
from tqdm import tqdm

from cldm.multi import MultiConditionControlNet
from cldm.sampling import SamplingOptions, sample_images
from core.devices import wait_for
from core.prompts import PROMPTS

MIXED = {"16": torch.float16, "bf16": torch.bfloat16}
FEW, MORE = 1, 5  # sampling steps of the pictures whose difference in time is the cost of a step


class ImageCost(NamedTuple):
    """Seconds of one image: for text, hint and decoder, and for each evaluation of U-Net and control branches."""

    fixed: float
    evaluation: float

    def total(self, evaluations: int) -> float:
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
    """What an image costs as generate.py draws it, medians of `repeats`; `options.steps` plays no part."""
    channels, control = model.control_model.hint_channels, model.control_model
    names = [f"branch {i}" for i in range(branches)]
    controls = [control, *(copy.deepcopy(control) for _ in names[1:])]
    hints = [torch.rand(batch_size, channels, image_size, image_size) for _ in names]
    arguments = hints, PROMPTS[:1] * batch_size, list(range(batch_size))

    def seconds(steps):
        start = time.perf_counter()
        with torch.autocast(device.type, MIXED.get(precision), enabled=precision in MIXED):
            sample_images(model, *arguments, dataclasses.replace(options, steps=steps))
        wait_for(device)
        return (time.perf_counter() - start) / batch_size

    model.control_model = MultiConditionControlNet(
        controls, [channels] * branches, names, [1.0] * branches
    )
    try:
        model.eval().to(device)
        seconds(FEW)  # warms up
        few, more = zip(
            *(
                (seconds(FEW), seconds(MORE))
                for _ in tqdm(range(repeats), desc="images", leave=False)
            ),
            strict=True,
        )
    finally:
        model.control_model = control
    evaluation = max(
        0.0, statistics.median(b - a for a, b in zip(few, more, strict=True)) / (MORE - FEW)
    )
    return ImageCost(max(0.0, statistics.median(few) - FEW * evaluation), evaluation)
