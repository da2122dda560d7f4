"""Training of the segmenter: disturbed crops, Dice and cross-entropy, weights of the best validation."""

import copy
import math

import segmentation_models_pytorch as smp
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, RandomSampler
from tqdm import tqdm

from dataset import Pair
from segmentation.data import SegmentationDataset, disturb
from segmentation.network import ENCODER, build_segmenter
from segmentation.scoring import score

WARM_UP = 0.1  # share of the steps in which the learning rate rises
VALIDATIONS = 5  # evenly spaced over the training


def learning_rate_factor(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine that reaches zero after the last step."""
    warm_up = max(1, round(WARM_UP * steps))
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))


def train_segmenter(
    pairs: list[Pair], val_pairs: list[Pair], num_classes: int, steps: int, batch_size: int = 16, learning_rate: float = 3e-3,
    crop: int = 128, seed: int = 0, device: str | torch.device = "cpu", encoder: str = ENCODER, num_workers: int = 0,
    progress: bool = False,
) -> torch.nn.Module:  # fmt: skip
    """Train a U-Net from scratch with Dice + cross-entropy; equal arguments give equal weights on the CPU.

    Dice is computed per class over the batch, so that a class of few pixels counts as much as one of many.

    Args:
        pairs, val_pairs: files of images and masks; with `val_pairs`, which may be empty, the weights returned are those of the best
            validation mIoU (a slightly flattering figure: report the score of a third set).
        crop: side of the square training crops in pixels; smaller images are extended by reflection.
    Raises:
        RuntimeError: the loss is no longer finite.
    """
    device = torch.device(device)
    best_miou, best_weights = -1.0, None
    validate_at = (
        {round(steps * k / VALIDATIONS) for k in range(1, VALIDATIONS + 1)} if val_pairs else set()
    )
    with torch.random.fork_rng():  # the caller's random state stays as it was
        torch.manual_seed(seed)
        model = build_segmenter(num_classes, encoder).to(device)
        data = SegmentationDataset(pairs, num_classes, crop)
        sampler = RandomSampler(
            data, num_samples=steps * batch_size
        )  # permutation after permutation, so every batch is full
        loader = DataLoader(
            data,
            batch_size,
            sampler=sampler,
            num_workers=num_workers,
            pin_memory=device.type == "cuda",
        )
        optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, steps)
        )
        dice = smp.losses.DiceLoss("multiclass")
        bar = tqdm(loader, desc="train", unit="step", disable=not progress)
        for step, (image, mask) in enumerate(bar, start=1):
            model.train()
            image, mask = (
                disturb(image.to(device)).contiguous(memory_format=torch.channels_last),
                mask.to(device),
            )
            with torch.autocast(
                device.type, torch.bfloat16, enabled=device.type == "cuda"
            ):  # slow on CPUs without AMX
                logits = model(image).float()
            loss = dice(logits, mask) + F.cross_entropy(logits, mask)
            if not loss.isfinite():
                raise RuntimeError(
                    f"the loss is {loss.item()} at step {step}. Use a smaller --learning_rate."
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            shown = {"loss": f"{loss.item():.3f}", "val mIoU": f"{best_miou:.3f}"}
            if step in validate_at:
                miou = score(model, val_pairs, num_classes)["miou"]
                if miou > best_miou:
                    best_miou, best_weights = miou, copy.deepcopy(model.state_dict())
                shown["val mIoU"] = f"{miou:.3f}"
            bar.set_postfix({key: value for key, value in shown.items() if value != "-1.000"})
    if best_weights is not None:
        model.load_state_dict(best_weights)
    return model.eval()
