"""FID and KID of images that a model draws for its validation conditions while it trains."""

from collections.abc import Callable

import numpy as np
import torch
from einops import rearrange
from pytorch_lightning.callbacks import Callback
from torch.utils.data import DataLoader
from tqdm import tqdm

from core.seeds import sample_seed
from fid.backbones import DIMENSIONS, Backbone
from fid.distances import frechet_distance, kid, statistics_of


class ValidationFid(Callback):
    """After each validation: draw an image for every validation condition, log `val/cem_fid` and `val/cem_kid`.

    Image i has the same seed in every epoch, so epochs compare, and the training's random state is untouched. Every process draws
    its share; features of the real images are computed once.

    Args:
        dataset: validation samples with an `image`, float (3, h, w) in [-1, 1], and what `draw`
            needs; the same in every process.
        backbone: what scores; it is kept out of the trained model.
        draw: function from model, samples and seeds to pictures, uint8 (N, h, w, 3).
        batch_size: pictures drawn at once.
        num_workers: processes that read the samples.
        seed: of the pictures.
    """

    def __init__(
        self,
        dataset,
        backbone: Backbone,
        draw: Callable,
        batch_size: int,
        num_workers: int,
        seed: int,
    ):
        self.dataset, self.backbone, self.draw = dataset, backbone, draw
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.real = None

    def on_fit_start(self, trainer, pl_module):
        self.backbone.network.to(
            self.backbone.device
        )  # "cuda" was the first GPU so far, from here on it is this process's own

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer, pl_module):
        with torch.random.fork_rng(
            devices=[pl_module.device] if pl_module.device.type == "cuda" else []
        ):
            real, generated = [], []
            for indices, samples in self._batches(trainer):
                seeds = [sample_seed(self.seed, "val_fid", index) for index in indices]
                generated.append(self._features(self.draw(pl_module, samples, seeds)))
                if self.real is None:
                    pixels = [rearrange(sample.image, "c h w -> h w c") for sample in samples]
                    real.append(self._features([one.numpy() / 2 + 0.5 for one in pixels]))
        self.real = _gather(trainer, real) if self.real is None else self.real
        generated = _gather(trainer, generated)
        distance = frechet_distance(statistics_of(self.real), statistics_of(generated))
        self.log_dict({"val/cem_fid": distance, "val/cem_kid": kid(self.real, generated).value})

    def _batches(self, trainer):
        """(indices, samples) of this process, with a progress bar."""
        indices = range(trainer.global_rank, len(self.dataset), trainer.world_size)
        batches = [
            indices[i : i + self.batch_size] for i in range(0, len(indices), self.batch_size)
        ]
        loader = DataLoader(
            self.dataset, batch_sampler=batches, num_workers=self.num_workers, collate_fn=list
        )
        return zip(
            batches,
            tqdm(
                loader, desc="images for the FID", leave=False, disable=not trainer.is_global_zero
            ),
            strict=True,
        )

    def _features(self, pictures):
        return self.backbone.features(
            torch.stack([self.backbone.preprocessing(picture) for picture in pictures])
        )


def _gather(trainer, batches):
    """Features of all processes, (n, D), the same everywhere; their order does not matter to the scores."""
    features = np.concatenate([np.empty((0, DIMENSIONS), np.float32), *batches])
    if trainer.world_size == 1:
        return features
    shares = [None] * trainer.world_size
    torch.distributed.all_gather_object(shares, features)
    return np.concatenate(shares)
