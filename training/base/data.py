"""Images of a pre-training in memory, their random views, and the latents of these."""

from collections.abc import Sequence
from pathlib import Path

import torch
from einops import rearrange
from torch.utils.data import ConcatDataset, DataLoader, Dataset
from torchvision.transforms import v2
from tqdm import tqdm

from core.images import image_size, read_image, to_uint8

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
    """Random views (crop and flips) of images, float32 (3, size, size) in [-1, 1].

    Differs from a training of the control branch: views, prompts and noise come from torch's global
    generator. A pre-training is never resumed, so no draw has to be found again.
    """

    def __init__(self, images: Sequence[torch.Tensor], size: int):
        self.images = images
        self.view = v2.Compose(
            [v2.RandomCrop(size), v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
        )

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.view(self.images[index]).float() / 127.5 - 1  # (3, size, size) in [-1, 1]


class Latents(Dataset):
    """Pairs of a view's posterior moments, (8, h, w), and a prompt.

    The frozen autoencoder encodes each view once, at the start. Every epoch draws new prompts, and
    the training step a new sample of each posterior.

    Args:
        views: images, (3, H, W) in [-1, 1]; drawn `views_per_image` times each.
        prompt_drop: probability of the empty prompt in place of one of `prompts`.
    """

    @torch.no_grad()
    def __init__(self, first_stage_model, views, views_per_image=1, prompts=("",), prompt_drop=0.0):
        # Repeats of the data set are other views: each access draws crop and flips anew.
        loader = DataLoader(ConcatDataset([views] * views_per_image), ENCODE_BATCH)
        # Moments, not samples: one encoding then serves for any number of draws.
        self.moments = torch.cat(
            [
                first_stage_model.encode(images).parameters  # (N, 8, h, w)
                for images in tqdm(loader, desc="encode", unit="batch")
            ]
        )  # (all views, 8, h, w)
        self.prompts, self.prompt_drop = prompts, prompt_drop

    def __len__(self):
        return len(self.moments)

    def __getitem__(self, index):
        # Samples without a prompt teach the unconditional model of guidance (Ho & Salimans 2022).
        dropped = torch.rand(()) < self.prompt_drop
        prompt = "" if dropped else self.prompts[torch.randint(len(self.prompts), ())]
        return self.moments[index], prompt


def shuffled(data: Dataset, batch_size: int) -> DataLoader:
    """Batches in random order, all full unless the data do not fill one."""
    return DataLoader(data, batch_size, shuffle=True, drop_last=len(data) >= batch_size)
