"""Tables and pictures of a measured grain: spectra without it and with it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.files import whole_file
from core.imaging.images import to_uint8
from core.imaging.pictures import centre, evenly, tile
from core.text import table
from microscope.grain import BANDS, LEVELS, TILE, Grain, frequencies
from microscope.grain_fit import band_power, lag_one, mean_spectrum

KINDS = ("real", "reconstruction", "with grain")
SHOWN, SHOWN_SIDE = 4, 256  # images in the picture; pixels of each, not scaled


def to_colours(grey: np.ndarray) -> np.ndarray:
    """Grey (H, W) as (H, W, 3)."""
    return np.repeat(grey[..., None], 3, axis=-1)


def with_grain(grain: Grain, reconstruction: np.ndarray, number: int) -> np.ndarray:
    """A reconstruction with grain in 8 bits, float32 (H, W) in [0, 1]."""
    return to_uint8(grain.add(to_colours(reconstruction), number))[..., 0] / np.float32(255)


def mean_spectra(rows: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """The mean spectrum of each kind, (TILE, TILE).

    Args:
        rows: for each image the picture of each of `KINDS`, (H, W) in [0, 1].
    """
    return [
        np.mean([mean_spectrum(picture) for picture in column], axis=0)
        for column in zip(*rows, strict=True)
    ]


def compare_spectra(spectra: Sequence[np.ndarray]) -> str:
    """A table of the power in each band and of the correlation of neighbours.

    Args:
        spectra: of images, of reconstructions, and of these with grain, (TILE, TILE) each.
    """
    ends = [*(f"{1 / high:g}" for high in BANDS[1:]), "2"]
    bands = [f"1/{1 / low:g} to 1/{end}" for low, end in zip(BANDS, ends, strict=True)]
    rows = [["", *bands, "lag 1 along x", "lag 1 along y"]]
    for kind, spectrum in zip(KINDS, spectra, strict=True):
        deviations = [f"{255 * x:.1f}" for x in np.sqrt(band_power(spectrum))]
        rows.append([kind, *deviations, *(f"{x:.2f}" for x in lag_one(spectrum))])
    return table(rows)


def draw_rows(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """The centres of some images, a row each, uint8 (H, W, 3).

    Args:
        rows: as in `mean_spectra`.
    """
    shown = [[to_colours(centre(each, SHOWN_SIDE)) for each in row] for row in evenly(rows, SHOWN)]
    return tile(shown, heads=KINDS)


def draw_curves(path: Path, spectra: Sequence[np.ndarray], grain: Grain) -> None:
    """Draw spectra over frequency and strengths over grey level, as a PNG."""
    from matplotlib.figure import Figure  # here: it takes half a second to import

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    ring = np.hypot(*frequencies()) * TILE
    middles = np.arange(1, TILE // 2 + 1)
    for kind, spectrum in zip(KINDS, spectra, strict=True):
        power = [spectrum[np.abs(ring - middle) <= 0.5].mean() for middle in middles]
        left.semilogy(middles / TILE, 255**2 * np.array(power), label=kind)
    left.set_xlabel("spatial frequency (cycles per pixel)")
    left.set_ylabel("power (squared grey levels of 255)")
    left.legend()
    for low, strengths in zip(BANDS, grain.strengths, strict=True):
        right.plot(255 * LEVELS, 255 * np.array(strengths), label=f"from 1/{1 / low:g} on")
    right.set_xlabel("local grey level of 255")
    right.set_ylabel("deviation of the grain (grey levels)")
    right.legend(title="cycles per pixel")
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
