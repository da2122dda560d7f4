"""The trainings of a study: one job for each arm, number of labelled images and seed."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pydantic
import torch

from conditions.pairs import Pair
from core.command_line.option_sources import plain
from core.command_line.options import OptionError
from core.files import sha256_of
from core.imaging.image_header import stated_bit_depth
from core.imaging.known_sizes import notify_of_unlike_folders
from core.imaging.pairing import IMAGES, MASKS
from core.notices import notify
from core.recording.records import Record
from core.refusals import same_kind
from segmentation.data import gather_pairs
from segmentation.folders import TrainingPairs
from segmentation.options import STRONG, SegmenterOptions
from segmentation.scoring import score
from segmentation.study.config import (
    LABELLED,
    Arm,
    StudyConfig,
    segmenter_of,
    unlike_baseline,
)
from segmentation.study.held_out import HeldOut
from segmentation.study.parts import absent_classes, find_parts
from segmentation.study.split import spread
from segmentation.training import train_segmenter


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        labelled: number of labelled images that the arm may use.
        real, synthetic: training pairs.
        steps, options: of the segmenter.
    """

    arm: str
    labelled: int
    seed: int
    real: Sequence[Pair]
    synthetic: Sequence[Pair]
    steps: int
    options: SegmenterOptions

    @property
    def name(self) -> str:
        """Name of the job and of its result."""
        return f"{self.arm}-{self.labelled}-{self.seed}"


class Result(Record):
    """Result of a job, as its file holds it.

    Attributes:
        fingerprint: of options and files; a job with another one is another job.
        miou, iou: of the test images; None for a class that no mask shows.
        miou_turned: with masks that are means over turns and flips, as `utils/predict_masks.py`
            makes them; None in results of older versions.
        val_curve: (step, mIoU on the validation images).
        train_seconds: time of the training with its validations.
    """

    fingerprint: str
    arm: str
    labelled: int
    seed: int
    steps: int
    real_images: int
    synthetic_images: int
    miou: float
    iou: list[float | None]
    miou_turned: float | None = None
    val_curve: list[tuple[int, float]] = pydantic.Field(strict=False)
    train_seconds: float


class Study:
    """A study with its files found and checked.

    Attributes:
        unlike: arms that differ from the baseline in more than their pairs, see `unlike_baseline`.

    Raises:
        FileNotFoundError, RuntimeError, ValueError: folders, pairs, split or options are wrong, or
            generated pairs show masks or images of the test or the validation.
    """

    def __init__(self, config: StudyConfig):
        self.config = config
        self.parts = find_parts(config)
        self.jobs = self._jobs()
        synthetic = list(dict.fromkeys(pair for job in self.jobs for pair in job.synthetic))
        HeldOut(self.parts, config.num_classes).refuse_pairs(synthetic)
        folders = [*config.real.images, *(pair.image.parent for pair in synthetic)]
        notify_of_unlike_folders(dict.fromkeys(folders))
        self.unlike = unlike_baseline(config)
        self._notify_of_unfair_arms()
        self.digests = {}

    def _notify_of_unfair_arms(self) -> None:
        """Warn of arms that could win by more than their pairs."""
        base = self.config.baseline
        for arm, unlike in self.unlike.items():
            notify(f"arm {arm}: differs from {base} in more than its pairs ({unlike})")
        augmentation = next(job.options.augmentation for job in self.jobs if job.arm == base)
        if augmentation != STRONG:
            notify(
                f"arm {base}, the baseline, has {augmentation} augmentation. What pairs gain then, "
                f"`augmentation: {STRONG}` might bring without them"
            )

    def _jobs(self) -> list[Job]:
        jobs = []
        for arm in self.config.arms:
            for labelled, pairs in self.parts.train.items():
                real = pairs if arm.real else []
                synthetic = synthetic_pairs(arm, labelled, self.config.num_classes)
                for seed in self.config.seeds:
                    options, steps = segmenter_of(self.config, arm, seed)
                    try:
                        options.check_sources(TrainingPairs(real, (), synthetic).numbers, steps)
                    except OptionError as error:
                        raise ValueError(f"arm {arm.name}: {error}") from error
                    jobs.append(Job(arm.name, labelled, seed, real, synthetic, steps, options))
        return jobs

    @cached_property
    def _absent_classes(self) -> list[set[int]]:
        """Classes that no mask of the validation shows, and those that none of the test shows."""
        parts = self.parts.val, self.parts.test
        return [absent_classes(pairs, self.config.num_classes) for pairs in parts]

    def was_scored_otherwise(self, result: Result) -> bool:
        """Tell whether a result is so old that classes without a mask may lower its scores."""
        if result.miou_turned is not None:
            return False
        val, test = self._absent_classes
        # Of the validation, only the means are known.
        return bool(val) or any(result.iou[label] is not None for label in test)

    def fingerprint(self, job: Job) -> str:
        """Checksum of all that a result depends on: options, steps and the bytes of the files."""
        held_out = {"val": self.parts.val, "test": self.parts.test}
        pairs = {"real": job.real, "synthetic": job.synthetic, **held_out}
        # The number of workers changes no sample.
        options = dataclasses.replace(job.options, num_workers=0)
        bits = stated_bit_depth()
        content = {
            "options": plain(dataclasses.asdict(options)) | ({"bit_depth": bits} if bits else {}),
            "steps": job.steps,
            "num_classes": self.config.num_classes,
            **{name: [self._digest(pair) for pair in members] for name, members in pairs.items()},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _digest(self, pair: Pair) -> str:
        if pair not in self.digests:
            self.digests[pair] = "/".join(map(sha256_of, pair))
        return self.digests[pair]

    def run(self, job: Job, device: torch.device, progress: bool = False) -> Result:
        """Train the segmenter of a job and score it on the test images."""
        begin = time.monotonic()
        model = train_segmenter(
            TrainingPairs(job.real, self.parts.val, job.synthetic),
            self.config.num_classes,
            job.steps,
            job.options,
            device=device,
            progress=progress,
        )
        seconds = time.monotonic() - begin
        tested, turned = (
            score(model, self.parts.test, self.config.num_classes, turned=turns)
            for turns in (False, True)
        )
        return Result(
            fingerprint=self.fingerprint(job),
            arm=job.arm,
            labelled=job.labelled,
            seed=job.seed,
            # Patience ends a training at a validation; without any, all steps were made.
            steps=model.curve[-1][0] if model.curve else job.steps,
            real_images=len(job.real),
            synthetic_images=len(job.synthetic),
            miou=tested["miou"],
            iou=tested["iou"],
            miou_turned=turned["miou"],
            val_curve=model.curve,
            train_seconds=seconds,
        )


def folders_needed(
    config: StudyConfig, labelled: Iterable[int], to_come: Sequence[Path]
) -> list[Path]:
    """Those of the folders still to be made that arms name; pairs of other folders are checked.

    Args:
        labelled: numbers of labelled images.
        to_come: folders of pairs that can be made, with `LABELLED` in the place of the number.
    Raises:
        FileNotFoundError, RuntimeError, ValueError: as `synthetic_pairs`, or a folder is neither
            there nor to come.
    """
    labelled = list(labelled)
    coming = {folder_for(path, number).resolve(): path for path in to_come for number in labelled}
    needed = set()
    for arm in config.arms:
        for number in labelled:
            folder = arm.synthetic and folder_for(arm.synthetic, number).resolve()
            if folder in coming:
                needed.add(coming[folder])
                continue
            try:
                synthetic_pairs(arm, number, config.num_classes)
            except FileNotFoundError as error:
                names = ", ".join(map(str, to_come)) or "none"
                raise FileNotFoundError(f"{error}. Folders still to be made: {names}") from error
    return [path for path in to_come if path in needed]


def folder_for(folder: str | Path, labelled: int) -> Path:
    """A folder of pairs for a number of labelled images, which `LABELLED` stands for."""
    return Path(str(folder).replace(LABELLED, str(labelled)))


def synthetic_pairs(arm: Arm, labelled: int, num_classes: int) -> list[Pair]:
    """The generated pairs of an arm; none where it names no folder.

    Raises:
        FileNotFoundError, RuntimeError, ValueError: no such folder, no pairs or too few in it.
    """
    if arm.synthetic is None:
        return []
    folder = folder_for(arm.synthetic, labelled)
    try:
        pairs = gather_pairs([folder / IMAGES], [folder / MASKS], num_classes, True)
    except (OSError, RuntimeError, ValueError) as error:
        raise same_kind(error, f"arm {arm.name}: {error}") from error
    number = arm.synthetic_images or len(pairs)
    if number > len(pairs):
        raise ValueError(f"arm {arm.name}: {number} pairs wanted, {folder} holds {len(pairs)}")
    return spread(pairs, number)
