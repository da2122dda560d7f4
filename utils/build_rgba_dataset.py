r"""Put masks and Canny edges together as RGBA tensors, the conditions of `--condition_type rgba`.

    python utils/build_rgba_dataset.py --img_dir data/train/images --mask_dir data/train/masks \
        --dest_dir data_rgba/train

This writes `data_rgba/train/100_200/`, named after the thresholds. It holds `<stem>.npz` for each
image, with the class planes in R, G, B and the edges in A. Files that exist and were made in the
same way are kept, so a build that was killed goes on where it was. Those whose image or mask has
changed since are refused.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from annotator import canny
from annotator.detector import edges_of_file
from conditions.pairs import notify_of_one_class
from conditions.rgba_build import BuildOptions, find_jobs, run_job, summary_of
from conditions.rgba_tensors import TensorOptions
from core.checks import raise_first
from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import (
    OptionError,
    add_options,
    new_parser,
    option,
    read_options,
)
from core.files import remove_leftovers, whole_file
from core.hardware.workers import in_workers, workers_option
from core.imaging.image_options import ImageOptions, add_image_options
from core.imaging.labels import notify_of_jpeg
from share import run_script

MISSING = "missing_masks.txt"
PREVIEW = "preview"
TENSOR_FLAGS = {  # published with dashes
    "num_mask_classes": "num-mask-classes",
    "canny_low": "canny-low",
    "canny_high": "canny-high",
    "beta_edge": "beta-edge",
}
BUILD_FLAGS = {
    "resize_masks": "resize_masks",
    "keep_folders": "keep_folders",
    "fmt": "fmt",
    "preview_max": "preview-max",
    "overwrite": "overwrite",
}


@dataclass(frozen=True)
class TensorFolderOptions:
    """Folders, and the processes that work on them."""

    img_dir: Path = option(None, Path, "DIR", "images", required=True)
    mask_dir: Path = option(None, Path, "DIR", "masks of class indices", required=True)
    dest_dir: Path = option(
        None, Path, "DIR", "where the folder <low>_<high> is made", required=True
    )
    preview_dir: Path | None = option(
        None,
        Path,
        "DIR",
        f"pictures of image, mask and edges; {PREVIEW}/ beside the tensors when not given",
    )
    num_workers: int = workers_option()

    def check(self):
        """Raise OptionError where tensors would be written among the images."""
        for name in ("img_dir", "mask_dir"):
            searched = getattr(self, name)
            if self.dest_dir.resolve().is_relative_to(searched.resolve()):
                raise OptionError(
                    "dest_dir",
                    f"{self.dest_dir} is inside --{name} {searched}, which is searched for images",
                )


def parse_args(argv=None):
    """The options of the command line."""
    parser = new_parser(__doc__)
    add_options(
        parser,
        TensorFolderOptions,
        "folders",
        "searched with their sub-folders; a mask has the stem of its image, or its numbers; "
        f"{MISSING} lists images without a mask",
    )
    add_options(parser, TensorOptions, "tensors", flags=TENSOR_FLAGS)
    add_options(parser, BuildOptions, "files", flags=BUILD_FLAGS)
    add_image_options(parser)
    add_run_control(parser)
    return parse_all(parser, argv)


def main(argv=None):
    args = parse_args(argv)
    read_options(ImageOptions, args).apply()
    folders = read_options(TensorFolderOptions, args)
    tensor = read_options(TensorOptions, args, TENSOR_FLAGS)
    options = read_options(BuildOptions, args, BUILD_FLAGS)
    folder = folders.dest_dir / tensor.folder
    preview_dir = folders.preview_dir or folder / PREVIEW
    jobs, missing = find_jobs(folders.img_dir, folders.mask_dir, preview_dir, options)
    if args.dry_run:
        plan = f"{len(jobs)} tensors in {folder}; {len(missing)} images have no mask"
        print(dry_run_text(vars(args), plan))
        return
    folder.mkdir(parents=True, exist_ok=True)
    draw_maps = canny.make(canny.CannyOptions(tensor.canny_low, tensor.canny_high))
    draw_edges = partial(edges_of_file, draw_maps=draw_maps)
    work = partial(run_job, folder=folder, tensor=tensor, options=options, draw_edges=draw_edges)
    # A file that fails does not stop the others: the next run has less to do.
    results = in_workers(work, jobs, folders.num_workers)
    bar = tqdm(results, total=len(jobs), desc="rgba tensors", unit="image", leave=False)
    made, classes, problems = summary_of(bar)
    remove_leftovers(folder)
    (folder / MISSING).unlink(missing_ok=True)
    if missing:
        with whole_file(folder / MISSING) as temporary:
            temporary.write_text("".join(f"{name}\n" for name in missing))
    raise_first(problems)
    notify_of_jpeg(job.mask for job in jobs)
    notify_of_one_class(folders.mask_dir, made, classes)
    print(f"{folder}: {len(jobs)} tensors, {len(jobs) - made} there already")
    if missing:
        print(f"{len(missing)} images have no mask; {folder / MISSING} lists them")


if __name__ == "__main__":
    run_script(main)
