r"""One table for several folders of generated images against one real set: CSV, Markdown and bars.

    python fid/compare_folders.py data/test/images --generated runs/a/images runs/b/images \
        --output table

Each folder's result is written beside the table as well. `--results` adds such files to a later
table, if they were made the same way.
"""

import argparse
import json
import os
from pathlib import Path

from core.files import write_json
from core.options import add_options, dashed, new_parser, read_options
from fid.backbones.loading import BackboneOptions
from fid.features import FeatureOptions
from fid.results import check_comparable, check_writable, print_summary
from fid.scoring import FidScoreOptions, score_folders
from fid.tables import draw_bars, names_of, row_of, write_csv, write_markdown
from share import run_script

GROUPS = {"network": BackboneOptions, "run": FeatureOptions, "scores": FidScoreOptions}


def parse_args(argv=None):
    parser = new_parser(__doc__)
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
    for title, group in GROUPS.items():
        add_options(parser, group, title, flags=dashed(group))
    args = parser.parse_args(argv)
    check_command_line(parser, args)
    return args


def check_command_line(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End with an error where names do not fit the folders, or nothing is to be compared."""
    if args.names and len(args.names) != len(args.generated):
        parser.error(f"--names gives {len(args.names)} names for {len(args.generated)} folders")
    # Rows are kept by name: of two equal ones the first would be lost.
    if args.names and len(set(args.names)) < len(args.names):
        parser.error("--names gives a name twice; each needs one of its own")
    if not args.generated and not args.results:
        parser.error("nothing to compare: give --generated or --results")


def read_results(paths: list[Path]) -> dict[str, dict]:
    """Result files by name; raises ValueError for a file that is none."""
    results = {}
    for path in paths:
        try:
            result = json.loads(path.read_text())
            row_of("", result)  # needs the fields of a score
            check_comparable({"": result})  # needs the fields that say how it was made
        except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(
                f"--results {path}: not a result of these scripts ({error})"
            ) from error
        results[path.stem] = result
    return results


def main(argv=None):
    args = parse_args(argv)
    options = [read_options(group, args, dashed(group)) for group in GROUPS.values()]
    check_writable(args.output / "table.csv", "--output")
    given = read_results(args.results)
    check_comparable(given)  # before anything is scored
    results = {}
    if args.generated:
        folders = zip(args.names or names_of(args.generated), args.generated, strict=True)
        results = score_folders(args.real_dir, dict(folders), *options, earlier=given)
    for name, result in results.items():
        print(f"-- {name}")
        print_summary(result)
        # Names may be parts of paths: "a/images" becomes a_images.json.
        write_json(args.output / f"{name.replace(os.sep, '_')}.json", result)
    results |= given  # rows of earlier results come last
    rows = [row_of(name, result) for name, result in results.items()]
    table = args.output / "table.csv"
    write_csv(table, rows)
    write_markdown(table.with_suffix(".md"), rows, next(iter(results.values())))
    draw_bars(table.with_suffix(".png"), rows)
    print(table.with_suffix(".md").read_text())
    print(f"wrote {table}, {table.with_suffix('.md')}, {table.with_suffix('.png')}")


if __name__ == "__main__":
    run_script(main)
