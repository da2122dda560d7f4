"""The labelled pairs of a study by part, in memory and as folders to train a ControlNet on."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from conditions.pairs import Pair
from core.files import check_new_folder, whole_folder, write_json
from core.imaging.pairing import IMAGES, MASKS, by_stem, stem_of
from core.imaging.pixel_size import VOLUME, pixel_size_of_folder
from segmentation.data import gather_pairs
from segmentation.study.config import StudyConfig
from segmentation.study.split import split_pairs, spread


class Parts(NamedTuple):
    """Labelled pairs.

    Attributes:
        train: training pairs by their number: a study trains on 1, 2, 4 or more of them.
        val, test: pairs that no segmenter is trained on.
    """

    train: Mapping[int, Sequence[Pair]]
    val: Sequence[Pair]
    test: Sequence[Pair]


def find_parts(config: StudyConfig) -> Parts:
    """The parts of a study, files checked.

    Raises:
        FileNotFoundError, RuntimeError, ValueError: folders, pairs or the split are wrong.
    """
    pairs = gather_pairs(config.real.images, config.real.masks, config.num_classes)
    parts = split_pairs(pairs, config.split)
    train = parts["train"]
    numbers = config.labelled or [len(train)]
    if max(numbers) > len(train):
        raise ValueError(f"labelled: {max(numbers)}, but train holds {len(train)} images")
    return Parts({number: spread(train, number) for number in numbers}, parts["val"], parts["test"])


def write_parts(folder: Path, parts: Parts) -> list[str]:
    """Copy all pairs to `images/` and `masks/` of `train_1/`, `train_2/`, ..., `val/`, `test/`.

    The folder is written whole or not at all.

    Returns:
        Names of the folders in it.
    Raises:
        FileExistsError: `folder` holds something.
        RuntimeError: two images of one part share a name.
    """
    check_new_folder(folder)
    named = {f"train_{number}": pairs for number, pairs in parts.train.items()}
    named |= {"val": parts.val, "test": parts.test}
    for pairs in named.values():
        by_stem(pair.image for pair in pairs)
    with whole_folder(folder) as temporary:
        for name, pairs in tqdm(named.items(), desc="copy", unit="folder"):
            size = pixel_size_of_folder(pairs[0].image.parent)
            for kind in (IMAGES, MASKS):
                (temporary / name / kind).mkdir(parents=True)
                if size:
                    write_json(temporary / name / kind / VOLUME, {"pixel_size_nm": size})
            for pair in pairs:
                shutil.copyfile(pair.image, temporary / name / IMAGES / pair.image.name)
                # The mask takes the image's name: so they pair, whatever they were called.
                mask = stem_of(pair.image) + pair.condition.suffix
                shutil.copyfile(pair.condition, temporary / name / MASKS / mask)
    return list(named)
