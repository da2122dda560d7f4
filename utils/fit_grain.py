r"""Measure the grain of a microscope that an autoencoder drops, for `generate.py --grain`.

    python utils/fit_grain.py --image_path phantoms/train/images --config models/cldm_nano.yaml \
        --weights models/nano_base.safetensors --output grain.json

Beside the file it writes two pictures: `grain.png` shows images, their reconstructions, and these
with grain; `grain_curves.png` shows their spectra, and the strength of the grain by grey level.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cldm.options import DEFAULT_CONFIG
from core.checks import bar_for_many
from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import (
    OptionError,
    add_options,
    new_parser,
    option,
    positive_float,
    positive_int,
    read_options,
)
from core.files import check_writable, whole_file, write_json
from core.hardware.device_options import check_device, device_option, pick_device
from core.imaging.image_options import add_image_options, use_image_options
from core.imaging.images import check_image, list_images, read_image, to_uint8, write_png
from core.imaging.pictures import evenly, tile
from core.imaging.pixel_size import PixelSize, pixel_size_of_folder
from core.microscope.grain import BANDS, LEVELS, TILE, Grain, frequencies
from core.microscope.grain_fit import band_power, fit_grain, lag_one, mean_spectrum, measure_missing
from core.text import table
from share import run_script

KINDS = ("real", "reconstruction", "with grain")
SHOWN, SHOWN_SIDE = 4, 256  # images in the picture; pixels of each, not scaled


@dataclass(frozen=True)
class GrainFitOptions:
    """Images, autoencoder and result of a measurement."""

    image_path: Path = option(None, Path, "DIR", "real images", required=True)
    weights: Path = option(
        None, Path, "FILE", "weights that images will be drawn with, or their base", required=True
    )
    config: Path = option(DEFAULT_CONFIG, Path, "YAML", "configuration of the model")
    output: Path = option(
        None, Path, "FILE", "grain to write, .json; must not exist", required=True
    )
    pixel_size: float | None = option(
        None, positive_float, "NM", "pixel size of the images; what they state when not given"
    )
    max_images: int = option(64, positive_int, "INT", "images that are measured, evenly spread")
    crop: int = option(
        512, positive_int, "PIXELS", f"side of the centre that is measured, at least {TILE}"
    )
    device: str = device_option()

    @property
    def files(self) -> tuple[Path, Path, Path]:
        """The grain, the picture and the curves."""
        curves = self.output.with_name(f"{self.output.stem}_curves.png")
        return self.output, self.output.with_suffix(".png"), curves

    def check(self):
        """Raise OptionError for an output that is no new .json file, or too small a crop."""
        if self.output.suffix != ".json":
            raise OptionError("output", f"{self.output}: expected a name that ends in .json")
        for path in self.files:
            if path.exists():
                raise OptionError("output", f"{path}: exists already. Name another file")
        if self.crop < TILE:
            raise OptionError("crop", f"{self.crop} is below {TILE}")
        check_device(self.device)


def parse_args(argv=None):
    parser = new_parser(__doc__)
    add_options(parser, GrainFitOptions, "grain")
    add_image_options(parser)
    add_run_control(parser)
    return parse_all(parser, argv)


def find_images(options: GrainFitOptions) -> list[Path]:
    """Images to measure; raises ValueError where one is damaged or too small."""
    paths = evenly(list_images(options.image_path), options.max_images)
    for path in bar_for_many(paths):
        height, width = check_image(path)
        if min(height, width) < TILE:
            raise ValueError(
                f"{path}: {width} x {height} pixels, expected at least {TILE} on each side"
            )
    return paths


def centre(pixels: np.ndarray, side: int) -> np.ndarray:
    """The centre of a picture (H, W, 3), at most `side` pixels high and wide."""
    top, left = (max(0, length - side) // 2 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def reconstruct_all(paths: Sequence[Path], options: GrainFitOptions) -> list[list[np.ndarray]]:
    """Pairs of image and reconstruction, grey, float32 (H, W) in [0, 1] each.

    Raises:
        FileNotFoundError, RuntimeError, ValueError: as `create_first_stage`; an image is damaged,
            or its reconstruction is NaN or infinite.
    """
    # Here, because what works loads torch, which takes longer than reading the options.
    from cldm.model import create_first_stage
    from cldm.sampling import NotFiniteError
    from fid.reconstruction import reconstruct

    device = pick_device(options.device)
    model = create_first_stage(options.config, options.weights).to(device)
    pairs = []
    for path in tqdm(paths, desc="encode and decode", unit="image"):
        try:
            pair = reconstruct(model, centre(read_image(path), options.crop), device)
        except NotFiniteError as error:
            raise ValueError(f"{path}: its reconstruction is NaN or infinite") from error
        pairs.append([picture.mean(axis=2, dtype=np.float32) / 255 for picture in pair])
    return pairs


def to_colours(grey: np.ndarray) -> np.ndarray:
    """Grey (H, W) as (H, W, 3)."""
    return np.repeat(grey[..., None], 3, axis=-1)


def with_grain(grain: Grain, reconstruction: np.ndarray, number: int) -> np.ndarray:
    """A reconstruction with grain in 8 bits, float32 (H, W) in [0, 1]."""
    return to_uint8(grain.add(to_colours(reconstruction), number))[..., 0] / np.float32(255)


def comparison(spectra: Sequence[np.ndarray]) -> str:
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


def main(argv=None):
    args = parse_args(argv)
    from cldm.configuration import read_config  # here, as above

    use_image_options(args)
    options = read_options(GrainFitOptions, args)
    read_config(options.config)
    paths = find_images(options)
    side = options.pixel_size
    pixel_size = PixelSize(side, side) if side else pixel_size_of_folder(options.image_path)
    if args.dry_run:
        names = ", ".join(map(str, options.files))
        plan = f"{len(paths)} images, pixel size {pixel_size or 'unknown'}\nfiles: {names}"
        print(dry_run_text(vars(args), plan))
        return
    check_writable(options.output, "--output")
    pairs = reconstruct_all(paths, options)
    measured = [measure_missing(*pair) for pair in tqdm(pairs, desc="measure", unit="image")]
    grain = fit_grain(measured, sum(real.size for real, _ in pairs), pixel_size)
    rows = [[*pair, with_grain(grain, pair[1], i)] for i, pair in enumerate(pairs)]
    spectra = [
        np.mean([mean_spectrum(picture) for picture in column], axis=0)
        for column in zip(*rows, strict=True)
    ]
    print("deviation in each band (cycles per pixel; grey levels of 255), and correlation")
    print(comparison(spectra))
    output, picture, curves = options.files
    shown = [[to_colours(centre(each, SHOWN_SIDE)) for each in row] for row in evenly(rows, SHOWN)]
    write_png(picture, tile(shown, heads=KINDS))
    draw_curves(curves, spectra, grain)
    write_json(output, grain.model_dump())
    print(f"wrote {output}, {picture}, {curves}")


if __name__ == "__main__":
    run_script(main)
