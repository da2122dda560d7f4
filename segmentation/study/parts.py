"""The labelled pairs of a study by part, in memory and as folders to train a ControlNet on."""

import filecmp
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from conditions.pairs import Pair
from core.files import whole_folder, write_json
from core.imaging.known_sizes import VOLUME, common_pixel_size
from core.imaging.pairing import IMAGES, MASKS, by_stem, stem_of
from core.notices import notify
from segmentation.data import digest_of, gather_pairs, read_input, read_target
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

    @property
    def largest(self) -> Sequence[Pair]:
        """The largest of the sets of training pairs."""
        return self.train[max(self.train)]

    @property
    def by_name(self) -> dict[str, Sequence[Pair]]:
        """The largest set of training pairs, and the others."""
        return {"train": self.largest, "val": self.val, "test": self.test}

    @property
    def held_out(self) -> list[Pair]:
        """The pairs that nothing may learn from."""
        return [*self.val, *self.test]


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
    sets = {number: spread(train, number) for number in numbers}
    found = Parts(sets, parts["val"], parts["test"])
    _refuse_equal_images(found)
    _notify_of_missing_classes(found, config.num_classes)
    return found


def _refuse_equal_images(parts: Parts) -> None:
    """Check that no image stands twice in the split, under whatever name; raises ValueError."""
    first = {}  # checksum of pixels -> part and image
    for part, pairs in parts.by_name.items():
        for pair in pairs:
            digest = digest_of(read_input(pair.image))
            if digest in first:
                other_part, other = first[digest]
                raise ValueError(
                    f"split: {pair.image} ({part}) is the same image as {other} ({other_part}). "
                    "Take one of them out"
                )
            if digest:
                first[digest] = part, pair.image


def _notify_of_missing_classes(parts: Parts, num_classes: int) -> None:
    """Notify of classes that training masks show and others do not, or the other way round."""
    absent = {part: absent_classes(pairs, num_classes) for part, pairs in parts.by_name.items()}
    for part, classes in absent.items():
        if missing := sorted(classes - absent["train"]):
            notify(
                f"split: no mask of {part} shows class {', '.join(map(str, missing))}, so it does "
                "not count there"
            )
    for number, pairs in parts.train.items():
        if missing := sorted(absent_classes(pairs, num_classes) - absent["test"]):
            notify(
                f"split: the test shows class {', '.join(map(str, missing))}, and none of the "
                f"{number} labelled masks of train does: no real "
                "image teaches it, and only generated pairs can"
            )


def absent_classes(pairs: Sequence[Pair], num_classes: int) -> set[int]:
    """Classes that no mask of these pairs shows."""
    masks = (read_target(pair.condition, num_classes) for pair in pairs)
    return set(range(num_classes)).difference(*(mask.unique().tolist() for mask in masks))


def write_parts(folder: Path, parts: Parts) -> list[str]:
    """Copy all pairs to `images/` and `masks/` of `train_1/`, `train_2/`, ..., `val/`, `test/`.

    The folder is written whole or not at all. One that holds this very split stays as it is. Parts
    whose images have one pixel size tell it.

    Returns:
        Names of the folders in it.
    Raises:
        FileExistsError: `folder` holds something else.
        RuntimeError: two images of one part share a name.
    """
    named = {f"train_{number}": pairs for number, pairs in parts.train.items()}
    named |= {"val": parts.val, "test": parts.test}
    for pairs in named.values():
        by_stem(pair.image for pair in pairs)
    if folder.is_dir() and any(folder.iterdir()):
        _require_same(folder, named)
        return list(named)
    with whole_folder(folder) as temporary:
        for name, pairs in tqdm(named.items(), desc="copy", unit="folder"):
            size = common_pixel_size(dict.fromkeys(pair.image.parent for pair in pairs))
            for kind in (IMAGES, MASKS):
                (temporary / name / kind).mkdir(parents=True)
                if size:
                    write_json(temporary / name / kind / VOLUME, {"pixel_size_nm": size})
            for source, path in _copies(name, pairs):
                shutil.copyfile(source, temporary / path)
    return list(named)


def _copies(name: str, pairs: Sequence[Pair]) -> Iterator[tuple[Path, Path]]:
    """Files of pairs, each with its place in the folder of the split."""
    for pair in pairs:
        yield pair.image, Path(name, IMAGES, pair.image.name)
        # The mask takes the image's name: so they pair, whatever they were called.
        yield pair.condition, Path(name, MASKS, stem_of(pair.image) + pair.condition.suffix)


def _require_same(folder: Path, named: Mapping[str, Sequence[Pair]]) -> None:
    """Check that a folder holds a split, and no other files but those that tell a pixel size."""
    wanted = {
        path: source for name, pairs in named.items() for source, path in _copies(name, pairs)
    }
    found = {path.relative_to(folder) for path in folder.rglob("[!.]*") if path.is_file()}
    same = {path for path in found if path.name != VOLUME} == set(wanted) and all(
        filecmp.cmp(source, folder / path, shallow=False) for path, source in wanted.items()
    )
    if not same:
        raise FileExistsError(f"{folder}: holds another split. Name a new folder for this one")
