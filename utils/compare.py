"""One picture of a generation: mask | real image | generated images, a row for each mask.

python utils/compare.py my_synth_data/run_... --image_path data/test/images --output comparison.png
"""

import argparse
import json
from pathlib import Path

import numpy as np

from core.images import list_images, read_image, read_labels, write_png
from core.options import positive_int
from core.pairing import match_names
from core.pictures import class_colours, evenly, tile
from share import run_script


def draw_rows(
    records: list[dict], run_dir: Path, real: dict[Path, Path], rows: int, columns: int
) -> np.ndarray:
    """A tiled picture, uint8 (H, W, 3), of up to `rows` masks evenly chosen and `columns` generated images of each.

    Args:
        records: lines of the run's manifest.
        real: the real image of each mask's source file; empty for none.
    """
    by_mask = {}
    for record in records:
        by_mask.setdefault(Path(next(iter(record["sources"].values()))), []).append(record)
    table = []
    for mask in evenly(list(by_mask), rows):
        shown = by_mask[mask][:columns]
        row = [class_colours(read_labels(run_dir / shown[0]["mask"]))]
        if real:
            row.append(read_image(real[mask]))
        table.append([*row, *(read_image(run_dir / record["image"]) for record in shown)])
    return tile(table)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder that generate.py made")
    parser.add_argument(
        "--image_path",
        type=Path,
        metavar="DIR",
        help="real images of the masks; leaves their column out when not given",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="PNG to write")
    parser.add_argument(
        "--rows", type=positive_int, default=12, metavar="INT", help="masks to show"
    )
    parser.add_argument(
        "--columns", type=positive_int, default=4, metavar="INT", help="generated images of each"
    )
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    manifest = args.run / "manifest.jsonl"
    if not manifest.is_file():
        raise FileNotFoundError(
            f"{manifest}: not there, so {args.run} is no folder of generate.py, or holds no image yet"
        )
    records = [json.loads(line) for line in manifest.read_text().splitlines()]
    if not records or records[0]["mask"] is None:
        raise ValueError(f"{args.run}: holds no image that was made from a mask")
    real = {}
    if args.image_path:
        sources = sorted({Path(next(iter(record["sources"].values()))) for record in records})
        real = {
            source: image for image, source in match_names(list_images(args.image_path), sources)
        }
    write_png(args.output, draw_rows(records, args.run, real, args.rows, args.columns))
    print(args.output)


if __name__ == "__main__":
    run_script(main)
