"""Pictures that a training draws while it runs."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger
from torchvision.utils import make_grid

from cldm.options import PREVIEW, SamplingOptions
from cldm.sampling import NotFiniteError, sample_images, to_pixels
from core.imaging.images import to_uint8, write_png
from core.imaging.pictures import prompt_to_pixels
from core.seeds import sample_seed


def hint_as_colours(hint: np.ndarray) -> np.ndarray:
    """The first three channels of a hint (H, W, C) as R, G, B: uint8 (H, W, 3), as published."""
    return to_uint8(np.pad(hint, ((0, 0), (0, 0), (0, max(0, 3 - hint.shape[2]))))[..., :3])


class ImageLogger(Callback):
    """Log reconstruction, control, prompt and samples every `batch_frequency` batches.

    Files are `image_log/train/<key>_gs-<step>_e-<epoch>_b-<batch>.png` below the trainer's folder.
    The training's random state is not touched.

    Args:
        batch_frequency: batches between two logs.
        max_images: samples of a batch that are shown.
        options: how samples are drawn.
        folder: where the files go instead.
        preview: function from a hint (H, W, C) in [0, 1] to uint8 (H, W, 3).
        epoch_starts: log the first batch of each epoch too.
    """

    def __init__(
        self,
        batch_frequency: int = 300,
        max_images: int = 4,
        options: SamplingOptions = PREVIEW,
        folder: Path | None = None,
        preview: Callable[[np.ndarray], np.ndarray] = hint_as_colours,
        epoch_starts: bool = False,
    ):
        self.batch_frequency, self.max_images, self.options = batch_frequency, max_images, options
        self.folder, self.preview, self.epoch_starts = folder, preview, epoch_starts

    def unpack(self, pl_module, batch):
        """Model, latents (N, C, h, w), hints (N, C, H, W) and prompts that are shown of a batch.

        The latents are the autoencoder's own, without the scale factor.
        """
        image = rearrange(batch["jpg"], "n h w c -> n c h w")
        hint = rearrange(batch["hint"], "n h w c -> n c h w").contiguous()
        # The mean, not a draw, so that a log shows the autoencoder's best reconstruction.
        latents = pl_module.first_stage_model.encode(image[: self.max_images]).mode()
        return pl_module, latents, [hint], list(batch["txt"])

    @torch.no_grad()
    def log_images(self, pl_module, batch) -> dict[str, np.ndarray]:
        """Pictures by key, each uint8 (N, H, W, 3)."""
        model, latents, hints, prompts = self.unpack(pl_module, batch)
        n = min(self.max_images, len(prompts))
        hints, prompts = [hint[:n] for hint in hints], prompts[:n]
        # The same noise in every log: logs differ by the model and the batch alone.
        seeds = [sample_seed(0, "image_log", i) for i in range(n)]
        shown = rearrange(hints[0], "n c h w -> n h w c").cpu().numpy()
        samples = sample_images(model, hints, prompts, seeds, self.options)
        return {
            "reconstruction": to_pixels(model.first_stage_model.decode(latents[:n])),
            "control": np.stack([self.preview(hint) for hint in shown]),
            "conditioning": prompt_to_pixels(prompts, hints[0].shape[2:]),
            f"samples_cfg_scale_{self.options.scale:.2f}": samples,
        }

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Draw, write and send the pictures where this batch is due; on one process only."""
        # Of all epochs together: `batch_idx` starts anew in each, and short ones would never log.
        due = (trainer.fit_loop.total_batch_idx + 1) % self.batch_frequency == 0
        due = due or (self.epoch_starts and batch_idx == 0)
        if not due or not trainer.is_global_zero:
            return
        # Frozen parts are in evaluation mode already and must stay there, so modes are kept singly.
        modes = {module: module.training for module in pl_module.modules()}
        pl_module.eval()
        try:
            pictures = self.log_images(pl_module, batch)
        except NotFiniteError as error:
            # Guidance can overflow 16 bits where training does not. An error on this process alone
            # would also leave the others waiting.
            warnings.warn(f"step {trainer.global_step}: no image log, {error}", stacklevel=2)
            pictures = {}
        for module, training in modes.items():
            module.training = training
        folder = self.folder or Path(trainer.default_root_dir) / "image_log" / "train"
        folder.mkdir(parents=True, exist_ok=True)
        step, epoch = trainer.global_step, trainer.current_epoch
        for key, pixels in pictures.items():
            tiles = torch.from_numpy(rearrange(pixels, "n h w c -> n c h w"))
            grid = rearrange(make_grid(tiles, nrow=2), "c h w -> h w c").numpy()
            write_png(folder / f"{key}_gs-{step:06}_e-{epoch:06}_b-{batch_idx:06}.png", grid)
            _send(trainer.loggers, f"train/{key}", grid, step)


def _send(loggers, name: str, picture: np.ndarray, step: int) -> None:
    """Hand a picture, uint8 (H, W, 3), to those loggers that take pictures."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, picture, step, dataformats="HWC")
        elif isinstance(logger, WandbLogger):
            logger.log_image(name, [picture], step=step)
