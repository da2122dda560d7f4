"""Options of the samples that images and conditions become."""

from dataclasses import dataclass
from pathlib import Path

from core.command_line.options import OptionError, fraction, non_negative_int, option, positive_int
from core.prompts import prompts_option


@dataclass(frozen=True)
class SampleOptions:
    """Rules by which samples are cut out of images and described."""

    image_size: int | None = option(
        None, positive_int, "PIXELS", "side of the crops; the configuration's when not given"
    )
    crop_scale: tuple[float, float] = option(
        (0.08, 1.0),
        fraction,
        ("MIN", "MAX"),
        "share of an image's area that a training crop takes",
        nargs=2,
    )
    crop_pixels: tuple[int, int] | None = option(
        None,
        positive_int,
        ("MIN", "MAX"),
        "sides of a training crop in pixels, after --pixel_size, instead of --crop_scale: "
        "structures are shown at one size, however large the images are",
        nargs=2,
    )
    views_per_image: int = option(
        32,
        non_negative_int,
        "INT",
        "augmented views of each image, used in turn, each encoded once; "
        "0 draws and encodes a new one in every epoch",
    )
    prompts_file: Path | None = prompts_option()
    prompt_drop: float = option(
        0.0,
        fraction,
        "P",
        "share of samples trained with the empty prompt, which guidance relies on",
    )

    def check(self):
        """Raise OptionError where a range of crops is empty or begins at 0."""
        smallest, largest = self.crop_scale
        if not 0 < smallest <= largest:
            raise OptionError("crop_scale", "expected 0 < MIN <= MAX <= 1")
        if self.crop_pixels and self.crop_pixels[0] > self.crop_pixels[1]:
            raise OptionError("crop_pixels", "expected MIN <= MAX")
        if self.crop_pixels and tuple(self.crop_scale) != SampleOptions.crop_scale:
            raise OptionError("crop_pixels", "takes the place of --crop_scale: give one of them")
