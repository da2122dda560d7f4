r"""The share of generated images that are copies of training images, and the closest pairs.

    python fid/near_copies.py data/train/images my_synth_data/run_1/images \
        --held_out data/test/images --output copies

An image counts as a copy when it lies closer to a training image than 99 % of the training images
lie to their own nearest neighbour. Of fresh real images (`--held_out`) about 1 % do. Small sets of
neighbouring slices are memorised easily (Dar et al. 2024).
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.files import whole_file, write_json
from core.images import read_image, write_png
from core.options import add_options, dashed, fraction, new_parser, positive_int, read_options
from fid.backbones import Backbone
from fid.backbones.loading import BackboneOptions, load_backbone
from fid.copies import copy_distance, correlation, draw_pairs, nearest
from fid.features import FeatureOptions, folder_statistics
from fid.images import check_nesting, read_folder
from fid.results import check_writable, describe
from share import run_script

COLUMNS = ("generated", "nearest training image", "feature distance", "copy", "correlation")


def parse_args(argv=None):
    parser = new_parser(__doc__)
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
    for title, group in (("network", BackboneOptions), ("run", FeatureOptions)):
        add_options(parser, group, title, flags=dashed(group))
    return parser.parse_args(argv)


def write_pairs(path: Path, pairs: list[tuple[Path, Path, float]], limit: float) -> None:
    """Write a CSV of generated images, nearest training images and their feature distances.

    Args:
        limit: the distance below which an image is a copy.
    """
    # newline="" as the csv module asks: it writes its own line ends.
    with whole_file(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        # A second opinion beside the features: pixels that agree, whatever the network saw.
        for generated, training, distance in pairs:
            alike = correlation(read_image(generated), read_image(training))
            writer.writerow([generated, training, distance, int(distance < limit), f"{alike:.3f}"])


def features_of(
    folders: Sequence[Path],
    paths: Sequence[Sequence[Path]],
    backbone: Backbone,
    reading: FeatureOptions,
    generated: Path,
) -> list[np.ndarray]:
    """Features of the images of each folder, (n, D).

    Args:
        paths: the images of each folder.
        generated: the folder whose features are not cached; real images come again.
    """
    return [
        folder_statistics(
            inside,
            backbone,
            reading.batch_size,
            reading.num_workers,
            keep_features=True,  # distances between single images need them all
            cache_dir=None if folder == generated else reading.cache,
            title=folder.name,
        ).features
        for folder, inside in zip(folders, paths, strict=True)
    ]


def print_shares(report: dict, num_held_out: int) -> None:
    """Print the share of copies, and that of held-out images where there are any."""
    print(
        f"{report['copies']:.1%} of {report['num_generated']} generated images are near-copies "
        f"(feature distance below {report['copy_distance']:.4g})"
    )
    if num_held_out:
        print(
            f"{report['held_out_copies']:.1%} of {num_held_out} held-out real images "
            "would be called so"
        )


def main(argv=None):
    args = parse_args(argv)
    network = read_options(BackboneOptions, args, dashed(BackboneOptions))
    reading = read_options(FeatureOptions, args, dashed(FeatureOptions))
    check_writable(args.output / "report.json", "--output")
    folders = [args.training_dir, args.gen_dir, *([args.held_out] if args.held_out else [])]
    for folder in folders[1:]:  # an image would be its own nearest
        check_nesting(args.training_dir, folder)
    paths = [read_folder(folder, reading.skip_corrupt)[0] for folder in folders]
    backbone = load_backbone(network)
    training, generated, *held_out = features_of(folders, paths, backbone, reading, args.gen_dir)
    limit = copy_distance(training, args.quantile)
    index, apart = nearest(generated, training)
    # Closest first: those are the ones to look at.
    pairs = [(paths[1][i], paths[0][index[i]], float(apart[i])) for i in apart.argsort()]
    write_pairs(args.output / "pairs.csv", pairs, limit)
    write_png(args.output / "pairs.png", draw_pairs([pair[:2] for pair in pairs[: args.pairs]]))
    report = {
        "copies": float((apart < limit).mean()),
        "copy_distance": limit,
        "quantile": args.quantile,
        "num_training": len(training),
        "num_generated": len(apart),
    } | describe(backbone)
    for features in held_out:  # what the same limit says of images that cannot be copies
        report["held_out_copies"] = float((nearest(features, training)[1] < limit).mean())
    print_shares(report, sum(map(len, held_out)))
    write_json(args.output / "report.json", report)
    print(
        f"wrote {args.output / 'pairs.csv'}, {args.output / 'pairs.png'} (generated | training, "
        f"closest first), {args.output / 'report.json'}"
    )


if __name__ == "__main__":
    run_script(main)
