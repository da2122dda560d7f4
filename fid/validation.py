"""FID and KID of images that a model draws for its validation conditions while it trains."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning.callbacks import Callback
from torch.utils.data import DataLoader
from tqdm import tqdm

from cldm.sampling import NotFiniteError
from core.imaging.images import write_png
from core.lightning import gather_objects
from core.seeds import sample_seed
from core.signals import leave_stops_to_parent
from fid.backbones.loading import Backbone
from fid.distances import frechet_distance, kid, statistics_of


class ValidationFid(Callback):
    """Draw an image for every validation condition and log `val/cem_fid` and `val/cem_kid`.

    It does so after each validation. Image i has the same seed in every epoch, so epochs compare,
    and the training's random state is untouched. Every process draws its share. Features of the
    real images are computed once.

    Args:
        dataset: validation samples with an `image`, float (h, w, 3) in [-1, 1], and what `draw`
            needs; the same in every process.
        backbone: the network that scores; it is kept out of the trained model.
        draw: function from model, samples and seeds to pictures, uint8 (N, h, w, 3).
        batch_size: pictures drawn at once.
        num_workers: processes that read the samples.
        seed: of the pictures.
        folder: where the pictures of each epoch are kept, in a folder of its own; None for nowhere.
    """

    def __init__(
        self,
        dataset,
        backbone: Backbone,
        draw: Callable,
        batch_size: int,
        num_workers: int,
        seed: int,
        folder: Path | None = None,
    ):
        self.dataset, self.backbone, self.draw, self.folder = dataset, backbone, draw, folder
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.real = None  # features of the real images, (n, D)

    def on_fit_start(self, trainer, pl_module):
        """Move the backbone: "cuda" was the first GPU so far, now it is this process's own."""
        self.backbone.network.to(self.backbone.device)

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer, pl_module):
        """Draw, score and log."""
        # `draw` seeds its own noise, yet samplers and layers may draw from the global generators.
        on_gpu = pl_module.device.type == "cuda"
        with torch.random.fork_rng(devices=[pl_module.device] if on_gpu else []):
            real, generated = [], []
            for indices, samples in self._batches(trainer):
                seeds = [sample_seed(self.seed, "val_fid", index) for index in indices]
                generated.append(self._features_drawn(pl_module, samples, seeds, indices))
                if self.real is None:  # the first validation; real images stay the same
                    images = [sample.image.numpy() / 2 + 0.5 for sample in samples]  # in [0, 1]
                    real.append(self._features(images))
        if self.real is None:
            self.real = self._of_all_processes(trainer, real)
        generated = self._of_all_processes(trainer, generated)
        if np.isnan(generated).any():
            distance = kernel_distance = math.nan  # which is no best epoch
            warnings.warn(
                f"step {trainer.global_step}: no FID, because images have values that are NaN or "
                "infinite",
                stacklevel=2,
            )
        else:
            distance = frechet_distance(statistics_of(self.real), statistics_of(generated))
            kernel_distance = kid(self.real, generated).value
        self.log_dict({"val/cem_fid": distance, "val/cem_kid": kernel_distance})

    def _keep(self, pictures, indices, trainer):
        """Write pictures, uint8 (N, h, w, 3), under their published names."""
        # As published, unless an epoch has several validations, or only some epochs have one.
        by_epoch = trainer.check_val_every_n_epoch is not None
        step = f"step_{trainer.global_step:06}"
        folder = self.folder / (f"epoch_{trainer.current_epoch:04}" if by_epoch else step)
        for index, picture in zip(indices, pictures, strict=True):
            write_png(folder / f"{index:06}.png", picture)

    def _batches(self, trainer):
        """(indices, samples) of this process, with a progress bar."""
        # Shares without padding: a sample that is drawn twice would count twice in the FID.
        indices = range(trainer.global_rank, len(self.dataset), trainer.world_size)
        batches = [
            indices[i : i + self.batch_size] for i in range(0, len(indices), self.batch_size)
        ]
        loader = DataLoader(
            self.dataset,
            batch_sampler=batches,
            num_workers=self.num_workers,
            collate_fn=list,
            worker_init_fn=leave_stops_to_parent,
        )
        hidden = not trainer.is_global_zero
        bar = tqdm(loader, desc="images for the FID", leave=False, disable=hidden)
        return zip(batches, bar, strict=True)

    def _features_drawn(self, pl_module, samples, seeds, indices):
        """Features of drawn pictures, (N, D); NaN where one of them is not finite."""
        try:
            pictures = self.draw(pl_module, samples, seeds)  # (N, h, w, 3)
        except NotFiniteError:
            # Not raised: the training may recover, and other processes wait for these features.
            return np.full((len(samples), self.backbone.width), np.nan, np.float32)
        if self.folder:
            self._keep(pictures, indices, pl_module.trainer)
        return self._features(pictures)

    def _features(self, pictures):
        """Features of pictures (h, w, 3), (N, D)."""
        prepared = [self.backbone.preprocessing(picture) for picture in pictures]
        return self.backbone.features(torch.stack(prepared))  # (N, D)

    def _of_all_processes(self, trainer, batches):
        """Features of all processes, (n, D), the same everywhere; scores do not see their order."""
        none = np.empty((0, self.backbone.width), np.float32)  # a process may have no sample
        own = np.concatenate([none, *batches])
        return np.concatenate(gather_objects(trainer, own))  # (n, D)
