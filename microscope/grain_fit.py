"""Measurement of the grain that an autoencoder drops.

Only power is compared. The difference of an image and its reconstruction would also hold structure
that was moved a little, which is not missing. Power is measured on overlapping tiles under a Hann
window, so that the edges of a picture show in no band.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.checks import bar_for_many
from core.imaging.images import check_image, list_images
from core.imaging.pictures import evenly
from core.imaging.pixel_size import PixelSize
from microscope.grain import (
    LARGEST_FACTOR,
    LEVELS,
    TILE,
    Grain,
    band_masks,
    frequencies,
    local_level,
)

STEP = TILE // 2  # pixels between tiles
FEWEST_PIXELS = 1000  # of a grey level; with fewer its strength comes from its neighbours
DIGITS = 6  # of the numbers in a file
WINDOW = np.outer(np.hanning(TILE + 1)[:-1], np.hanning(TILE + 1)[:-1])  # (TILE, TILE)


def images_to_measure(folder: Path, most: int) -> list[Path]:
    """At most so many images of a folder, evenly spread.

    Raises:
        FileNotFoundError: as `list_images`.
        ValueError: one is damaged or too small.
    """
    paths = evenly(list_images(folder), most)
    for path in bar_for_many(paths):
        height, width = check_image(path)
        if min(height, width) < TILE:
            raise ValueError(
                f"{path}: {width} x {height} pixels, expected at least {TILE} on each side"
            )
    return paths


def tiles_of(plane: np.ndarray) -> np.ndarray:
    """Overlapping tiles of a plane (H, W), (N, TILE, TILE).

    Raises:
        ValueError: the plane is smaller than a tile.
    """
    if min(plane.shape) < TILE:
        height, width = plane.shape
        raise ValueError(f"{width} x {height} pixels, expected at least {TILE} on each side")
    views = np.lib.stride_tricks.sliding_window_view(plane, (TILE, TILE))[::STEP, ::STEP]
    return views.reshape(-1, TILE, TILE)


def tile_spectra(grey: np.ndarray) -> np.ndarray:
    """Fourier transforms of a picture's tiles without their means, complex (N, TILE, TILE).

    White noise has its variance as mean square at each frequency.
    """
    tiles = tiles_of(grey.astype(np.float64))
    means = (tiles * WINDOW).sum(axis=(1, 2), keepdims=True) / WINDOW.sum()
    return np.fft.fft2((tiles - means) * WINDOW) / np.sqrt((WINDOW**2).sum())


def mean_spectrum(grey: np.ndarray) -> np.ndarray:
    """Mean power of a picture (H, W) at each frequency, (TILE, TILE); raises like `tiles_of`."""
    return (np.abs(tile_spectra(grey)) ** 2).mean(axis=0)


def band_power(spectrum: np.ndarray) -> np.ndarray:
    """Variance that each band of a spectrum (TILE, TILE) adds to a pixel, (B,)."""
    return (spectrum * band_masks()).sum(axis=(1, 2)) / TILE**2


def lag_one(spectrum: np.ndarray) -> tuple[float, float]:
    """Correlation of neighbouring pixels along x and along y, of all bands together.

    The autocorrelation is the Fourier transform of the spectrum (Wiener-Khinchin).
    """
    power = spectrum * band_masks().any(axis=0)
    along_y, along_x = (
        float((power * np.cos(2 * np.pi * frequency)).sum() / power.sum())
        for frequency in frequencies()
    )
    return along_x, along_y


def _by_level(spectra: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Power of each band summed over the pixels of each grey level, (B, L).

    Args:
        spectra: as `tile_spectra` gives them.
        levels: numbers of the grey levels of the tiles, (N, TILE, TILE).
    """
    powers = []
    for mask in band_masks():
        # Windowed like the tiles, hence the window in the sums of `Missing.counts` too
        filtered = np.fft.ifft2(spectra * mask).real * np.sqrt((WINDOW**2).sum())
        powers.append(np.bincount(levels.ravel(), (filtered**2).ravel(), len(LEVELS)))
    return np.stack(powers)


@dataclass(frozen=True)
class Missing:
    """Power that the reconstruction of one picture lacks; it may be negative by chance.

    Attributes:
        spectrum: by frequency, (TILE, TILE), summed over tiles.
        powers: by band and grey level, (B, L), summed over pixels.
        counts: pixels of each grey level as the window weighs them, (L,).
    """

    spectrum: np.ndarray
    powers: np.ndarray
    counts: np.ndarray


def measure_missing(real: np.ndarray, reconstruction: np.ndarray) -> Missing:
    """The power that a reconstruction lacks.

    Args:
        real, reconstruction: (H, W) in [0, 1].
    Raises:
        ValueError: as `tiles_of`.
    """
    level = local_level(reconstruction.astype(np.float64))
    levels = tiles_of((level * len(LEVELS)).astype(int).clip(0, len(LEVELS) - 1))
    spectra = [tile_spectra(picture) for picture in (real, reconstruction)]
    power, kept = ((np.abs(each) ** 2).sum(axis=0) for each in spectra)
    powers, kept_powers = (_by_level(each, levels) for each in spectra)
    weights = np.broadcast_to(WINDOW**2, levels.shape)
    counts = np.bincount(levels.ravel(), weights.ravel(), len(LEVELS))
    return Missing(power - kept, powers - kept_powers, counts)


def fit_grain(
    measured: Sequence[Missing], pixels: int, pixel_size: PixelSize | None = None
) -> Grain:
    """The grain that pictures lack together.

    Args:
        measured: one for each picture.
        pixels, pixel_size: how many they have, and of what size; None where it is unknown.
    Raises:
        ValueError: they lack no power, or are too small to tell.
    """
    counts = sum(missing.counts for missing in measured)  # (L,)
    known = counts >= FEWEST_PIXELS
    if not known.any():
        raise ValueError("too few pixels to measure grain. Give more or larger images.")
    powers = sum(missing.powers for missing in measured)  # (B, L)
    variances = np.maximum(powers[:, known] / counts[known], 0)
    strengths = np.stack([np.interp(LEVELS, LEVELS[known], row) for row in np.sqrt(variances)])
    spectrum = np.maximum(sum(missing.spectrum for missing in measured), 0)
    spectrum *= band_masks().any(axis=0)
    factors = np.array([_factor(missing, strengths) for missing in measured])
    if not (strengths.any() and spectrum.any() and factors.any()):
        raise ValueError(
            "the reconstructions have as much fine structure as the images: no grain is missing"
        )
    factors /= np.sqrt((factors**2).mean())  # so that the pictures together keep their power
    return Grain(
        pixel_size_nm=list(pixel_size) if pixel_size else None,
        images=len(measured),
        pixels=pixels,
        factors=_rounded(factors.clip(max=LARGEST_FACTOR)),
        strengths=_rounded(strengths),
        spectrum=_rounded(spectrum / spectrum.max()),
    )


def _factor(missing: Missing, strengths: np.ndarray) -> float:
    """Deviation that a picture lacks, relative to what the strengths (B, L) say of its levels."""
    expected = (strengths**2 @ missing.counts).sum()
    # Band by band: structure that a reconstruction invents in one does not pay for another.
    found = np.maximum(missing.powers.sum(axis=1), 0).sum()
    return float(np.sqrt(found / expected)) if expected > 0 else 1.0


def _rounded(numbers: np.ndarray) -> list:
    """Numbers as nested lists with `DIGITS` digits each."""
    if numbers.ndim > 1:
        return [_rounded(row) for row in numbers]
    return [float(f"{number:.{DIGITS}g}") for number in numbers]
