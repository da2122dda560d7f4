"""Images of a pre-training in memory, their random views, and the latents of these."""

from collections.abc import Sequence
from pathlib import Path

import torch
from einops import rearrange
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from core.draws import SeededDraws, sample_generator
from core.imaging.images import image_size, read_image, to_uint8
from core.prompts import pick_prompt
from core.seeds import sample_seed
from training.step.latents import LatentCache

ENCODE_BATCH = 16  # views that the frozen autoencoder encodes at once


def read_images(paths: Sequence[Path], smallest: int) -> list[torch.Tensor]:
    """All images in memory, uint8 (3, H, W) each.

    Raises:
        ValueError: an image has a side below `smallest` pixels; found before any pixel is read.
    """
    # Sizes stand in the files' heads, so all are checked before the slow decoding.
    for path in paths:
        height, width = image_size(path)
        if min(height, width) < smallest:
            raise ValueError(
                f"{path}: {width} x {height} pixels, smaller than --image_size {smallest}"
            )
    images = []
    for path in tqdm(paths, desc="read images", unit="image"):
        pixels = to_uint8(read_image(path))  # (H, W, 3)
        # uint8: a quarter of the memory of floats. `Views` scales the crops that it takes.
        images.append(torch.from_numpy(rearrange(pixels, "h w c -> c h w")))  # (3, H, W)
    return images


class Views(Dataset):
    """Random views (crop and flips) of images.

    `dataset[index, seed]` is (view, seed), the view float32 (3, size, size) in [-1, 1]. It depends
    on index and seed alone.
    """

    def __init__(self, images: Sequence[torch.Tensor], size: int):
        self.images, self.size = images, size

    def __len__(self):
        return len(self.images)

    def __getitem__(self, item):
        index, seed = item
        image, generator = self.images[index], sample_generator(seed, "view", index)
        draws = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
        top, left = (
            int(draw * (side - self.size + 1))
            for draw, side in zip(draws, image.shape[1:], strict=False)
        )
        view = image[:, top : top + self.size, left : left + self.size]  # (3, size, size)
        view = view.flip([dim for dim, draw in zip((1, 2), draws[2:], strict=True) if draw < 0.5])
        return view.float() / 127.5 - 1, seed


class Latents(Dataset):
    """Views as their posterior moments, with a prompt.

    The frozen autoencoder encodes each view once, at the start, on the device where it lies.
    `dataset[index, seed]` is (moments (2 C, h, w), prompt, seed).

    Args:
        views: images; each is encoded `views_per_image` times.
        seed: of the run.
        cache: where the moments are kept.
        prompt_drop: probability of the empty prompt in place of one of `prompts`.
    """

    @torch.no_grad()
    def __init__(
        self,
        first_stage_model: torch.nn.Module,
        views: Views,
        seed: int,
        cache: LatentCache,
        views_per_image: int = 1,
        prompts: Sequence[str] = ("",),
        prompt_drop: float = 0.0,
    ):
        keys = [
            (index, sample_seed(seed, f"latent {k}", index))
            for k in range(views_per_image)
            for index in range(len(views))
        ]
        loader = DataLoader(views, ENCODE_BATCH, sampler=keys)
        self.cache, self.length = cache, 0
        device = next(first_stage_model.parameters()).device
        for images, _ in tqdm(loader, desc="encode", unit="batch"):
            # Moments, not samples: one encoding then serves for any number of draws.
            moments_of_batch = first_stage_model.encode(images.to(device)).parameters.cpu()
            for moments in moments_of_batch:  # (2 C, h, w) each
                cache[self.length] = moments
                self.length += 1
        self.prompts, self.prompt_drop = prompts, prompt_drop

    def __len__(self):
        return self.length

    def __getitem__(self, item):
        index, seed = item
        generator = sample_generator(seed, "prompt", index)
        drop, place = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        text = pick_prompt(self.prompts, self.prompt_drop, place, drop)
        return self.cache[index], text, seed


def load(
    data: Dataset, batch_size: int, steps: int, seed: int, name: str, start: int = 0
) -> DataLoader:
    """`steps` full batches of a data set whose items are asked for by (index, seed).

    Args:
        start: number of finished batches; the loader begins after them.
    """
    draws = SeededDraws(len(data), steps * batch_size, seed, name, start * batch_size)
    return DataLoader(data, batch_size, sampler=draws)
