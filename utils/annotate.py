"""Draw what a detector sees in every image of a folder: edges, depth, people, classes or membranes.

    python utils/annotate.py --detector membrane --input data/train/images --output data/train/edges

The maps keep names and sizes of the images. Those of canny, membrane, hed and mlsd are edge maps:
they feed `train.py --condition_type edge --edge_path` and `generate.py --edge_dirs`. Those of midas
are what the conditions `depth` and `normal` read. Those of openpose and uniformer are colour
pictures.
"""

from pathlib import Path

from annotator.folder import (
    MAPS_RECORD,
    OVERVIEW,
    AnnotationRunOptions,
    changed_images,
    check_images,
    draw_all,
    draw_overview,
    find_all_weights,
    map_path,
    missing_maps,
    recorded_maps,
    settings_that_draw,
    write_record,
)
from annotator.registry import DETECTORS, idle_options
from annotator.weights import CKPTS_VARIABLE
from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import add_options, new_parser, option_names, read_options
from core.files import sha256_of
from core.hardware.device_options import pick_device
from core.imaging.image_options import ImageOptions, add_image_options
from core.imaging.images import list_images
from core.imaging.pairing import in_natural_order
from share import run_script


def build_parser():
    parser = new_parser(__doc__, epilog=" ".join(__doc__.split("\n\n")[2].split()))
    files = parser.add_argument_group("files")
    drawn = "; ".join(f"{name}: {detector.draws}" for name, detector in DETECTORS.items())
    files.add_argument(
        "--detector", choices=DETECTORS, required=True, help=f"what each of them draws: {drawn}"
    )
    files.add_argument(
        "--input",
        type=Path,
        required=True,
        metavar="DIR",
        help="images, 8 or 16 bit, grey or RGB; alpha is dropped as in training",
    )
    files.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help=f"for a PNG per image and {OVERVIEW}; maps of an earlier run stay, "
        "but those of images that have changed since are drawn again",
    )
    files.add_argument(
        "--weights_path",
        type=Path,
        metavar="PATH",
        help="file of the weights, or folder that holds it; not given: looked for in "
        f"${CKPTS_VARIABLE} and annotator/ckpts, then downloaded",
    )
    add_options(parser, AnnotationRunOptions, "run")
    for detector in DETECTORS.values():
        add_options(parser, detector.options, detector.title)
    add_image_options(parser)
    add_run_control(parser)
    return parser


def read_detector(args):
    """The chosen detector and its options; raises ValueError for options of another one."""
    detector = DETECTORS[args.detector]
    for name in idle_options(detector, vars(args)):
        raise ValueError(f"--{name} has no effect on --detector {detector.name}")
    if args.weights_path and not detector.weights:
        raise ValueError(f"--weights_path: {detector.name} needs no weights")
    return detector, read_options(detector.options, args)


def main(argv=None):
    args = parse_all(build_parser(), argv)
    read_options(ImageOptions, args).apply()
    detector, options = read_detector(args)
    run = read_options(AnnotationRunOptions, args)
    paths = in_natural_order(list_images(args.input))  # one file per stem, in natural order
    # Maps have the names of the images and would replace them.
    if args.output.resolve() == args.input.resolve():
        raise ValueError(f"--output {args.output}: is the --input folder. Name another one.")
    settings = settings_that_draw(detector, options, args.input, run.detect_resolution)
    with option_names():
        before = recorded_maps(args.output, settings)
    sizes = check_images(paths)  # all of them, so that nothing is drawn if one cannot be read
    missing, flaws = missing_maps(sizes, args.output, detector)
    sums = {path: sha256_of(path) for path in paths}
    stale = [path for path in changed_images(sums, before) if path not in missing]
    missing |= {path: sizes[path] for path in stale}
    plan = (
        f"{detector.name}: {len(paths)} images in {args.input}, "
        f"{len(paths) - len(missing)} done already"
    )
    if flaws:
        plan += f"; {len(flaws)} maps are damaged and are drawn again, the first: {flaws[0]}"
    if stale:
        plan += f"; {len(stale)} images have changed since and are drawn again, such as {stale[0]}"
    if args.dry_run:
        plan += f"\n{len(missing)} maps would be written to {args.output}"
        print(dry_run_text(vars(args), plan))
        return
    print(plan)
    if missing:  # a folder that is complete needs no weights
        weights = find_all_weights(detector, options, args.weights_path, "--weights_path")
        # Half of the maps by other weights would be a data set of two kinds.
        if before and before.weights != weights:
            raise ValueError(
                f"--output: {args.output / MAPS_RECORD}: the maps were drawn with other weights. "
                "Name another folder."
            )
        draw_maps = detector.build(options, args.weights_path, pick_device(run.device))
        # The record comes first: a run that is killed while it draws can then be gone on with. It
        # would vouch for maps of old images, so these go before.
        for path in stale:
            map_path(args.output, path).unlink()
        write_record(args.output, settings, weights, {path.name: sums[path] for path in paths})
        draw_all(missing, args.output, detector, draw_maps, run)
    draw_overview(paths, args.output)
    print(f"wrote {args.output}, overview {args.output / OVERVIEW}")


if __name__ == "__main__":
    run_script(main)
