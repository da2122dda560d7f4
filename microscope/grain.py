"""Grain: noise of a microscope, coloured and of a strength that follows the grey level.

An autoencoder drops it: latents have no room for noise. `microscope.grain_fit` measures what
is missing.

The noise is a sum over bands of spatial frequency, n(x) = c * sum_b s_b(g(x)) w_b(x). Here w_b is
noise of unit variance with the measured spectrum, g the local grey level of the picture, s_b the
deviation that is missing at this level, and c a factor of the whole picture.
"""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from core.recording.records import Record, read_checked

TILE = 64  # pixels: side of the tiles that spectra are measured on
# Cycles per pixel at which a band begins; the last one goes on to the corners of the spectrum.
# Slower changes than the first are shading and structure, which autoencoders keep.
BANDS = (1 / 16, 1 / 8, 1 / 4)
LEVELS = (np.arange(16) + 0.5) / 16  # grey levels at which the strength is known
SMOOTHING = 2.0  # pixels: deviation of the Gaussian that averages a local grey level
LARGEST_FACTOR = 100.0  # of a picture; more is no measurement

Power = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(ge=0, le=LARGEST_FACTOR)]


def exactly(kind, length: int):
    """Type of a list of `length` items of a kind."""
    return Annotated[list[kind], Field(min_length=length, max_length=length)]


def frequencies() -> tuple[np.ndarray, np.ndarray]:
    """Vertical and horizontal frequency of a tile's spectrum, cycles per pixel, (TILE, TILE)."""
    return tuple(np.meshgrid(np.fft.fftfreq(TILE), np.fft.fftfreq(TILE), indexing="ij"))


def band_masks() -> np.ndarray:
    """Frequencies of each band in a tile's spectrum, bool (B, TILE, TILE)."""
    distance = np.hypot(*frequencies())
    ends = (*BANDS[1:], np.inf)
    return np.stack(
        [(low <= distance) & (distance < high) for low, high in zip(BANDS, ends, strict=True)]
    )


def local_level(grey: np.ndarray) -> np.ndarray:
    """Mean grey level around each pixel, (H, W)."""
    from scipy.ndimage import gaussian_filter  # here: programs read the constants for their help

    return gaussian_filter(grey, SMOOTHING, mode="reflect")


class Grain(Record):
    """A measured grain, as its file holds it.

    Attributes:
        spectrum: power by vertical and horizontal frequency, in the order of `numpy.fft.fftfreq`;
            only ratios inside a band count.
        strengths: deviation of each band at each of `LEVELS`, in units of full intensity.
        factors: of the pictures that were measured, relative to their mean.
        pixels, images: how many were measured.
        pixel_size_nm: height and width of a pixel; None where it is unknown.
        autoencoder: `cldm.first_values` of the one that drops this grain; None in files of older
            versions.
    """

    kind: Literal["grain"] = "grain"
    pixel_size_nm: exactly(PositiveFloat, 2) | None
    images: PositiveInt
    pixels: PositiveInt
    factors: Annotated[list[Factor], Field(min_length=1)]
    strengths: exactly(exactly(Power, len(LEVELS)), len(BANDS))
    spectrum: exactly(exactly(Power, TILE), TILE)
    autoencoder: list[float] | None = None

    @cached_property
    def kernels(self) -> np.ndarray:
        """Kernels that give white noise the spectrum of each band, (B, TILE, TILE).

        The squares of each sum to 1, so that the noise keeps unit variance. The kernel of a band
        without power is 0.
        """
        amplitudes = np.sqrt(self.spectrum) * band_masks()  # (B, TILE, TILE)
        kernels = np.fft.fftshift(np.fft.ifft2(amplitudes).real, axes=(1, 2))
        energy = (kernels**2).sum(axis=(1, 2), keepdims=True)
        return kernels / np.sqrt(np.where(energy > 0, energy, 1))

    def add(self, picture: np.ndarray, seed: int) -> np.ndarray:
        """The picture with grain, float64 (H, W, 3), not clipped.

        Args:
            picture: (H, W, 3) in [0, 1], of any size. All channels get the same grain.
            seed: of the picture; nothing else decides how the grain falls.
        """
        import torch  # here, as above
        from scipy.signal import fftconvolve

        from core.draws import sample_generator

        height, width = picture.shape[:2]
        generator = sample_generator(seed, "grain", 0)
        factor = np.quantile(self.factors, torch.rand((), generator=generator).item())
        # Larger than the picture: a convolution that wraps around would tie opposite edges.
        size = height + TILE - 1, width + TILE - 1
        white = torch.randn(size, generator=generator, dtype=torch.float64).numpy()
        bands = fftconvolve(white[None], self.kernels, mode="valid", axes=(1, 2))  # (B, H, W)
        level = local_level(picture.mean(axis=-1))
        noise = sum(
            np.interp(level, LEVELS, strengths) * band
            for strengths, band in zip(self.strengths, bands, strict=True)
        )
        return picture + factor * noise[..., None]


def read_grain(path: Path) -> Grain:
    """The grain of a file; raises like `core.recording.records.read_checked`."""
    return read_checked(path, Grain)
