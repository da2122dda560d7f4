"""Draw what a detector sees in every image of a folder: edges, depth, people, classes or membranes.

    python utils/annotate.py --detector membrane --input data/train/images --output data/train/edges

The maps keep names and sizes of the images. Those of canny, membrane, hed and mlsd are edge maps:
they feed `train.py --condition_type edge --edge_path` and `generate.py --edge_dirs`. Those of midas
are what the conditions `depth` and `normal` read. Those of openpose and uniformer are colour
pictures.
"""

from pathlib import Path

from annotator.folder import (
    OVERVIEW,
    AnnotationRunOptions,
    check_images,
    draw_all,
    draw_overview,
    find_all_weights,
    map_path,
    recorded_weights,
    settings_that_draw,
    write_record,
)
from annotator.networks import CKPTS_VARIABLE
from annotator.registry import DETECTORS, idle_options
from core.devices import pick_device
from core.images import list_images
from core.options import add_options, new_parser, read_options, usage_errors
from core.pairing import in_natural_order
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
        help=f"for a PNG per image and {OVERVIEW}; maps of an earlier run stay",
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
    return parser


def read_detector(parser, args):
    """The chosen detector and its options; ends with an error for options of another one."""
    detector = DETECTORS[args.detector]
    for name in idle_options(detector, vars(args)):
        parser.error(f"--{name} has no effect on --detector {detector.name}")
    if args.weights_path and not detector.weights:
        parser.error(f"--weights_path: {detector.name} needs no weights")
    with usage_errors(parser):
        return detector, read_options(detector.options, args)


def main(argv=None):
    parser = build_parser()
    args = parser.parse_args(argv)
    detector, options = read_detector(parser, args)
    run = read_options(AnnotationRunOptions, args)
    paths = in_natural_order(list_images(args.input))  # one file per stem, in natural order
    # Maps have the names of the images and would replace them.
    if args.output.resolve() == args.input.resolve():
        raise ValueError(f"--output {args.output}: is the --input folder. Name another one.")
    device = pick_device(run.device)
    settings = settings_that_draw(detector, options, args.input, run.detect_resolution)
    before = recorded_weights(args.output, settings)
    sizes = check_images(paths)  # all of them, so that nothing is drawn if one cannot be read
    missing = {path: sizes[path] for path in paths if not map_path(args.output, path).is_file()}
    print(
        f"{detector.name}: {len(paths)} images in {args.input}, "
        f"{len(paths) - len(missing)} done already"
    )
    if missing:  # a folder that is complete needs no weights
        weights = find_all_weights(detector, options, args.weights_path, "--weights_path")
        # Half of the maps by other weights would be a data set of two kinds.
        if before not in (None, weights):
            raise ValueError(
                f"--output {args.output}: was made with other weights. Name another folder."
            )
        draw_maps = detector.build(options, args.weights_path, device)
        # The record comes first: a run that is killed while it draws can then be gone on with.
        write_record(args.output, settings, weights)
        draw_all(missing, args.output, detector, draw_maps, run)
    draw_overview(paths, args.output)
    print(f"wrote {args.output}, overview {args.output / OVERVIEW}")


if __name__ == "__main__":
    run_script(main)
