"""Are generated images copies of training images? Each one's nearest training image, a picture of the closest pairs, the share of copies.

    python fid/near_copies.py data/train/images my_synth_data/run_1/images --held_out data/test/images --output copies

An image counts as a copy when it lies closer to a training image than 99 % of the training images lie to their own nearest neighbour. Of
fresh real images (`--held_out`) about 1 % do. Small sets of neighbouring slices are memorised easily (Dar et al. 2024).
"""

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

from core.files import whole_file
from core.images import read_image, write_png
from core.options import fraction, positive_int
from core.pictures import tile
from fid.distances import distances
from fid.features import folder_statistics
from fid.images import check_nesting
from fid.scoring import add_network, build_parser, describe, load_network, read_folder, writable
from share import run_script

THUMBNAIL = 64  # pixels at which a pair's correlation is taken: structure counts, noise does not
SHOWN_SIZE = 224  # pixels of an image in the picture


def nearest(features: np.ndarray, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(index, distance) of each sample's nearest training sample, (n,) and (n,)."""
    apart = distances(features, training)
    index = apart.argmin(axis=1)
    return index, apart[np.arange(len(features)), index]


def copy_distance(training: np.ndarray, quantile: float) -> float:
    """The distance below which a sample counts as a copy: that quantile of the training samples' distances to their nearest."""
    apart = distances(training, training)
    np.fill_diagonal(apart, np.inf)
    return float(np.quantile(apart.min(axis=1), quantile))


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Largest correlation of two pictures' thumbnails over the eight ways to turn and mirror one of them."""
    a, b = _thumbnail(first), _thumbnail(second)
    return max(
        float((np.rot90(side, turns) * a).mean()) for side in (b, b[:, ::-1]) for turns in range(4)
    )


def _thumbnail(pixels):
    grey = Image.fromarray((pixels * 255).round().astype(np.uint8)).convert("L")
    small = np.asarray(grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX), dtype=np.float64)
    return (small - small.mean()) / (small.std() + 1e-9)


def draw_pairs(pairs: list[tuple[Path, Path]], columns: int = 4) -> np.ndarray:
    """Pairs side by side, several in a row, as `tile` gives them."""

    def shown(path):
        image = Image.fromarray((read_image(path) * 255).round().astype(np.uint8))
        return np.asarray(
            image.resize((SHOWN_SIZE, SHOWN_SIZE), Image.Resampling.BICUBIC)
        ) / np.float32(255)

    thin, wide = (np.ones((SHOWN_SIZE, width, 3), np.float32) for width in (4, 24))
    cells = [np.concatenate([shown(one), thin, shown(other), wide], axis=1) for one, other in pairs]
    return tile([cells[i : i + columns] for i in range(0, len(cells), columns)])


def parse_args(argv=None):
    parser = build_parser(__doc__.split("\n\n")[0])
    parser.add_argument("training_dir", type=Path, help="images that the generator was trained on")
    parser.add_argument("gen_dir", type=Path, help="generated images")
    parser.add_argument(
        "--held_out",
        type=Path,
        metavar="DIR",
        help="real images that the generator never saw: their share is the level of chance",
    )
    parser.add_argument(
        "--quantile",
        type=fraction,
        default=0.01,
        metavar="FLOAT",
        help="share of training images that are as close to another one as a copy",
    )
    parser.add_argument(
        "--pairs", type=positive_int, default=12, metavar="INT", help="closest pairs in the picture"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("near_copies"),
        metavar="DIR",
        help="folder for pairs.csv, pairs.png and report.json",
    )
    add_network(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    writable(args.output / "report.json", "--output")
    folders = [args.training_dir, args.gen_dir, *([args.held_out] if args.held_out else [])]
    for folder in folders[1:]:
        check_nesting(args.training_dir, folder)
    paths = [read_folder(folder, args.skip_corrupt)[0] for folder in folders]
    backbone = load_network(args)
    shared = (backbone, args.batch_size, args.num_workers, True)
    training, *others = (
        folder_statistics(
            some, *shared, None if folder == args.gen_dir else args.cache_dir, folder.name
        ).features
        for folder, some in zip(folders, paths, strict=True)
    )
    limit = copy_distance(training, args.quantile)
    index, apart = nearest(others[0], training)
    order = apart.argsort()
    found = [(paths[1][i], paths[0][index[i]], float(apart[i])) for i in order]
    with (
        whole_file(args.output / "pairs.csv") as temporary,
        open(temporary, "w", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(
            ["generated", "nearest training image", "feature distance", "copy", "correlation"]
        )
        for one, other, distance in found:
            writer.writerow(
                [
                    one,
                    other,
                    distance,
                    int(distance < limit),
                    f"{correlation(read_image(one), read_image(other)):.3f}",
                ]
            )
    write_png(args.output / "pairs.png", draw_pairs([pair[:2] for pair in found[: args.pairs]]))
    report = {
        "copies": float((apart < limit).mean()),
        "copy_distance": limit,
        "quantile": args.quantile,
        "num_training": len(training),
    }
    report |= {"num_generated": len(apart)} | describe(backbone)
    print(
        f"{report['copies']:.1%} of {len(apart)} generated images are near-copies (feature distance below {limit:.4g})"
    )
    if args.held_out:
        report["held_out_copies"] = float((nearest(others[1], training)[1] < limit).mean())
        print(
            f"{report['held_out_copies']:.1%} of {len(others[1])} held-out real images would be called so"
        )
    with whole_file(args.output / "report.json") as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n")
    print(
        f"wrote {args.output / 'pairs.csv'}, {args.output / 'pairs.png'} (generated | training, closest first), {args.output / 'report.json'}"
    )


if __name__ == "__main__":
    run_script(main)
