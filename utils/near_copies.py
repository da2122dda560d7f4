r"""The share of generated images that are copies of training images, and the closest pairs.

    python utils/near_copies.py data/train/images my_synth_data/run_1/images \
        --held-out data/test/images --output copies

An image counts as a copy when it lies closer to a training image than 99 % of the training images
lie to their own nearest neighbour. Of fresh real images (`--held-out`) about 1 % do. Small sets of
neighbouring slices are memorised easily (Dar et al. 2024).
"""

from dataclasses import dataclass
from pathlib import Path

from core.command_line.groups import Group, add_groups, read_groups
from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import dashed, new_parser, option, read_options
from core.files import check_writable, write_json
from core.imaging.image_options import ImageOptions, add_image_options
from core.imaging.images import write_png
from fid.backbones.options import BackboneOptions
from fid.copies import (
    CopyOptions,
    copy_lines,
    draw_pairs,
    features_of,
    find_copies,
    report_of,
    write_pairs,
)
from fid.options import FeatureOptions
from fid.results import describe
from share import run_script


@dataclass(frozen=True)
class CopyFileOptions:
    """Folder of the result."""

    output: Path = option(
        Path("near_copies"), Path, "DIR", "folder for pairs.csv, pairs.png and report.json"
    )


GROUPS = {
    "copies": Group(CopyOptions, "copies", dashed(CopyOptions, held_out="held-out")),
    "network": Group(BackboneOptions, "network", dashed(BackboneOptions)),
    "reading": Group(FeatureOptions, "run", dashed(FeatureOptions)),
    "files": Group(CopyFileOptions, "output"),
}


def parse_args(argv=None):
    """The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("training_dir", type=Path, help="images that the generator was trained on")
    parser.add_argument("gen_dir", type=Path, help="generated images")
    add_groups(parser, GROUPS)
    add_image_options(parser)
    add_run_control(parser)
    return parse_all(parser, argv)


def main(argv=None):
    args = parse_args(argv)
    # Here, because what works loads torch, which takes longer than reading the options.
    from fid.backbones.loading import load_backbone
    from fid.images import check_nesting, read_folder

    read_options(ImageOptions, args).apply()
    options = read_groups(GROUPS, args)
    copying, reading, output = options["copies"], options["reading"], options["files"].output
    # By their part in the comparison; real images come again in other scores, hence the cache.
    folders = {"training": args.training_dir, "generated": args.gen_dir}
    if copying.held_out:
        folders["held_out"] = copying.held_out
    for folder in list(folders.values())[1:]:  # an image would be its own nearest
        check_nesting(args.training_dir, folder)
    paths = {name: read_folder(path, reading.skip_corrupt)[0] for name, path in folders.items()}
    if args.dry_run:
        plan = f"features of {options['network'].network}, all files go to {output}"
        print(dry_run_text(vars(args), plan, hidden=["training_dir", "gen_dir"]))
        return
    check_writable(output / "report.json", "--output")
    backbone = load_backbone(options["network"])
    sets = {
        name: features_of(
            folders[name], inside, backbone, reading, None if name == "generated" else reading.cache
        )
        for name, inside in paths.items()
    }
    copies = find_copies(sets["training"], sets["generated"], copying.quantile)
    report = report_of(copies, sets, copying.quantile)
    print(copy_lines(report))
    write_pairs(output / "pairs.csv", copies)
    write_png(
        output / "pairs.png", draw_pairs([pair[:2] for pair in copies.pairs[: copying.pairs]])
    )
    write_json(output / "report.json", report | describe(backbone))
    print(
        f"wrote {output / 'pairs.csv'}, {output / 'pairs.png'} (generated | training, "
        f"closest first), {output / 'report.json'}"
    )


if __name__ == "__main__":
    run_script(main)
