"""Training of the segmenter on disturbed crops; the weights of the best validation count."""

import argparse
import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import segmentation_models_pytorch as smp
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, RandomSampler
from tqdm import tqdm

from conditions.pairs import Pair
from core.options import non_negative_int, option, positive_float, positive_int
from segmentation.data import SegmentationDataset, disturb
from segmentation.network import ENCODER, SIZE_MULTIPLE, build_segmenter, check_encoder
from segmentation.scoring import score

WARM_UP = 0.1  # share of the steps in which the learning rate rises
VALIDATIONS = 5  # evenly spaced over the training


def side_of_crops(text: str) -> int:
    """A positive multiple of `SIZE_MULTIPLE`."""
    value = positive_int(text)
    if value % SIZE_MULTIPLE:
        raise argparse.ArgumentTypeError(f"{value} is no multiple of {SIZE_MULTIPLE}")
    return value


@dataclass(frozen=True)
class SegmenterOptions:
    """Hyper-parameters of the segmenter's training."""

    batch_size: int = option(16, positive_int, "INT", "crops per step")
    learning_rate: float = option(3e-3, positive_float, "FLOAT", "highest learning rate of AdamW")
    image_size: int = option(
        128, side_of_crops, "PIXELS", f"side of the crops, a multiple of {SIZE_MULTIPLE}"
    )
    encoder: str = option(
        ENCODER,
        None,
        "NAME",
        "untrained encoder of segmentation-models-pytorch; "
        "real images want resnet18 (3 times slower)",
    )
    seed: int = option(0, non_negative_int, "INT", "of weights, order and augmentation")
    num_workers: int = option(0, non_negative_int, "INT", "processes that read images")

    def check(self):
        """Raise OptionError for an unknown encoder."""
        check_encoder(self.encoder)


def learning_rate_factor(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine that reaches zero after the last step; in (0, 1]."""
    warm_up = max(1, round(WARM_UP * steps))
    # step + 1: the first step should learn too, and the last one is number steps - 1.
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))


def train_segmenter(
    pairs: Sequence[Pair],
    val_pairs: Sequence[Pair],
    num_classes: int,
    steps: int,
    options: SegmenterOptions | None = None,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> torch.nn.Module:
    """A U-Net trained from scratch with Dice and cross-entropy, in evaluation mode.

    Equal arguments give equal weights on the CPU. Dice is computed per class over the batch, so a
    class of few pixels counts as much as one of many.

    Args:
        val_pairs: where there are any, the weights of the best validation are returned. Their score
            flatters a little: report that of a third set.
        steps: optimizer steps.
        options: the defaults when None.
        progress: show a progress bar.
    Raises:
        RuntimeError: the loss is no longer finite.
    """
    options = options or SegmenterOptions()
    device = torch.device(device)
    validate_at = {round(steps * k / VALIDATIONS) for k in range(1, VALIDATIONS + 1)}
    best = BestWeights()
    with torch.random.fork_rng():  # the caller's random state stays as it was
        torch.manual_seed(options.seed)
        model = build_segmenter(num_classes, options.encoder).to(device)
        loader = _loader(pairs, num_classes, steps, options, device)
        optimizer, schedule = _optimizer(model, options.learning_rate, steps)
        bar = tqdm(loader, desc="train", unit="step", disable=not progress)
        shown = {}
        for step, (image, mask) in enumerate(bar, start=1):  # (N, 1, S, S), (N, S, S)
            # Each validation leaves the model in evaluation mode.
            loss = segmentation_loss(model.train(), image.to(device), mask.to(device))
            if not loss.isfinite():
                raise RuntimeError(
                    f"the loss is {loss.item()} at step {step}. Use a smaller --learning_rate."
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            shown["loss"] = f"{loss.item():.3f}"
            if val_pairs and step in validate_at:
                miou = score(model, val_pairs, num_classes)["miou"]
                best.keep(model, miou)
                shown["val mIoU"] = f"{miou:.3f}"
            bar.set_postfix(shown)
    best.restore(model)
    return model.eval()


class BestWeights:
    """The weights that reached the highest mIoU so far."""

    def __init__(self):
        self.miou, self.weights = -1.0, None

    def keep(self, model: torch.nn.Module, miou: float) -> None:
        """Copy the model's weights if they are better than those before."""
        if miou > self.miou:
            # A state dict shares its tensors with the model, which goes on training.
            self.miou, self.weights = miou, copy.deepcopy(model.state_dict())

    def restore(self, model: torch.nn.Module) -> None:
        """Load the weights that were kept; the model stays as it is where none were."""
        if self.weights is not None:
            model.load_state_dict(self.weights)


def _optimizer(model, learning_rate, steps):
    """AdamW, and the schedule that follows `learning_rate_factor` step by step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-2)
    factor = partial(learning_rate_factor, steps=steps)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _loader(pairs, num_classes, steps, options, device) -> DataLoader:
    """`steps` full batches: the sampler strings one permutation of the pairs to the next."""
    data = SegmentationDataset(pairs, num_classes, options.image_size)
    return DataLoader(
        data,
        options.batch_size,
        sampler=RandomSampler(data, num_samples=steps * options.batch_size),
        num_workers=options.num_workers,
        pin_memory=device.type == "cuda",
    )


def segmentation_loss(
    model: torch.nn.Module, image: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Dice plus cross-entropy for disturbed images.

    Args:
        image: (N, 1, S, S) in [0, 1].
        mask: class indices, int64 (N, S, S).
    """
    image = disturb(image).contiguous(memory_format=torch.channels_last)
    # bfloat16 is slow on CPUs without AMX.
    with torch.autocast(image.device.type, torch.bfloat16, enabled=image.device.type == "cuda"):
        logits = model(image).float()  # (N, num_classes, S, S)
    # Where a class is missed altogether, Dice has almost no gradient. Cross-entropy has one.
    return smp.losses.DiceLoss("multiclass")(logits, mask) + F.cross_entropy(logits, mask)
