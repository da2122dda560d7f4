"""One table for several folders of generated images against one real set: CSV, Markdown and a bar plot.

    python fid/compare_folders.py data/test/images --generated runs/a/images runs/b/images --output table

Each folder's result is written beside the table as well; `--results` adds such files to a later table, if they were made the same way.
"""

import csv
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from matplotlib.figure import Figure

from core.files import whole_file
from fid.backbones import DIMENSIONS
from fid.features import folder_statistics
from fid.images import check_nesting
from fid.scoring import (
    add_network,
    add_score_options,
    build_parser,
    check_comparable,
    compare,
    describe,
    load_network,
    print_summary,
    read_folder,
    writable,
)
from share import run_script

NORMAL_95 = 1.96  # standard errors on either side that hold 95 % of a normal distribution
COLUMNS = (
    "name",
    "n",
    "FID",
    "FID low",
    "FID high",
    "KID",
    "KID low",
    "KID high",
    "FID endless",
    "real vs real",
    "same n",
    "n of both",
)


def names_of(folders: list[Path]) -> list[str]:
    """What tells folders apart: their paths without the parts that all share."""
    parts = [folder.resolve().parts for folder in folders]
    if len(parts) == 1:
        return [folders[0].resolve().name]
    start = next(
        (i for i, some in enumerate(zip(*parts, strict=False)) if len(set(some)) > 1),
        min(map(len, parts)) - 1,
    )
    end = next(
        (
            i
            for i, some in enumerate(zip(*(path[::-1] for path in parts), strict=False))
            if len(set(some)) > 1
        ),
        0,
    )
    return ["/".join(path[start : len(path) - end]) or path[-1] for path in parts]


def row_of(name: str, result: dict) -> dict:
    """A table row of a result; empty where a score was not computed."""
    row = dict.fromkeys(COLUMNS, "") | {
        "name": name,
        "n": result["num_generated"],
        "FID": result["fid"],
    }
    if result.get("kid") is not None:
        row["KID"] = result["kid"]
        if result["kid_std"] is not None:
            row |= {
                "KID low": result["kid"] - NORMAL_95 * result["kid_std"],
                "KID high": result["kid"] + NORMAL_95 * result["kid_std"],
            }
    if result.get("fid_interval"):
        row["FID low"], row["FID high"] = result["fid_interval"]
    if result.get("floor_fid") is not None:
        row |= {
            "real vs real": result["floor_fid"],
            "same n": result["generated_fid_at_floor_size"],
            "n of both": result["floor_size"],
        }
    if result.get("scarce"):
        row["FID endless"] = result["fid_infinity"]
    return row


def write_csv(path: Path, rows: list[dict]) -> None:
    """All digits, one row each."""
    with whole_file(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def write_markdown(path: Path, rows: list[dict], result: dict) -> None:
    """The same for readers, with how it was made."""

    def cell(column, value):
        return (
            f"{value:.5f}"
            if column.startswith("KID") and value != ""
            else f"{value:.3f}"
            if isinstance(value, float)
            else str(value)
        )

    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- |" + " ---: |" * (len(COLUMNS) - 1)]
    lines += [
        "| " + " | ".join(cell(column, row[column]) for column in COLUMNS) + " |" for row in rows
    ]
    made = f"{result['num_real']} real images of `{result['real_dir']}`; {result['backbone']}, weights {result['weights_sha256'][:12]}, "
    lines += ["", f"{made}{result['image_size']} px, {result['resize']}. Ranges cover 95 %."]
    if len({row["n"] for row in rows}) > 1:
        lines += ["Numbers of images differ: compare KID, not FID."]
    if result.get("scarce"):
        lines += [
            f"Fewer than {DIMENSIONS} images: FIDs are biased upwards; compare `same n` with `real vs real`."
        ]
    with whole_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def draw_bars(path: Path, rows: list[dict]) -> None:
    """FID and, where every row has it, KID, with their ranges."""
    scores = [score for score in ("FID", "KID") if all(row[score] != "" for row in rows)]
    figure = Figure(figsize=(5 * len(scores), 1 + 0.4 * len(rows)), layout="constrained")
    for axis, score in zip(
        figure.subplots(1, len(scores), sharey=True, squeeze=False)[0], scores, strict=True
    ):
        values = [row[score] for row in rows]
        axis.barh([row["name"] for row in rows], values, color="#0072b2")
        for i, row in enumerate(rows):
            if row[f"{score} low"] != "":
                axis.plot([row[f"{score} low"], row[f"{score} high"]], [i, i], color="black")
        axis.set_xlabel(f"{score} (95 %)")
    axis.invert_yaxis()
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def parse_args(argv=None):
    parser = build_parser(__doc__.split("\n\n")[0])
    parser.add_argument("real_dir", type=Path, help="real images, sub-folders included")
    parser.add_argument(
        "--generated",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="folders of generated images",
    )
    parser.add_argument(
        "--names", nargs="+", metavar="TEXT", help="one for each folder; their paths when not given"
    )
    parser.add_argument(
        "--results",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="JSON results to add, made the same way with the same real images",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("fid_table"),
        metavar="DIR",
        help="folder for table.csv, table.md, table.png and the results",
    )
    add_network(parser)
    add_score_options(parser)
    args = parser.parse_args(argv)
    if args.names and len(args.names) != len(args.generated):
        parser.error(f"--names gives {len(args.names)} names for {len(args.generated)} folders")
    if not args.generated and not args.results:
        parser.error("nothing to compare: give --generated or --results")
    return args


def score_all(args, given: dict[str, dict]) -> dict[str, dict]:
    """Results of all folders by name; every file, and whether `given` results fit, is checked before the first is scored."""
    for folder in args.generated:
        check_nesting(args.real_dir, folder)
    real_paths, _ = read_folder(args.real_dir, args.skip_corrupt)
    sets = [read_folder(folder, args.skip_corrupt)[0] for folder in args.generated]
    keep = args.compute_kid or args.compute_prdc or min(map(len, (real_paths, *sets))) < DIMENSIONS
    backbone = load_network(args)
    made = describe(backbone) | {
        "real_dir": str(args.real_dir.resolve()),
        "num_real": len(real_paths),
    }
    check_comparable({"this table": made, **given})
    shared = (backbone, args.batch_size, args.num_workers, keep)
    real = folder_statistics(real_paths, *shared, args.cache_dir, "real")
    results = {}
    for name, folder, paths in zip(
        args.names or names_of(args.generated), args.generated, sets, strict=True
    ):
        result = compare(real, folder_statistics(paths, *shared, title=name), args) | made
        result |= {"timestamp_utc": datetime.now(UTC).isoformat(), "gen_dir": str(folder.resolve())}
        print(f"-- {name}")
        print_summary(result)
        results[name] = result
    return results


def read_results(paths: list[Path]) -> dict[str, dict]:
    """Result files by name; raises ValueError for a file that is none."""
    results = {}
    for path in paths:
        try:
            result = json.loads(path.read_text())
            row_of("", result)
            check_comparable({"": result})
        except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(
                f"--results {path}: not a result of these scripts ({error})"
            ) from error
        results[path.stem] = result
    return results


def main(argv=None):
    args = parse_args(argv)
    writable(args.output / "table.csv", "--output")
    given = read_results(args.results)
    check_comparable(given)
    results = score_all(args, given) if args.generated else {}
    for name, result in results.items():
        with whole_file(args.output / f"{name.replace(os.sep, '_')}.json") as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n")
    results |= given
    rows = [row_of(name, result) for name, result in results.items()]
    write_csv(args.output / "table.csv", rows)
    write_markdown(args.output / "table.md", rows, next(iter(results.values())))
    draw_bars(args.output / "table.png", rows)
    print((args.output / "table.md").read_text())
    print(
        f"wrote {args.output / 'table.csv'}, {args.output / 'table.md'}, {args.output / 'table.png'}"
    )


if __name__ == "__main__":
    run_script(main)
