r"""One table for several folders of generated images against one real set: CSV, Markdown and bars.

    python utils/compare_folders.py data/test/images --generated runs/a/images runs/b/images \
        --output table

Each folder's result is written beside the table as well. `--results` adds such files to a later
table, if they were made the same way.
"""

from pathlib import Path

from core.command_line.groups import Group, add_groups, read_groups
from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import dashed, new_parser, read_options
from core.csv_files import write_csv
from core.files import check_writable, write_json
from core.imaging.image_options import ImageOptions, add_image_options
from fid.backbones.options import BackboneOptions
from fid.options import FeatureOptions, FidScoreOptions
from fid.results import check_comparable, summary_text
from fid.tables import COLUMNS, TableOptions, draw_bars, read_results, row_of, write_markdown
from share import run_script

GROUPS = {
    "table": Group(TableOptions, "table"),
    "network": Group(BackboneOptions, "network", dashed(BackboneOptions)),
    "reading": Group(FeatureOptions, "run", dashed(FeatureOptions)),
    "scores": Group(FidScoreOptions, "scores", dashed(FidScoreOptions)),
}


def parse_args(argv=None):
    """The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("real_dir", type=Path, help="real images, sub-folders included")
    add_groups(parser, GROUPS)
    add_image_options(parser)
    add_run_control(parser)
    return parse_all(parser, argv)


def main(argv=None):
    args = parse_args(argv)
    # Here, because what works loads torch, which takes longer than reading the options.
    from fid.scoring import read_sets, score_sets

    read_options(ImageOptions, args).apply()
    options = read_groups(GROUPS, args)
    table_options, output, reading = options["table"], options["table"].output, options["reading"]
    files = table_options.result_files()
    given = read_results(table_options.results, "--results", taken=files)
    check_comparable(given)  # before anything is scored
    folders = table_options.folders()
    sets = read_sets(args.real_dir, folders, reading.skip_corrupt) if folders else None
    if args.dry_run:
        plan = f"{len(folders)} results to compute, {len(given)} given; all files go to {output}"
        print(dry_run_text(vars(args), plan, hidden=["real_dir"]))
        return
    check_writable(output / "table.csv", "--output")
    how = options["network"], reading, options["scores"]
    results = score_sets(sets, *how, earlier=given) if sets else {}
    for name, result in results.items():
        print(f"-- {name}")
        print(summary_text(result))
        write_json(files[name], result)
    results |= given  # rows of earlier results come last
    rows = [row_of(name, result) for name, result in results.items()]
    table = output / "table.csv"
    write_csv(table, COLUMNS, (row.values() for row in rows))
    write_markdown(table.with_suffix(".md"), rows, next(iter(results.values())))
    draw_bars(table.with_suffix(".png"), rows)
    print(table.with_suffix(".md").read_text())
    print(f"wrote {table}, {table.with_suffix('.md')}, {table.with_suffix('.png')}")


if __name__ == "__main__":
    run_script(main)
