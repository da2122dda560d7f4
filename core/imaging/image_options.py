"""Options of all programs that read images: what files do not state, and how large they may be."""

import argparse
import os
from dataclasses import dataclass

from core.command_line.options import add_options, option, positive_int
from core.imaging.image_header import BIT_DEPTH_VARIABLE, MAX_PIXELS, MAX_PIXELS_VARIABLE


def number_of_bits(text: str) -> int:
    """A number of bits that 16-bit pixels may use, 1 to 16."""
    value = positive_int(text)
    if value > 16:
        raise argparse.ArgumentTypeError(f"{value} is above 16")
    return value


@dataclass(frozen=True)
class ImageOptions:
    """Rules by which image files are read."""

    bit_depth: int | None = option(
        None,
        number_of_bits,
        "BITS",
        "bits that pictures in 16-bit files use, such as 12 of a camera; what the file states "
        "when not given. Masks and RGBA tensors are read as stored",
        aliases=("--bit-depth",),
    )
    max_pixels: int | None = option(
        None,
        positive_int,
        "INT",
        "pixels of the largest picture that is read out of a small file; the environment's "
        f"{MAX_PIXELS_VARIABLE}, or {MAX_PIXELS}, when not given",
        aliases=("--max-pixels",),
        free_on_resume=True,
    )

    def apply(self) -> None:
        """Make all readers follow these options, also those of processes that start later."""
        os.environ.pop(BIT_DEPTH_VARIABLE, None)
        if self.bit_depth is not None:
            os.environ[BIT_DEPTH_VARIABLE] = str(self.bit_depth)
        if self.max_pixels is not None:
            os.environ[MAX_PIXELS_VARIABLE] = str(self.max_pixels)


def add_image_options(parser: argparse.ArgumentParser) -> None:
    """Add `ImageOptions` to a parser."""
    add_options(parser, ImageOptions, "image files")
