"""Grey levels of a volume as those of 8- and 16-bit pictures."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from core.command_line.options import OptionError, finite_float, option
from core.imaging.image_header import stated_bit_depth
from core.imaging.images import to_uint8
from volumes.base import Volume

SAMPLED_SLICES = 32
SAMPLED_VOXELS = 2**23  # of all sampled slices together
SHIFTED_PIXELS = 2**20  # that are held as float64 at once
AS_STORED = (np.uint8, np.uint16)


@dataclass(frozen=True)
class GreyOptions:
    """The grey levels that become black and white, where not 8- or 16-bit voxels are kept."""

    window: tuple[float, float] | None = option(
        None,
        finite_float,
        ("BLACK", "WHITE"),
        "write 8 bits, with these levels as black and white",
        nargs=2,
    )
    percentiles: tuple[float, float] | None = option(
        None,
        finite_float,
        ("LOW", "HIGH"),
        "write 8 bits, with these percentiles of the volume as black and white; 0.1 and 99.9 for "
        "voxels that are neither 8- nor 16-bit when not given",
        nargs=2,
    )

    def check(self):
        """Raise OptionError for a window that is empty, or given twice."""
        if self.window and self.percentiles:
            raise OptionError("window", "excludes `percentiles`")
        if self.window and not self.window[0] < self.window[1]:
            raise OptionError("window", "expected BLACK below WHITE")
        if self.percentiles:
            low, high = self.percentiles
            if not 0 <= low < high <= 100:
                raise OptionError(
                    "percentiles", f"{low:g} {high:g}: expected 0 <= LOW < HIGH <= 100"
                )

    def window_of(self, volume: Volume) -> "Window | None":
        """Grey levels of black and white; None where voxels are kept as they are.

        Percentiles are those of slices that are spread evenly over z.

        Raises:
            ValueError: all voxels of these slices are equal, or none is a number, or they are no
                greys.
        """
        if volume.has_palettes:
            raise ValueError(
                f"{volume.source}: its pictures have palettes, whose numbers are no grey levels. "
                "Convert them to grey"
            )
        if len(volume.bits) > 1:
            raise ValueError(
                f"{volume.source}: its pictures store grey levels in {sorted(volume.bits)} bits. "
                "Save all of them in 8 bits"
            )
        if self.window:
            return Window(*self.window)
        if self.percentiles is None and volume.dtype.newbyteorder("=") in AS_STORED:
            return None
        voxels = np.concatenate([part.ravel() for _, part in sampled_slices(volume)])
        voxels = voxels[np.isfinite(voxels)]
        if voxels.dtype == bool:  # numpy takes no percentiles of these
            voxels = voxels.view(np.uint8)
        if not len(voxels) or voxels.min() == voxels.max():
            raise ValueError(
                f"{volume.source}: all voxels are equal in {SAMPLED_SLICES} slices spread over it. "
                "Give a window: the levels of black and white"
            )
        low, high = np.percentile(voxels, self.percentiles or (0.1, 99.9))
        if low == high:  # a few bright voxels on a flat background
            low, high = voxels.min(), voxels.max()
        return Window(float(low), float(high))


class Window(NamedTuple):
    """Grey levels that become black and white."""

    black: float
    white: float

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels (H, W) of any kind as uint8; levels outside of the window are black or white."""
        # float32 holds 24 bits: levels far from 0 keep their contrast if black is taken off first
        wide = np.result_type(pixels.dtype, np.float32)
        span, result = np.float32(self.white - self.black), np.empty(pixels.shape, np.uint8)
        rows = max(1, SHIFTED_PIXELS // pixels.shape[1])
        for i in range(0, len(pixels), rows):
            above = np.subtract(pixels[i : i + rows], wide.type(self.black), dtype=wide)
            result[i : i + rows] = to_uint8(above.astype(np.float32, copy=False) / span)
        return result


def sampled_slices(volume: Volume):
    """(number, pixels) of slices that are spread evenly over z, thinned where they are large."""
    depth, height, width = volume.shape
    numbers = np.unique(np.linspace(0, depth - 1, min(depth, SAMPLED_SLICES)).round().astype(int))
    thinning = max(1, int(np.sqrt(height * width * len(numbers) / SAMPLED_VOXELS)))
    for number in numbers.tolist():
        yield number, volume.slices(0, number, number + 1)[0, ::thinning, ::thinning]


def grey_picture(
    pixels: np.ndarray,
    window: Window | None,
    min_is_white: bool,
    where: str,
    bits: int | None = None,
) -> np.ndarray:
    """A slice as it is written, uint8 or uint16 (H, W), 0 for black.

    Args:
        where: name of the slice, for messages.
        bits: that grey levels use, see `bits_of`; without a window, they are stretched to the whole
            range of the picture. None where they use all.
    Raises:
        ValueError: a pixel is no number, or infinite, or above the largest one of these bits.
    """
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise ValueError(f"{where}: holds NaN or infinity. Fill such voxels first.")
    # Big-endian pixels in the order of this machine
    picture = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if window is not None:
        picture = window.apply(picture)
    elif bits is not None:
        picture = _stretched(picture, bits, where)
    return np.iinfo(picture.dtype).max - picture if min_is_white else picture


def bits_of(volume: Volume) -> int | None:
    """Bits that grey levels use, where fewer than their type has; else None.

    Those of the file, or of 16-bit voxels those that the program's options state.
    """
    stated = stated_bit_depth() if volume.dtype.newbyteorder("=") == np.uint16 else None
    bits = stated or max(volume.bits, default=None)
    return bits if bits != 8 * volume.dtype.itemsize else None


def _stretched(pixels: np.ndarray, bits: int, where: str) -> np.ndarray:
    """Levels of some bits in the whole range of uint8 or uint16; raises as `grey_picture`."""
    largest = 2**bits - 1
    if pixels.max() > largest:
        raise ValueError(
            f"{where}: pixels reach {pixels.max()}, but {bits} bits are stated. Give the right "
            "bit_depth, or a window: the levels of black and white."
        )
    levels = np.arange(largest + 1) * (np.iinfo(pixels.dtype).max / largest)
    return levels.round().astype(pixels.dtype)[pixels]
