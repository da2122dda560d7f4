"""The folders of a training, and the data sets they make."""

from typing import NamedTuple

from conditions import ConditionOptions, create_condition
from conditions.pairs import check_pairs, notify_of_overlap
from core.command_line.options import option_names
from core.imaging.images import image_size as size_of_image
from core.imaging.known_sizes import notify_of_unlike_folders
from core.notices import notify
from core.prompts import read_prompts
from core.sample_options import SampleOptions
from dataset import MyDataset, ValidationSet
from ldm.modules.encoders.tokenizer import notify_of_cut
from training.options import DataOptions


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
        crop_pixels=samples.crop_pixels,
        **shared,
    )
    with option_names():
        _ = train.resampling  # before the files are read: their pixel size may be unknown
    # Here every file is read once: a damaged one would else end the run hours later.
    check_pairs(train.pairs, train.condition)
    _notify_of_small_images(train)
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


def _notify_of_small_images(train: MyDataset) -> None:
    """Warn of images that the smallest crop of `--crop_pixels` does not fit into."""
    if train.crop_pixels is None:
        return
    sizes = (size_of_image(pair.image) for pair in train.pairs)
    if train.resampling:
        sizes = (train.resampling.size_of(*size) for size in sizes)
    smallest = train.crop_pixels[0]
    sides = [side for side in map(min, sizes) if side < smallest]
    if sides:
        notify(
            f"--crop_pixels {smallest}: {len(sides)} of {len(train)} images have a side below it, "
            f"down to {min(sides)} pixels. Their crops are smaller, so their structures are shown "
            "larger than those of the others."
        )
