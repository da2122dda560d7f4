"""One picture of a generation: mask | real image | generated images, a row for each mask.

    python utils/compare.py my_synth_data/run_... --image_path data/test/images --output comparison.png
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from dataset import match_names
from ldm.data.files import list_images, read_image, read_labels, write_png
from ldm.data.pictures import class_colours, tile
from share import run_script
from utils.options import positive_int


def draw_rows(records: list[dict], run_dir: Path, real: dict[Path, Path], rows: int, columns: int) -> np.ndarray:
    """A tiled picture, uint8 (H, W, 3), of up to `rows` masks evenly chosen and `columns` generated images of each."""
    by_mask = {}
    for record in records:
        picture = run_dir / "images" / record["image"]
        if picture.is_file():  # a generation that was cut off has fewer
            by_mask.setdefault(Path(record["mask"]), []).append(picture)
    masks = list(by_mask)
    if not masks:
        raise FileNotFoundError(f"{run_dir / 'images'}: holds no image of this run")
    chosen = [masks[i] for i in np.unique(np.linspace(0, len(masks) - 1, min(rows, len(masks))).round().astype(int))]
    table = []
    for mask in chosen:
        row = [class_colours(read_labels(mask))]
        if real:
            row.append(read_image(real[mask]))
        table.append([*row, *(read_image(path) for path in by_mask[mask][:columns])])
    return tile(table)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that generate.py made")
    parser.add_argument("--image_path", type=Path, metavar="DIR", help="real images of the masks; leaves their column out when not given")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="PNG to write")
    parser.add_argument("--rows", type=positive_int, default=12, metavar="INT", help="masks to show")
    parser.add_argument("--columns", type=positive_int, default=4, metavar="INT", help="generated images of each")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    state = args.run / "generate_state.json"
    if not state.is_file():
        raise FileNotFoundError(f"{state}: not there, so {args.run} is no folder of generate.py")
    records = json.loads(state.read_text())["condition_records"]
    real = {}
    if args.image_path:
        masks = sorted({Path(record["mask"]) for record in records})
        real = {pair.condition: pair.image for pair in match_names(list_images(args.image_path), masks)}
    write_png(args.output, draw_rows(records, args.run, real, args.rows, args.columns))
    print(args.output)


if __name__ == "__main__":
    run_script(main)
