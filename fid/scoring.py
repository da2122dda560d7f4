"""What the score scripts share: their options, the comparison of two folders, its summary and its result file."""

import argparse
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from core.devices import pick_device
from core.files import whole_file
from core.options import non_negative_int, positive_int
from fid.backbones import CEM, DIMENSIONS, INCEPTION, Backbone, load_cem, load_inception
from fid.distances import Statistics, frechet_distance, kid, manifold_scores
from fid.features import default_cache_dir, folder_statistics
from fid.images import RESIZE_RULES, check_nesting, find_images, sound_images
from fid.scarce import report_scarcity

COMPARABLE = (
    "real_dir",
    "num_real",
    "backbone",
    "weights_sha256",
    "image_size",
    "resize",
    "normalization_mean",
    "normalization_std",
)


def build_parser(description: str, image_size: int | None = None) -> argparse.ArgumentParser:
    """A parser with the options of every script that turns folders into features."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    network = parser.add_argument_group("network")
    network.add_argument(
        "--weights-path",
        type=Path,
        metavar="FILE",
        help="weights to use; looked for in fid/weights, then downloaded, when not given",
    )
    network.add_argument(
        "--download-dir",
        type=Path,
        metavar="DIR",
        help="where weights are looked for last and downloaded to; fid/weights when not given",
    )
    own = "" if image_size else "; the network's own when not given"
    network.add_argument(
        "--image-size",
        type=positive_int,
        default=image_size,
        metavar="PIXELS",
        help=f"height and width that images are resized to{own}",
    )
    run = parser.add_argument_group("run")
    run.add_argument(
        "--batch-size",
        type=positive_int,
        default=32,
        metavar="INT",
        help="images per pass through the network",
    )
    run.add_argument(
        "--num-workers",
        type=non_negative_int,
        default=4,
        metavar="INT",
        help="processes that read and resize images",
    )
    run.add_argument(
        "--device",
        default="auto",
        metavar="NAME",
        help="auto (a GPU where there is one), cpu, cuda, cuda:1, ...",
    )
    run.add_argument(
        "--skip-corrupt",
        action="store_true",
        help="leave unreadable images out and count them, instead of stopping at the first",
    )
    run.add_argument(
        "--cache-dir",
        type=Path,
        default=default_cache_dir(),
        metavar="DIR",
        help="where the statistics of real images are kept",
    )
    run.add_argument(
        "--no-cache",
        dest="cache_dir",
        action="store_const",
        const=None,
        default=argparse.SUPPRESS,
        help="compute them anew, keep nothing",
    )
    return parser


def add_score_options(parser: argparse.ArgumentParser) -> None:
    """Options of the scripts that compare sets."""
    scores = parser.add_argument_group("scores")
    scores.add_argument(
        "--compute-kid",
        action="store_true",
        help=f"also KID; always computed when a set has fewer than {DIMENSIONS} images",
    )
    scores.add_argument(
        "--kid-subset-size",
        type=positive_int,
        default=1000,
        metavar="INT",
        help="images per KID subset; fewer images are used all at once",
    )
    scores.add_argument(
        "--kid-subset-count", type=positive_int, default=100, metavar="INT", help="KID subsets"
    )
    scores.add_argument(
        "--compute-prdc", action="store_true", help="also precision, recall, density and coverage"
    )
    scores.add_argument("--bootstrap", type=non_negative_int, default=100, metavar="INT",
                        help=f"resamples for the interval of an FID from fewer than {DIMENSIONS} images; 0 leaves it out")  # fmt: skip
    scores.add_argument(
        "--seed", type=non_negative_int, default=42, metavar="INT", help="of subsets and resamples"
    )


def add_network(parser: argparse.ArgumentParser) -> None:
    """The option that takes any of the networks."""
    parser.add_argument(
        "--network",
        choices=(*CEM, *INCEPTION),
        default="cem500k",
        help="CEM network, or Inception v3 by one of three standards",
    )


def load_network(args: argparse.Namespace) -> Backbone:
    """The network of `add_network` with the options of `build_parser`; its own size where none is given."""
    load, size = (load_cem, 224) if args.network in CEM else (load_inception, 299)
    return load(
        args.network,
        args.image_size or size,
        args.weights_path,
        args.download_dir,
        pick_device(args.device),
    )


def score_parser(description: str, image_size: int, output_json: str) -> argparse.ArgumentParser:
    """The parser of the two published scripts, without what only one of them has."""
    parser = build_parser(description, image_size)
    parser.add_argument("real_dir", type=Path, help="real images, sub-folders included")
    parser.add_argument("gen_dir", type=Path, help="generated images, sub-folders included")
    add_score_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output-json",
        type=Path,
        default=Path(output_json),
        metavar="FILE",
        help="result; the time (UTC) is added to its name",
    )
    output.add_argument("--data-volume", metavar="TEXT", help="copied into the result")
    return parser


def writable(path: Path, option: str) -> Path:
    """`path`, whose folder exists now and can be written; raises OSError naming the option before anything slow happens."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
    except OSError as error:
        raise OSError(
            f"{option} {path}: cannot be written ({error}). Name another place."
        ) from error
    return path


def read_folder(folder: Path, skip_corrupt: bool) -> tuple[list[Path], int]:
    """Readable images of a folder and the number of others; says how many."""
    paths, skipped = sound_images(find_images(folder), skip_corrupt)
    print(
        f"{folder}: {len(paths)} images"
        + (f", {skipped} unreadable ones left out" if skipped else ""),
        flush=True,
    )
    return paths, skipped


def score_folders(args: argparse.Namespace, load_backbone) -> None:
    """Check, compare, print and write: the whole of a published script after its options.

    Args:
        load_backbone: function without arguments; called once the folders are known to be sound.
    """
    writable(args.output_json, "--output-json")
    check_nesting(args.real_dir, args.gen_dir)
    sets = [read_folder(folder, args.skip_corrupt) for folder in (args.real_dir, args.gen_dir)]
    backbone = load_backbone()
    keep = (
        args.compute_kid or args.compute_prdc or min(len(paths) for paths, _ in sets) < DIMENSIONS
    )
    shared = (backbone, args.batch_size, args.num_workers, keep)
    real = folder_statistics(sets[0][0], *shared, args.cache_dir, "real")
    generated = folder_statistics(sets[1][0], *shared, title="generated")
    result = compare(real, generated, args) | describe(backbone)
    result["timestamp_utc"] = datetime.now(UTC).isoformat()
    result |= {"real_dir": str(args.real_dir.resolve()), "gen_dir": str(args.gen_dir.resolve())}
    result |= {"num_skipped": sum(skipped for _, skipped in sets)} if args.skip_corrupt else {}
    result |= {"data_volume": args.data_volume} if args.data_volume else {}
    print_summary(result)
    print(f"wrote {write_result(args.output_json, result)}")


def compare(real: Statistics, generated: Statistics, args: argparse.Namespace) -> dict:
    """Scores of two sets as a result states them; below 2,048 images with everything that tells what the distance is worth.

    Args:
        args: the options of `add_score_options`; without KID, PRDC and scarcity no features are needed.
    """
    result = {
        "fid": frechet_distance(real, generated),
        "num_real": real.count,
        "num_generated": generated.count,
    }
    scarce = min(real.count, generated.count) < DIMENSIONS
    if args.compute_kid or scarce:
        score = kid(
            real.features,
            generated.features,
            args.kid_subset_size,
            args.kid_subset_count,
            args.seed,
        )
        result |= {"kid": score.value, "kid_std": score.standard_error}
        result |= {"kid_subset_size": score.subset_size, "kid_subset_count": score.subset_count}
    if args.compute_prdc:
        result |= manifold_scores(real.features, generated.features)
    if scarce:
        result |= {"scarce": True} | report_scarcity(
            real, generated, result["fid"], args.bootstrap, args.seed
        ).fields()
    return result


def describe(backbone: Backbone) -> dict:
    """How features were made, as a result states it."""
    preprocessing = backbone.preprocessing
    mean, std = (
        list(values) if len(values) > 1 else values[0]
        for values in (preprocessing.mean, preprocessing.std)
    )
    return {
        "backbone": backbone.name,
        "weights": backbone.weights,
        "weights_sha256": backbone.sha256,
        "image_size": preprocessing.size,
        "resize": f"{preprocessing.resize}: {RESIZE_RULES[preprocessing.resize]}",
        "normalization_mean": mean,
        "normalization_std": std,
    }


def check_comparable(results: dict[str, dict]) -> None:
    """Raise ValueError where results by name were not made the same way; KeyError where one does not say how it was made."""
    for name, result in results.items():
        other, reference = next(iter(results.items()))
        for field in COMPARABLE:
            if result[field] != reference[field]:
                raise ValueError(
                    f"{name} and {other} do not belong in one table: {field} is {result[field]} and {reference[field]}"
                )


def print_summary(result: dict) -> None:
    """The scores of a result, a line each, with a warning where they rest on few images."""
    n = min(result["num_real"], result["num_generated"])
    print(
        f"FID {result['fid']:.4f}  {result['num_real']} real, {result['num_generated']} generated images, {result['backbone']}, {result['image_size']} px"
    )
    if "kid" in result:
        error = "" if result["kid_std"] is None else f" +- {result['kid_std']:.2g}"
        print(
            f"KID {result['kid']:.6f}{error}  {f'subsets of {size}' if (size := result['kid_subset_size']) else 'all images at once'}"
        )
    for name in ("precision", "recall", "density", "coverage"):
        if result.get(name) is not None:
            print(f"{name} {result[name]:.4f}")
    if result.get("scarce"):
        print(
            f"Fewer than {DIMENSIONS} images ({n}): this FID is biased upwards and must not be compared with one from other numbers of images. Judge by KID."
        )
        if result["fid_interval"]:
            print(
                "  95 % interval of the FID       {:.4f} .. {:.4f} (bootstrap)".format(
                    *result["fid_interval"]
                )
            )
        print(f"  for endless images             {result['fid_infinity']:.4f} (extrapolated)")
        if result["floor_fid"] is not None:
            print(
                f"  real against real              {result['floor_fid']:.4f} ({result['floor_size']} images each)"
            )
            print(
                f"  generated against real         {result['generated_fid_at_floor_size']:.4f} ({result['floor_size']} images each)"
            )


def write_result(path: Path, result: dict) -> Path:
    """Write a result as JSON under `path` with the result's time in its name; no earlier result is overwritten."""
    time = datetime.fromisoformat(result["timestamp_utc"])
    stamped = first = path.with_stem(f"{path.stem}_{time:%Y%m%d_%H%M}")
    number = 1
    while stamped.exists():  # the name has minutes only
        number += 1
        stamped = first.with_stem(f"{first.stem}_{number}")
    with whole_file(stamped) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")
    return stamped
