r"""Answer whether generated pairs make a better segmenter for your data than augmentation alone.

    python utils/augmentation_study.py study.yaml --output study

The study file names labelled pairs, how they are split, and arms: ways to train the segmenter. Each
arm is trained with each seed and tested on real images that it never saw. docs/study.md explains
the file and what to do with the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import (
    OptionError,
    add_options,
    new_parser,
    non_negative_int,
    option,
    read_options,
)
from core.hardware.device_options import DeviceOptions, pick_device
from core.imaging.image_options import ImageOptions, add_image_options
from core.imaging.images import list_images
from share import run_script

if TYPE_CHECKING:  # it takes seconds to load, and programs read their options before
    from segmentation.study.jobs import Study
    from segmentation.study.parts import Parts


@dataclass(frozen=True)
class StudyOptions(DeviceOptions):
    """Folders of a study, and the part of it that this call runs."""

    output: Path = option(Path("study"), Path, "DIR", "folder for results; a second call goes on")
    write_split: Path | None = option(
        None,
        Path,
        "DIR",
        "only write the images and masks of the split to this new folder, one set for each number "
        "of labelled images, to train a ControlNet on; one that holds this split already stays",
    )
    pairs_to_come: Sequence[Path] | None = option(
        None,
        Path,
        "DIR",
        "only check the study file, while these folders of pairs can still be made, and list those "
        "that arms name; {labelled} in the place of the number",
        nargs="*",
    )
    unlabelled: Path | None = option(
        None,
        Path,
        "DIR",
        "with --pairs_to_come: images without labels that pairs will be made of, none of which may "
        "be a validation or test image",
    )
    task: int | None = option(
        None, non_negative_int, "INT", "run only this training, from 0: one Slurm array task each"
    )

    def check(self):
        """Raise OptionError where options rule each other out, or one needs another."""
        if self.pairs_to_come is not None and self.write_split is not None:
            raise OptionError("pairs_to_come", "only checks; leave out --write_split")
        if self.unlabelled is not None and self.pairs_to_come is None:
            raise OptionError("unlabelled", "is only checked, with --pairs_to_come")


def parse_args(argv=None):
    """The options of the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("study", type=Path, metavar="YAML", help="the study file")
    add_options(parser, StudyOptions, "study")
    add_image_options(parser)
    add_run_control(parser)
    return parse_all(parser, argv)


def plan_text(study: "Study", pending) -> str:
    """The parts of the split and the trainings, numbered as `--task` counts them."""
    lines = [
        f"{len(study.parts.largest)} training images, {len(study.parts.val)} for validation, "
        f"{len(study.parts.test)} for the test; {len(study.jobs)} trainings, {len(pending)} to run"
    ]
    for number, job in enumerate(study.jobs):
        lines.append(
            f"{number:4d} {job.name}: {len(job.real)} real, {len(job.synthetic)} generated, "
            f"{job.steps} steps"
        )
    return "\n".join(lines)


def write_split(folder: Path, parts: "Parts", args) -> None:
    """Write the split as folders, or say what would be written."""
    plan = f"{sum(map(len, [*parts.train.values(), parts.val, parts.test]))} pairs to {folder}"
    if args.dry_run:
        print(dry_run_text(vars(args), plan, hidden=["study"]))
        return
    from segmentation.study.parts import write_parts  # here, as in `main`

    names = write_parts(folder, parts)
    print(f"{plan}: {', '.join(names)}")


def main(argv=None):
    args = parse_args(argv)
    # Here, because what works loads torch, which takes longer than reading the options.
    from segmentation.study.config import read_study
    from segmentation.study.held_out import HeldOut, refuse_unlike_namesakes
    from segmentation.study.jobs import Study, folders_needed
    from segmentation.study.parts import find_parts
    from segmentation.study.report import MARKDOWN, write_report
    from segmentation.study.result_files import ResultFiles

    read_options(ImageOptions, args).apply()
    options = read_options(StudyOptions, args)
    config = read_study(args.study)
    if options.pairs_to_come is not None:
        parts = find_parts(config)
        needed = folders_needed(config, parts.train, options.pairs_to_come)
        if options.unlabelled:
            images = list_images(options.unlabelled)
            HeldOut(parts, config.num_classes).refuse_images(images)
            refuse_unlike_namesakes(images, parts)
        for folder in needed:
            print(folder)
        return
    if options.write_split:
        write_split(options.write_split, find_parts(config), args)
        return
    study = Study(config)
    if options.task is not None and options.task >= len(study.jobs):
        raise ValueError(f"--task {options.task}: expected 0..{len(study.jobs) - 1}")
    files = ResultFiles(options.output)
    results = files.read(study, study.jobs)
    chosen = study.jobs if options.task is None else [study.jobs[options.task]]
    pending = [job for job in chosen if job.name not in results]
    plan = plan_text(study, pending)
    if args.dry_run:
        print(dry_run_text(vars(args), plan, hidden=["study"]))
        return
    print(plan.splitlines()[0])
    device = pick_device(options.device)
    for job in tqdm(pending, desc="study", unit="training"):
        files.write(job, study.run(job, device, progress=True))
    print(write_report(options.output, study, files.read(study, study.jobs)))
    print(f"written: {options.output / MARKDOWN}")


if __name__ == "__main__":
    run_script(main)
