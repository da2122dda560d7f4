"""Agreement of drawn pictures with their masks, as a segmenter sees it, while a training runs."""

from collections.abc import Callable

import numpy as np
import torch
from pytorch_lightning.callbacks import Callback

from cldm.options import SamplingOptions
from cldm.sampling import NotFiniteError, sample_images
from core.imaging.pictures import evenly
from core.lightning import gather_objects
from core.notices import report
from core.samples import channels_first
from core.seeds import sample_seed
from dataset import ValidationSet

# A picture, uint8 (H, W, 3), and labels, (H, W) -> pixels in the intersection and in the union of
# predicted and true class, int64 (2, C).
CountOverlap = Callable[[np.ndarray, np.ndarray], np.ndarray]


class ValidationAgreement(Callback):
    """Draw pictures for some validation masks after each validation and log `val/agreement`.

    The pictures have the same seeds each time. Every process draws its share, one at a time.

    Args:
        dataset: validation samples, whose conditions carry labels.
        count_overlap: the segmenter.
        number: pictures, at most; they are evenly spread over the samples.
        sampling: how they are drawn.
    """

    def __init__(
        self,
        dataset: ValidationSet,
        count_overlap: CountOverlap,
        number: int,
        sampling: SamplingOptions,
    ):
        self.dataset, self.count_overlap, self.sampling = dataset, count_overlap, sampling
        self.indices = evenly(range(len(dataset)), number)

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer, pl_module):
        """Draw, segment and log; NaN, which is no best, where a picture is not finite."""
        own = self.indices[trainer.global_rank :: trainer.world_size]
        counts = sum(self._counts(pl_module.model, index) for index in own)
        intersection, union = sum(gather_objects(trainer, counts))
        if np.isnan(union).any():
            report(f"step {trainer.global_step}: no val/agreement, an image is not finite")
        # A class that neither the masks nor the predictions hold has no IoU.
        miou = float((intersection[union != 0] / union[union != 0]).mean())
        self.log("val/agreement", miou, prog_bar=True)

    def _counts(self, model, index) -> np.ndarray:
        """Intersections and unions of one picture, (2, C) float."""
        sample = self.dataset[index]
        hint = channels_first([sample.hint])  # (1, C, H, W)
        labels = self.dataset.dataset.condition.labels(sample.hint.numpy())  # (H, W)
        try:
            seed = sample_seed(0, "agreement", index)
            (picture,) = sample_images(model, [hint], [sample.prompt], [seed], self.sampling)
        except NotFiniteError:
            return np.full((2, 1), np.nan)  # spreads over the sum
        return self.count_overlap(picture, labels).astype(float)
