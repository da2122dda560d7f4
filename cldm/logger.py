"""What a training shows: pictures while it runs, and a loss curve at its end."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger
from torchvision.utils import make_grid

from cldm.sampling import PREVIEW, SamplingOptions, sample_images, to_pixels
from core.images import write_png
from core.pictures import class_colours
from core.seeds import sample_seed


def hint_to_pixels(hint) -> np.ndarray:
    """Condition image (N, C, H, W) in [0, 1] -> uint8 (N, H, W, 3).

    Three channels are shown as they are; other numbers as the colour of the strongest class, edges of RGBA in white.
    """
    if hint.shape[1] == 3:
        return to_pixels(hint * 2 - 1)
    classes = hint[:, :3] if hint.shape[1] == 4 else hint
    pixels = (class_colours(classes.argmax(dim=1).cpu().numpy()) * 255).astype(np.uint8)
    if hint.shape[1] == 4:
        pixels[hint[:, 3].cpu().numpy() > 0.5] = 255
    return pixels


def prompt_to_pixels(prompts, size) -> np.ndarray:
    """Each prompt written on white, uint8 (N, H, W, 3)."""
    height, width = size
    font_size = max(8, width // 20)
    columns = max(8, int(width / (0.55 * font_size)))
    pictures = []
    for prompt in prompts:
        lines, words = [""], prompt.split()
        for word in words:
            if lines[-1] and len(lines[-1]) + 1 + len(word) > columns:
                lines.append("")
            lines[-1] = f"{lines[-1]} {word}".strip()
        picture = Image.new("RGB", (width, height), "white")
        ImageDraw.Draw(picture).multiline_text(
            (4, 4), "\n".join(lines), fill="black", font=ImageFont.load_default(font_size)
        )
        pictures.append(np.asarray(picture))
    return np.stack(pictures)


class ImageLogger(Callback):
    """Every `every_n_batches` batches: reconstruction, control, prompt and samples, as files in the run folder and to the loggers.

    Files are `image_log/train/<key>_gs-<step>_e-<epoch>_b-<batch>.png`. The training's random state is not touched.
    """

    def __init__(
        self,
        run_dir: Path,
        every_n_batches: int,
        max_images: int = 4,
        options: SamplingOptions = PREVIEW,
    ):
        self.folder = run_dir / "image_log" / "train"
        self.every_n_batches = every_n_batches
        self.max_images = max_images
        self.options = options

    @torch.no_grad()
    def log_images(self, model, batch) -> dict[str, np.ndarray]:
        """Pictures by key, each uint8 (N, H, W, 3)."""
        n = min(self.max_images, len(batch["jpg"]))
        image = batch["jpg"][:n].permute(0, 3, 1, 2)
        hint = batch["hint"][:n].permute(0, 3, 1, 2).contiguous()
        prompts = list(batch["txt"][:n])
        seeds = [sample_seed(0, "image_log", i) for i in range(n)]
        reconstruction = model.first_stage_model.decode(
            model.first_stage_model.encode(image).mode()
        )
        return {
            "reconstruction": to_pixels(reconstruction),
            "control": hint_to_pixels(hint),
            "conditioning": prompt_to_pixels(prompts, image.shape[2:]),
            f"samples_cfg_scale_{self.options.scale:.2f}": sample_images(
                model, [hint], prompts, seeds, self.options
            ),
        }

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if (
            trainer.fit_loop.total_batch_idx + 1
        ) % self.every_n_batches or not trainer.is_global_zero:
            return
        pl_module.eval()
        pictures = self.log_images(pl_module, batch)
        pl_module.train()
        self.folder.mkdir(parents=True, exist_ok=True)
        step, epoch = trainer.global_step, trainer.current_epoch
        for key, pixels in pictures.items():
            grid = (
                make_grid(torch.from_numpy(pixels).permute(0, 3, 1, 2), nrow=2)
                .permute(1, 2, 0)
                .numpy()
            )
            write_png(self.folder / f"{key}_gs-{step:06}_e-{epoch:06}_b-{batch_idx:06}.png", grid)
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    logger.experiment.add_image(f"train/{key}", grid, step, dataformats="HWC")
                elif isinstance(logger, WandbLogger):
                    logger.log_image(f"train/{key}", [grid], step=step)
