r"""Measure the grain of a microscope that an autoencoder drops, for `generate.py --grain`.

    python utils/fit_grain.py --image_path phantoms/train/images --config models/cldm_nano.yaml \
        --weights models/nano_base.safetensors --output grain.json

Beside the file it writes two pictures: `grain.png` shows images, their reconstructions, and these
with grain; `grain_curves.png` shows their spectra, and the strength of the grain by grey level.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cldm.options import DEFAULT_CONFIG
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
from core.files import check_writable, write_json
from core.hardware.device_options import DeviceOptions, pick_device
from core.imaging.image_options import ImageOptions, add_image_options
from core.imaging.images import write_png
from core.imaging.known_sizes import pixel_size_as_read
from microscope.grain import TILE
from microscope.grain_fit import fit_grain, images_to_measure, measure_missing
from microscope.grain_report import (
    compare_spectra,
    draw_curves,
    draw_rows,
    mean_spectra,
    with_grain,
)
from share import run_script


@dataclass(frozen=True)
class GrainFitOptions(DeviceOptions):
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
        super().check()


def parse_args(argv=None):
    """The options of the command line."""
    parser = new_parser(__doc__)
    add_options(parser, GrainFitOptions, "grain")
    add_image_options(parser)
    add_run_control(parser)
    return parse_all(parser, argv)


def main(argv=None):
    args = parse_args(argv)
    # Here, because what works loads torch, which takes longer than reading the options.
    from cldm.configuration import read_config
    from cldm.first_values import first_values
    from cldm.model import create_first_stage, load_autoencoder
    from fid.reconstruction import reconstruct_files

    read_options(ImageOptions, args).apply()
    options = read_options(GrainFitOptions, args)
    read_config(options.config)
    paths = images_to_measure(options.image_path, options.max_images)
    pixel_size = pixel_size_as_read(options.image_path, options.pixel_size)
    if args.dry_run:
        names = ", ".join(map(str, options.files))
        plan = f"{len(paths)} images, pixel size {pixel_size or 'unknown'}\nfiles: {names}"
        print(dry_run_text(vars(args), plan))
        return
    check_writable(options.output, "--output")
    device = pick_device(options.device)
    model = create_first_stage(options.config, options.weights).to(device)
    values = first_values(load_autoencoder(options.weights)).tolist()
    pairs = [
        [picture.mean(axis=2, dtype=np.float32) / 255 for picture in pair]  # (H, W) in [0, 1]
        for pair in reconstruct_files(paths, model, device, options.crop)
    ]
    measured = [measure_missing(*pair) for pair in tqdm(pairs, desc="measure", unit="image")]
    grain = fit_grain(measured, sum(real.size for real, _ in pairs), pixel_size)
    grain.autoencoder = values
    rows = [[*pair, with_grain(grain, pair[1], i)] for i, pair in enumerate(pairs)]
    spectra = mean_spectra(rows)
    print("deviation in each band (cycles per pixel; grey levels of 255), and correlation")
    print(compare_spectra(spectra))
    output, picture, curves = options.files
    write_json(output, grain.model_dump())  # first: pictures alone would block the next call
    write_png(picture, draw_rows(rows))
    draw_curves(curves, spectra, grain)
    print(f"wrote {output}, {picture}, {curves}")


if __name__ == "__main__":
    run_script(main)
