r"""Cut a volume into slices, with the masks of a label volume beside them.

    python utils/slices.py stack.tif data --labels labels.tif --map 0=0 127=1 255=2 \
        --split train=0.7 val=0.15 test=0.15

Volumes are TIFF stacks (ImageJ and OME too), OME-Zarr, Zarr, N5, HDF5, MRC, or folders of slices.
They may be larger than the memory. A call that was stopped goes on with the same command.
"""

from contextlib import closing
from pathlib import Path

from core.command_line.groups import Group, add_groups, read_groups
from core.command_line.option_sources import (
    RUN_CONTROL,
    add_run_control,
    dry_run_text,
    parse_given,
    plain,
    with_defaults,
)
from core.command_line.options import new_parser, option_names, read_options
from core.files import remove_leftovers
from core.imaging.image_options import ImageOptions, add_image_options
from core.recording.run_lock import RunLock
from share import run_script
from volumes import open_volume
from volumes.base import ArrayOptions
from volumes.cutting import CutOptions, SplitOptions
from volumes.grey import GreyOptions, bits_of
from volumes.labels import LabelOptions
from volumes.slice_record import (
    SlicesRecord,
    describe_volume,
    read_slices_record,
    write_slices_record,
)
from volumes.slicing import PairOptions, SliceSet, WriteOptions, check_alike, check_sampled_labels

LABELS_FLAGS = {"dataset": "labels_dataset", "level": "labels_level", "at": "labels_at"}
GROUPS = {
    "pair": Group(PairOptions, "volumes"),
    "image_array": Group(ArrayOptions, "place of the image volume in its file"),
    "labels_array": Group(ArrayOptions, "place of the labels in theirs", LABELS_FLAGS),
    "cut": Group(CutOptions, "slices"),
    "split": Group(SplitOptions, "parts"),
    "grey": Group(GreyOptions, "grey levels"),
    "labels": Group(LabelOptions, "labels"),
    "write": Group(WriteOptions, "files"),
}
POSITIONAL = ("volume", "output")
# May differ in a call that goes on: they change no file.
FREE = (*RUN_CONTROL, *POSITIONAL, "memory", "max_pixels")


def parse_args(argv=None):
    """The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("volume", type=Path, metavar="VOLUME", help="file or folder to read")
    parser.add_argument("output", type=Path, metavar="OUT", help="folder to write to")
    add_groups(parser, GROUPS)
    add_image_options(parser)
    add_run_control(parser)
    given = parse_given(parser, argv)
    args = with_defaults(parser, given)
    if args.labels is None:
        for name in given.keys() & {*LABELS_FLAGS.values(), *LabelOptions.__dataclass_fields__}:
            raise ValueError(f"--{name}: is only read with --labels")
    return args


def open_volumes(args, options):
    """The image volume and that of the labels, or None; checked against each other."""
    pair = options["pair"]
    with option_names():
        image = open_volume(args.volume, options["image_array"])
    if pair.labels is None:
        return image, None
    with option_names(LABELS_FLAGS):
        labels = open_volume(pair.labels, options["labels_array"])
    check_alike(image, labels, pair.voxel)
    return image, labels


def describe(slices, window):
    """Lines for people: what is read, and what is written."""
    image, cut = slices.image, slices.cut
    parts = ", ".join(f"{name or 'all'}: {len(n)}" for name, n in slices.parts.items())
    tiles = f", {len(slices.tiles)} tiles each" if cut.tile else ""
    grey, bits = "as stored", bits_of(image)
    if window is not None:
        grey = f"{window.black:g} to {window.white:g} as 8 bits"
    elif bits is not None:
        grey = f"of {bits} bits stretched to {8 * image.dtype.itemsize}"
    return (
        f"{image.source}: {image.format}, {image.shape} (z, y, x) of {image.dtype}\n"
        f"slices of {slices.size[1]} x {slices.size[0]} pixels across {cut.axis} ({parts}){tiles}; "
        f"pixel size {slices.pixel_size or 'unknown'}; grey levels {grey}"
    )


def prepare(args, options):
    """The slices and their record, that of an earlier call where there is one."""
    pair, name = options["pair"], options["write"].name
    image, labels = open_volumes(args, options)
    volumes = [describe_volume(args.volume, image)]
    if labels:
        volumes.append(describe_volume(pair.labels, labels))
    fixed = {name: value for name, value in plain(vars(args)).items() if name not in FREE}
    voxel, name = pair.voxel or image.voxel, name or args.volume.resolve().name.split(".")[0]
    with option_names():
        slices = SliceSet(image, labels, voxel, options["cut"], options["split"], name)
        saved = read_slices_record(args.output, fixed, volumes)
    if saved:
        return slices, saved
    if labels:
        check_sampled_labels(labels, options["labels"])
    window = options["grey"].window_of(image)
    record = SlicesRecord(options=fixed, volumes=volumes, grey_window=window and list(window))
    return slices, record


def main(argv=None):
    args = parse_args(argv)
    read_options(ImageOptions, args).apply()
    options = read_groups(GROUPS, args)
    slices, record = prepare(args, options)
    pending = slices.pending(args.output)
    left = sum(map(len, pending.values()))
    plan = f"{describe(slices, record.window)}\n{left} slices are missing in {args.output}"
    if args.dry_run:
        print(dry_run_text(vars(args), plan, hidden=POSITIONAL))
        return
    print(plan, flush=True)
    write_slices_record(args.output, record)
    with closing(RunLock(args.output, "writing slices")) as lock:
        lock.acquire()
        remove_leftovers(args.output)
        slices.note(args.output, record.volumes[0], record.window)
        memory = options["write"].memory * 2**20
        slices.write(args.output, pending, record.window, options["labels"], memory)
    print(f"{args.output}: {slices.num_files} pictures in each of {', '.join(slices.folders)}")


if __name__ == "__main__":
    run_script(main)
