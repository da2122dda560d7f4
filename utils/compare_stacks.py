r"""Compare stacks of images: how smoothly one slice turns into the next.

    python utils/compare_stacks.py real=data/images alone=run_alone/images stack=run_stack/images \
        --output comparison

This writes `comparison/report.json` and `comparison/strips.png`: for each stack some neighbouring
slices, then a section along z. The report holds, as means over the stack, the correlation of
slices, and the flow residual: what is left of the difference of neighbours after one is warped onto
the other, as a share of the deviation of grey levels.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import (
    add_options,
    folder_name,
    new_parser,
    option,
    positive_int,
    read_options,
)
from core.files import check_new_folder, whole_folder, write_json
from core.imaging.image_options import ImageOptions, add_image_options
from core.imaging.images import write_png
from core.imaging.pictures import tile
from share import run_script
from volumes.continuity import measure, read_stack, strip


@dataclass(frozen=True)
class StackComparisonOptions:
    """Folder to make, and how much it shows."""

    output: Path = option(None, Path, "DIR", "folder to make", required=True)
    slices: int = option(6, positive_int, "INT", "neighbouring slices to show of each stack")


def named_folder(text: str) -> tuple[str, Path]:
    """`real=data/images` as a pair of name and folder."""
    name, equals, folder = text.partition("=")
    if not equals or not folder:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=FOLDER")
    return folder_name(name), Path(folder)


def parse_args(argv=None) -> argparse.Namespace:
    """The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument(
        "stacks", type=named_folder, nargs="+", metavar="NAME=FOLDER", help="folders of slices"
    )
    add_options(parser, StackComparisonOptions, "comparison")
    add_image_options(parser)
    add_run_control(parser)
    return parse_all(parser, argv)


def main(argv=None):
    args = parse_args(argv)
    read_options(ImageOptions, args).apply()
    options = read_options(StackComparisonOptions, args)
    names = [name for name, _ in args.stacks]
    if len(set(names)) < len(names):
        raise ValueError("two stacks have one name")
    check_new_folder(options.output)
    if args.dry_run:
        plan = f"{len(names)} stacks; all files go to {options.output}"
        print(dry_run_text(vars(args), plan, hidden=["stacks"]))
        return
    report, rows = {}, []
    for name, folder in tqdm(args.stacks, desc="compare", unit="stack", leave=False):
        stack = read_stack(folder)
        report[name] = measure(stack)
        rows.append(strip(stack, options.slices))
    titles = [
        f"{name}: correlation of neighbours {found['correlation_1']:.3f}, flow residual "
        f"{found['flow_residual']:.3f}"
        for name, found in report.items()
    ]
    with whole_folder(options.output) as folder:
        write_json(folder / "report.json", report)
        write_png(folder / "strips.png", tile(rows, titles=titles))
    print("\n".join([*titles, f"written: {options.output}"]))


if __name__ == "__main__":
    run_script(main)
