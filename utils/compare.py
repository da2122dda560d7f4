r"""Draw one picture of a generation: mask | real image | generated images, a row for each mask.

    python utils/compare.py my_synth_data/run_... --image_path data/test/images \
        --output comparison.png
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import add_options, new_parser, option, positive_int, read_options
from core.imaging.image_options import ImageOptions, add_image_options
from core.imaging.images import list_images, read_image, write_png
from core.imaging.labels import read_labels
from core.imaging.pairing import find_partners, list_names
from core.imaging.pictures import class_colours, evenly, tile
from generation.folder.manifest import leading_file, read_manifest
from share import run_script


@dataclass(frozen=True)
class ComparisonOptions:
    """Images to show, and the file to write."""

    image_path: Path | None = option(
        None, Path, "DIR", "real images of the masks; leaves their column out when not given"
    )
    output: Path = option(None, Path, "FILE", "PNG to write", required=True)
    rows: int = option(12, positive_int, "INT", "masks to show")
    columns: int = option(4, positive_int, "INT", "generated images of each")


def read_records(run_dir: Path) -> list[dict]:
    """The records of a generation, one for each image.

    Raises:
        FileNotFoundError: as `read_manifest`.
        ValueError: no image, or none that was made from a mask.
    """
    records = read_manifest(run_dir)
    if not records or records[0]["mask"] is None:
        raise ValueError(f"{run_dir}: holds no image that was made from a mask")
    return records


def find_real(records: list[dict], image_path: Path) -> dict[Path, Path]:
    """The real image of each mask's source file; the folder may hold further images.

    Raises:
        FileNotFoundError: no such folder, or no image in it.
        RuntimeError: a mask has no image, or as `find_partners`.
    """
    sources = sorted({leading_file(record) for record in records})
    real = find_partners(sources, list_images(image_path))
    if missing := [source for source in sources if source not in real]:
        raise RuntimeError(
            f"{image_path}: no image for {list_names(missing)} of {sources[0].parent}. Name the "
            "folder of their images, or leave --image_path out."
        )
    return real


def draw_rows(
    records: list[dict], run_dir: Path, real: dict[Path, Path], rows: int, columns: int
) -> np.ndarray:
    """A tiled picture, uint8 (H, W, 3).

    Args:
        records: of the run's manifest.
        real: the real image of each mask's source file; empty for none.
        rows: number of masks, which are evenly chosen.
        columns: number of generated images of each mask.
    """
    # Branches may read several files; the leading one is what images are grouped by.
    by_mask = {}
    for record in records:
        by_mask.setdefault(leading_file(record), []).append(record)
    pictures = []
    for mask in evenly(list(by_mask), rows):
        shown = by_mask[mask][:columns]  # may be fewer while the run goes on
        row = [class_colours(read_labels(run_dir / shown[0]["mask"]))]
        if real:
            row.append(read_image(real[mask]))
        pictures.append([*row, *(read_image(run_dir / record["image"]) for record in shown)])
    return tile(pictures)


def parse_args(argv=None):
    """The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("run", type=Path, help="folder that generate.py made")
    add_options(parser, ComparisonOptions, "picture")
    add_image_options(parser)
    add_run_control(parser)
    return parse_all(parser, argv)


def main(argv=None):
    args = parse_args(argv)
    read_options(ImageOptions, args).apply()
    options = read_options(ComparisonOptions, args)
    records = read_records(args.run)
    real = find_real(records, options.image_path) if options.image_path else {}
    if args.dry_run:
        plan = f"{len(records)} images of {args.run}; picture: {options.output}"
        print(dry_run_text(vars(args), plan, hidden=["run"]))
        return
    write_png(options.output, draw_rows(records, args.run, real, options.rows, options.columns))
    print(options.output)


if __name__ == "__main__":
    run_script(main)
