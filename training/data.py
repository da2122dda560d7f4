"""The folders of a training, and the data sets they make."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from conditions import CONDITIONS, ConditionOptions, create_condition
from conditions.pairs import check_pairs, notify_of_overlap
from core.options import OptionError, non_negative_int, option, option_names
from core.pixel_size import notify_of_unlike_folders
from core.prompts import read_prompts
from core.resampling import pixel_size_option
from dataset import MyDataset, SampleOptions, ValidationSet
from ldm.modules.encoders.tokenizer import notify_of_cut


def _folder(what: str):
    return option(None, Path, "DIR", what)


@dataclass(frozen=True)
class DataOptions:
    """Images, and the conditions that steer them."""

    image_path: Path | None = _folder("training images")
    mask_path: Path | None = _folder("training masks, for --condition_type segmentation")
    edge_path: Path | None = _folder("training edge maps, for --condition_type edge")
    rgba_path: Path | None = _folder("training RGBA tensors, for --condition_type rgba")
    condition_path: Path | None = _folder("training conditions of any type")
    val_image_path: Path | None = _folder("validation images")
    val_mask_path: Path | None = _folder("validation masks, for --condition_type segmentation")
    val_edge_path: Path | None = _folder("validation edge maps, for --condition_type edge")
    val_rgba_path: Path | None = _folder("validation RGBA tensors, for --condition_type rgba")
    val_condition_path: Path | None = _folder("validation conditions of any type")
    condition_type: str = option(
        "segmentation", help="what the control branch is shown", choices=tuple(CONDITIONS)
    )
    pixel_size: float | None = pixel_size_option("images and conditions")
    num_workers: int = option(
        0,
        non_negative_int,
        "INT",
        "processes that read images; 0 reads in the training process",
    )

    @property
    def folder_option(self) -> str:
        """Name of the option that gives this type's folder, for messages."""
        # Named in an error, so the option that the user has given or most probably forgot.
        own = CONDITIONS[self.condition_type].folder_option
        return own if self.condition_path is None else "condition_path"

    def condition_folder(self, split: str = "") -> Path | None:
        """Folder of the conditions; `split` is empty for training, `val_` for validation."""
        own = getattr(self, split + CONDITIONS[self.condition_type].folder_option)
        return own or getattr(self, f"{split}condition_path")

    @property
    def has_validation(self) -> bool:
        return self.val_image_path is not None

    def check(self):
        """Raise OptionError where a folder is missing."""
        if self.image_path is None:
            raise OptionError("image_path", "is needed")
        if self.condition_folder() is None:
            reason = f"is needed for --condition_type {self.condition_type}"
            raise OptionError(self.folder_option, reason)
        # As published: the other program takes these tensors alone, and validates nothing.
        if self.condition_type == "rgba" and not self.has_validation:
            return
        # Images without conditions, or the other way round, are rather a mistake than a wish.
        if self.has_validation != (self.condition_folder("val_") is not None):
            given = "val_image_path" if self.has_validation else f"val_{self.folder_option}"
            missing = f"val_{self.folder_option}" if self.has_validation else "val_image_path"
            raise OptionError(given, f"belongs together with --{missing}")


class DataSets(NamedTuple):
    """Samples to train on and, where folders of them are given, to validate with."""

    train: MyDataset
    validation: ValidationSet | None


def build_datasets(
    data: DataOptions, conditions: ConditionOptions, samples: SampleOptions, image_size: int
) -> DataSets:
    """Pair the files of all folders and check every one of them.

    Args:
        image_size: height and width of a sample in pixels.
    Raises:
        FileNotFoundError, ValueError, RuntimeError: see `find_pairs` and `check_pairs`.
    """
    prompts = read_prompts(samples.prompts_file)
    notify_of_cut(prompts, "--prompts_file")
    shared = {
        "condition_type": create_condition(data.condition_type, conditions),
        "image_size": image_size,
        "prompts": prompts,
        "pixel_side": data.pixel_size,
    }
    train = MyDataset(
        data.image_path,
        data.condition_folder(),
        augment=True,
        # Validation drops no prompt and augments nothing, so its losses compare.
        prompt_drop=samples.prompt_drop,
        crop_scale=tuple(samples.crop_scale),
        **shared,
    )
    with option_names():
        _ = train.resampling  # before the files are read: their pixel size may be unknown
    # Here every file is read once: a damaged one would else end the run hours later.
    check_pairs(train.pairs, train.condition)
    notify_of_unlike_folders(
        path
        for split in ("", "val_")
        for path in (getattr(data, f"{split}image_path"), data.condition_folder(split))
        if path is not None
    )
    if not data.has_validation:
        return DataSets(train, None)
    validation = MyDataset(
        data.val_image_path, data.condition_folder("val_"), augment=False, **shared
    )
    with option_names():
        _ = validation.resampling
    check_pairs(validation.pairs, validation.condition)
    notify_of_overlap(train.pairs, validation.pairs)
    return DataSets(train, ValidationSet(validation))
