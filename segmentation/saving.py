"""A training of a segmenter that ends in a checkpoint."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import torch

from core.files import refuse_existing
from core.recording.run_lock import RunLock
from segmentation.folders import TrainingPairs
from segmentation.network import save_segmenter
from segmentation.options import SegmenterOptions
from segmentation.scoring import score
from segmentation.training import train_segmenter


def train_to_file(
    path: Path,
    pairs: TrainingPairs,
    num_classes: int,
    steps: int,
    options: SegmenterOptions,
    *,
    device: torch.device,
    pixel_side: float | None,
    meta: Mapping,
    overwrite: bool = False,
) -> dict | None:
    """Train a segmenter, behind a lock on its file, and save it with its validation scores.

    Args:
        path: of the checkpoint.
        pixel_side: as for `train_segmenter`.
        meta: further texts and numbers for the checkpoint.
        overwrite: replace a file that exists.
    Returns:
        What `score` says of the validation pairs; None where there are none.
    Raises:
        FileExistsError: the file exists.
        RuntimeError: another process trains a segmenter for it; or as `train_segmenter`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(RunLock.of_file(path, "training a segmenter")) as lock:
        lock.acquire()
        refuse_existing(path, overwrite)  # the last holder may have written it
        model = train_segmenter(
            pairs,
            num_classes,
            steps,
            options,
            device=device,
            progress=True,
            pixel_side=pixel_side,
        )
        scored, notes = None, dict(meta)
        if pairs.validation:
            scored = score(model, pairs.validation, num_classes, pixel_side=pixel_side)
            curve = [list(point) for point in model.curve]  # (step, mIoU)
            notes |= {"val": scored, "val_curve": curve}
        save_segmenter(path, model, notes, overwrite)
    return scored
