"""The study file: data, split, seeds, the segmenter's options, and the arms that are compared."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import pydantic
from omegaconf import OmegaConf

from core.command_line.option_sources import parse_mapping, with_defaults
from core.command_line.options import (
    add_options,
    folder_name,
    new_parser,
    positive_int,
    read_options,
)
from core.recording.records import first_problem
from core.yaml_files import read_yaml
from segmentation.options import SegmenterOptions
from segmentation.study.split import SplitConfig

MAX_STEPS = 800  # of a training, where the study file says nothing
LABELLED = "{labelled}"  # stands for the number of labelled images in the folder of an arm
RESERVED = ("seed",)  # segmenter options that the study sets itself
# Segmenter options that say how pairs are shown, or that change no result: arms differ in them
FREE = ("mix", "synthetic_first", "num_workers")


class _Part(pydantic.BaseModel):
    """A part of the study file: no name may be misspelt, no value left out."""

    model_config = pydantic.ConfigDict(extra="forbid")

    @pydantic.model_validator(mode="after")
    def _has_values(self):
        # `synthetic:` with nothing behind it would be an arm of real pairs alone.
        for name in self.model_fields_set:
            if getattr(self, name) is None:
                raise ValueError(f"{name}: has no value; give one, or leave the line out")
        return self


class Folders(_Part):
    """Folders of images and, in the same order, of masks."""

    images: list[Path] = pydantic.Field(min_length=1)
    masks: list[Path] = pydantic.Field(min_length=1)

    @pydantic.model_validator(mode="after")
    def _as_many(self):
        if len(self.images) != len(self.masks):
            raise ValueError(f"{len(self.images)} folders of images, {len(self.masks)} of masks")
        return self


class Arm(_Part):
    """One way to train the segmenter.

    Attributes:
        name: of the arm, in file names too.
        real: whether the real pairs are among the training data.
        synthetic: folder of generated pairs, `images/` and `masks/`; `{labelled}` in it stands for
            the number of labelled images.
        synthetic_images: number of generated pairs to take, evenly spread; all when None.
        segmenter: options that differ from those of the whole study.
    """

    name: str
    real: bool = True
    synthetic: str | None = None
    synthetic_images: pydantic.PositiveInt | None = None
    segmenter: dict[str, Any] = {}

    @pydantic.field_validator("name")
    @classmethod
    def _can_be_a_file(cls, name):
        try:
            return folder_name(name)
        except argparse.ArgumentTypeError as error:
            raise ValueError(str(error)) from error

    @pydantic.model_validator(mode="after")
    def _trains_on_something(self):
        if not self.real and self.synthetic is None:
            raise ValueError("neither real nor synthetic pairs")
        if self.synthetic_images and self.synthetic is None:
            raise ValueError("synthetic_images without a folder in `synthetic`")
        return self


class StudyConfig(_Part):
    """The whole study file.

    Attributes:
        real: labelled pairs, which `split` divides.
        labelled: numbers of labelled training pairs, the axis of the curve; all when None.
        segmenter: options of `SegmenterOptions` by name, and `max_steps`.
        baseline: arm that the others are compared with; the first one when None.
    """

    num_classes: int = pydantic.Field(ge=2)
    real: Folders
    split: SplitConfig
    labelled: list[pydantic.PositiveInt] | None = pydantic.Field(None, min_length=1)
    seeds: list[pydantic.NonNegativeInt] = pydantic.Field([0, 1, 2], min_length=1)
    segmenter: dict[str, Any] = {}
    arms: list[Arm] = pydantic.Field(min_length=1)
    baseline: str | None = None

    @pydantic.model_validator(mode="after")
    def _fits_together(self):
        names = [arm.name for arm in self.arms]
        for what, values in (("arms", names), ("seeds", self.seeds), ("labelled", self.labelled)):
            if values and len(set(values)) < len(values):
                raise ValueError(f"{what}: one stands there twice")
        self.baseline = self.baseline or names[0]
        if self.baseline not in names:
            raise ValueError(f"baseline: no arm is named {self.baseline}")
        return self


def read_study(path: Path) -> StudyConfig:
    """The study file, checked but for its folders.

    Raises:
        FileNotFoundError: no such file.
        ValueError: names the file, the place in it and what is wrong.
    """
    content = OmegaConf.to_container(read_yaml(path), resolve=True)
    try:
        study = StudyConfig.model_validate(content)
    except pydantic.ValidationError as error:
        raise ValueError(f"{path}: {first_problem(error)}") from error
    for arm in study.arms:
        segmenter_of(study, arm, seed=0, path=path)
    return study


def segmenter_of(
    study: StudyConfig, arm: Arm, seed: int, path: Path | str = "study"
) -> tuple[SegmenterOptions, int]:
    """Options and steps of the segmenter of an arm.

    Args:
        path: of the study file, for messages.
    Raises:
        ValueError: an unknown option or a wrong value.
    """
    merged = study.segmenter | arm.segmenter
    for name in RESERVED:
        if name in merged:
            raise ValueError(f"{path}: segmenter: {name} stands outside, as `{name}s`")
    parser = new_parser("")
    add_options(parser, SegmenterOptions, "segmenter")
    parser.add_argument("--max_steps", type=positive_int, default=MAX_STEPS)
    given = parse_mapping(parser, merged, f"{path}: arm {arm.name}")
    args = with_defaults(parser, given | {"seed": seed})
    try:
        return read_options(SegmenterOptions, args), args.max_steps
    except ValueError as error:
        raise ValueError(f"{path}: arm {arm.name}: {error}") from error


def unlike_baseline(study: StudyConfig) -> dict[str, str]:
    """Differences of arms from the baseline beside their pairs, in words, by arm."""
    ways = {}
    for arm in study.arms:
        options, steps = segmenter_of(study, arm, seed=0)
        ways[arm.name] = {"max_steps": steps, **dataclasses.asdict(options)}
    base = ways[study.baseline]
    found = {}
    for arm, way in ways.items():
        unlike = [name for name in way if name not in FREE and way[name] != base[name]]
        if unlike:
            found[arm] = ", ".join(f"{name} {way[name]}, not {base[name]}" for name in unlike)
    return found
