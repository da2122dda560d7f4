"""Grain on generated images, which the decoder draws too smooth."""

from pathlib import Path

import torch
from einops import rearrange

from cldm.first_values import are_same_weights, first_values
from cldm.model import load_autoencoder
from core.imaging.pixel_size import as_pixel_size
from generation.planning.branches import Branch
from microscope.grain import Grain, read_grain


def chosen_grain(path: Path | None, branch: Branch, base: Path) -> Grain | None:
    """The grain of a file; None for none.

    Args:
        path: the option --grain.
        branch: the first one. Its conditions tell the images' pixel size; where they do not, its
            weights' training does.
        base: file with the autoencoder that decodes the images.
    Raises:
        FileNotFoundError, ValueError: no such file, or it is damaged, holds something else, was
            measured at a pixel size that differs by more than a tenth, or with another
            autoencoder.
    """
    if path is None:
        return None
    grain = read_grain(path)
    measured = as_pixel_size(grain.pixel_size_nm)
    known = branch.pixel_size
    whose = "images" if known else "images of the training"
    size = known or branch.trained_pixel_size
    if measured and size and not measured.is_like(size):
        raise ValueError(
            f"--grain {path}: was measured on pixels of {measured}, but the {whose} have "
            f"pixels of {size}. Measure the grain of such images."
        )
    own = grain.autoencoder  # None in files of older versions
    found = first_values(load_autoencoder(base)) if own else ()
    # Without any, the model says what is missing.
    if len(found) and not are_same_weights(own, found):
        raise ValueError(
            f"--grain {path}: was measured with another autoencoder than that of {base}, which "
            f"drops other things. Measure it with utils/fit_grain.py --weights {base}"
        )
    return grain


def add_grain(grain: Grain, decoded: torch.Tensor, seed: int) -> torch.Tensor:
    """A decoded picture with grain, float64 (1, 3, H, W) on the CPU; see `Grain.add`.

    Args:
        decoded: (1, 3, H, W) in [-1, 1].
        seed: of the picture.
    """
    picture = rearrange(decoded, "1 c h w -> h w c").double().cpu().numpy()  # (H, W, 3)
    grained = torch.from_numpy(grain.add((picture + 1) / 2, seed))
    return rearrange(2 * grained - 1, "h w c -> 1 c h w")
