"""Training of the segmenter on augmented crops; the weights of the best validation count."""

import copy
import math
from collections.abc import Callable
from functools import partial

import segmentation_models_pytorch as smp
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader
from tqdm import tqdm

from core.command_line.options import OptionError
from core.hardware.bf16 import multiplies_bf16, notify_of_slow_bf16
from core.imaging.labels import IGNORE
from segmentation.augmentation import AUGMENTATIONS
from segmentation.data import MixedDraws, SegmentationDataset
from segmentation.folders import TrainingPairs
from segmentation.network import build_segmenter
from segmentation.options import SOURCES, SegmenterOptions
from segmentation.scoring import score

WARM_UP = 0.1  # share of the steps in which the learning rate rises


def learning_rate_factor(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine that reaches zero after the last step; in (0, 1]."""
    warm_up = max(1, round(WARM_UP * steps))
    # step + 1: the first step should learn too, and the last one is number steps - 1.
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))


def train_segmenter(
    pairs: TrainingPairs,
    num_classes: int,
    steps: int,
    options: SegmenterOptions | None = None,
    *,
    device: str | torch.device = "cpu",
    progress: bool = False,
    pixel_side: float | None = None,
) -> torch.nn.Module:
    """A U-Net trained from scratch with Dice and cross-entropy, in evaluation mode.

    Equal arguments give equal weights on the CPU. Dice is computed per class over the batch, so a
    class of few pixels counts as much as one of many.

    Args:
        pairs: `options.mix` weighs real and synthetic ones. If there are pairs for validation, the
            weights of the best validation are returned. Their score flatters a little: report that
            of a third set.
        steps: optimizer steps, at most; `options.patience` may end the training earlier.
        options: the defaults when None.
        progress: show a progress bar.
        pixel_side: in nm, to which all pairs are resampled; None keeps them.
    Returns:
        The model; its `curve` lists (step, mIoU) of the validations.
    Raises:
        OptionError: the options name a source without pairs, or the loss is no longer finite.
    """
    options = options or SegmenterOptions()
    device = torch.device(device)
    options.check_sources(pairs.numbers, steps)
    notify_of_slow_bf16(device.type, options.precision)

    def validate(model: torch.nn.Module) -> float:
        return score(model, pairs.validation, num_classes, pixel_side=pixel_side)["miou"]

    with torch.random.fork_rng():  # the caller's random state stays as it was
        torch.manual_seed(options.seed)
        model = build_segmenter(num_classes, options.encoder).to(device)
        augmentation = AUGMENTATIONS[options.augmentation]
        data = SegmentationDataset(
            [*pairs.real, *pairs.synthetic],
            num_classes,
            options.image_size,
            augmentation,
            pixel_side,
        )
        data.notify_of_small_images()
        loader = _loader(data, pairs.numbers, steps, options, device)
        bar = tqdm(loader, desc="train", unit="step", disable=not progress)
        best = _fit(model, bar, steps, options, device, validate if pairs.validation else None)
    best.restore(model)
    model.curve = best.curve
    return model.eval()


def _fit(
    model: torch.nn.Module,
    bar: tqdm,
    steps: int,
    options: SegmenterOptions,
    device: torch.device,
    validate: Callable[[torch.nn.Module], float] | None,
) -> "BestWeights":
    """Train on batches behind a progress bar, as long as the validations get better."""
    every = [round(steps * k / options.validations) for k in range(1, options.validations + 1)]
    optimizer, schedule = _optimizer(model, options.learning_rate, steps)
    best = BestWeights()
    for step, (image, mask) in enumerate(bar, start=1):  # (N, 1, S, S), (N, S, S)
        # Each validation leaves the model in evaluation mode.
        image, mask = image.to(device), mask.to(device)
        loss = segmentation_loss(model.train(), image, mask, _in_bf16(options, device))
        _step(loss, step, optimizer, schedule)
        bar.set_postfix(loss=f"{loss.item():.3f}", **best.shown())
        if validate and step in every:
            best.keep(model, step, validate(model))
        if options.patience and best.validations_since(options.synthetic_first) >= options.patience:
            break
    return best


class BestWeights:
    """The weights that reached the highest mIoU so far.

    Attributes:
        curve: (step, mIoU) of all validations.
    """

    def __init__(self):
        self.curve, self.weights = [], None

    def keep(self, model: torch.nn.Module, step: int, miou: float) -> None:
        """Note a validation; copy the model's weights if they are better than those before."""
        self.curve.append((step, miou))
        if self.validations_since() == 0:
            # A state dict shares its tensors with the model, which goes on training.
            self.weights = copy.deepcopy(model.state_dict())

    def shown(self) -> dict[str, str]:
        """The last mIoU for a progress bar; nothing before the first validation."""
        return {"val_mIoU": f"{self.curve[-1][1]:.3f}"} if self.curve else {}

    def validations_since(self, first: int = 0) -> int:
        """Validations after the best one, and after the step `first`."""
        scores = [miou for _, miou in self.curve]
        since_best = len(scores) - 1 - scores.index(max(scores)) if scores else 0
        return min(since_best, sum(step > first for step, _ in self.curve))

    def restore(self, model: torch.nn.Module) -> None:
        """Load the weights that were kept; the model stays as it is where none were."""
        if self.weights is not None:
            model.load_state_dict(self.weights)


def _in_bf16(options, device) -> bool:
    """Tell whether the network computes in mixed precision."""
    if options.precision == "auto":
        return device.type == "cuda" and multiplies_bf16("cuda")
    return options.precision == "bf16"


def _step(loss, step, optimizer, schedule) -> None:
    """One step down the gradient of a loss; raises OptionError where it is not finite."""
    if not loss.isfinite():
        message = f"the loss is {loss.item()} at step {step}. Use a smaller rate."
        raise OptionError("learning_rate", message)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()


def _optimizer(model, learning_rate, steps):
    """AdamW, and the schedule that follows `learning_rate_factor` step by step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-2)
    factor = partial(learning_rate_factor, steps=steps)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _loader(data, numbers, steps, options, device) -> DataLoader:
    """`steps` full batches of the real pairs, which come first, and of the synthetic ones."""
    size = options.batch_size
    draws = MixedDraws(
        [numbers[name] for name in SOURCES],
        options.weights(numbers),
        steps * size,
        options.seed,
        only_last=options.synthetic_first * size,
    )
    return DataLoader(
        data,
        size,
        sampler=draws,
        num_workers=options.num_workers,
        pin_memory=device.type == "cuda",
    )


def segmentation_loss(
    model: torch.nn.Module, image: torch.Tensor, mask: torch.Tensor, in_bf16: bool = False
) -> torch.Tensor:
    """Dice plus cross-entropy over the pixels that are not marked with IGNORE.

    Args:
        image: (N, 1, S, S) in [0, 1].
        mask: class indices or IGNORE, int64 (N, S, S).
        in_bf16: compute the logits in mixed precision.
    """
    image = image.contiguous(memory_format=torch.channels_last)
    with torch.autocast(image.device.type, torch.bfloat16, enabled=in_bf16):
        logits = model(image).float()  # (N, num_classes, S, S)
    dice = smp.losses.DiceLoss("multiclass", ignore_index=IGNORE)(logits, mask)
    # Where a class is missed altogether, Dice has almost no gradient. Cross-entropy has one.
    total = F.cross_entropy(logits, mask, ignore_index=IGNORE, reduction="sum")
    return dice + total / (mask != IGNORE).sum().clamp(min=1)
