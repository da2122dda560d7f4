"""The plan of a generation: which images are made, whatever the batch size and the machines.

Images are numbered. Everything about number k follows from the run's seed, the name of its
conditions and its copy. It is computed when asked for, so a plan of 100,000 images costs nothing.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from core.command_line.options import OptionError, option, positive_int
from core.imaging.pairing import LISTED, find_partners, stem_of
from core.prompts import prompts_option
from core.seeds import sample_seed
from generation.names import FIRST_BATCH, OLDER_FIRST_BATCH, image_name, name_ending
from generation.planning.stack import blend_at
from ldm.samplers.noise import Blend

MAX_IMAGES = 10_000_000  # of a run: their names are listed in memory


@dataclass(frozen=True)
class PlanOptions:
    """Images that are made of the conditions."""

    n_augmentations_per_mask: int = option(
        1, positive_int, "INT", "images per condition; with --resample, of the hardest one"
    )
    seed: int = option(
        -1, int, "INT", "seed of noise and prompts; -1 draws one, which the run records"
    )
    prompts_file: Path | None = prompts_option()

    def check(self):
        """Raise OptionError for a seed that no generator takes."""
        # torch takes any sign, but here -1 has a meaning, and -2 is a typing error.
        if self.seed < -1:
            raise OptionError("seed", "expected -1 or a number of at least 0")


@dataclass(frozen=True)
class ConditionSet:
    """Files that steer an image together.

    Attributes:
        number: of the set in the run.
        files: one for each control branch, in the order of the branches.
        image: real image to begin with; None to begin with noise.
    """

    number: int
    files: tuple[Path, ...]
    image: Path | None = None

    @property
    def name(self) -> str:
        """The first file's stem, on which seeds depend."""
        return stem_of(self.files[0])


@dataclass(frozen=True)
class PlannedImage:
    """One image to make.

    Attributes:
        batch: number of the image among those of its conditions, as file names have it.
        seed: of its noise.
        encode_ratio: part of the steps that noise is for; 1 for pure noise.
        blend: noise that the image begins with, in a stack; that of `seed` when None.
    """

    conditions: ConditionSet
    batch: int
    prompt: str
    seed: int
    encode_ratio: float = 1.0
    blend: Blend | None = None

    @property
    def ending(self) -> str:
        """End of the names of the image's files."""
        return name_ending(self.conditions.number, self.batch)


@dataclass(frozen=True)
class SamplePlan(Sequence):
    """The images of a run in order, those of a condition set one after the other.

    Attributes:
        copies: images of each condition set, at least 1.
        seed: of the run; names of files do not depend on it.
        prompts: the texts that images draw theirs from.
        encode_ratios: those of the images, which the copies of a set take by turns.
        stack: slices between two knots of the noise, where the sets are slices; else None.
        first_batch: number in file names of the first image of each set; nothing else follows
            from it.
    """

    condition_sets: Sequence[ConditionSet]
    copies: Sequence[int]
    seed: int
    prompts: Sequence[str]
    encode_ratios: Sequence[float] = (1.0,)
    stack: float | None = None
    first_batch: int = FIRST_BATCH

    def require_listable(self) -> None:
        """Raise ValueError where the images are more than can be listed."""
        if len(self) > MAX_IMAGES:
            raise ValueError(
                f"--n_augmentations_per_mask {max(self.copies)}: expected at most {MAX_IMAGES:,} "
                f"images of all {len(self.condition_sets):,} conditions. Make several runs."
            )

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @cached_property
    def _ends(self) -> list[int]:
        """For each condition set, the number after that of its last image."""
        return list(accumulate(self.copies))

    def _place(self, k: int) -> tuple[int, int]:
        """Number of image k's condition set, and of the image among those of the set."""
        number = self.set_number(k)
        return number, k - (self._ends[number] - self.copies[number])

    def set_number(self, k: int) -> int:
        """Number of image k's condition set."""
        return bisect_right(self._ends, k)

    def __getitem__(self, k: int) -> PlannedImage:
        number, copy = self._place(k)
        conditions = self.condition_sets[number]
        # The name, not the number: a set keeps its images when others join or leave the folder.
        seed = sample_seed(self.seed, conditions.name, copy)
        shared = sample_seed(self.seed, "stack", copy) if self.stack else seed
        # A seed of its own, so that the prompt does not depend on how much noise is drawn.
        prompt = self.prompts[sample_seed(shared, "prompt", 0) % len(self.prompts)]
        ratio = self.encode_ratios[copy % len(self.encode_ratios)]
        blend = blend_at(shared, number, self.stack) if self.stack else None
        return PlannedImage(conditions, copy + self.first_batch, prompt, seed, ratio, blend)

    def file_name(self, k: int) -> str:
        """Name of image k's file."""
        number, copy = self._place(k)
        return image_name(name_ending(number, copy + self.first_batch))

    def misnumbered(self, names: Collection[str]) -> str | None:
        """The first of these file names that only the other numbering of batches gives."""
        for number, copies in enumerate(self.copies if names else ()):
            last = copies - 1 + FIRST_BATCH
            other = last if self.first_batch == OLDER_FIRST_BATCH else OLDER_FIRST_BATCH
            if (name := image_name(name_ending(number, other))) in names:
                return name
        return None

    def sets_of(self, numbers: Iterable[int]) -> list[ConditionSet]:
        """The condition sets of these images, in order, each once."""
        return [self.condition_sets[i] for i in dict.fromkeys(map(self.set_number, numbers))]

    def shard(self, index: int, count: int) -> range:
        """Numbers of the images that machine `index` of `count` makes.

        They are neighbours, because neighbours share their conditions.
        """
        # Whole numbers all the way: parts differ by one image at most, and none is left out.
        return range(len(self) * index // count, len(self) * (index + 1) // count)


def match_conditions(
    folders: Sequence[Sequence[Path]], skip_missing: bool = False
) -> tuple[list[ConditionSet], int]:
    """Condition sets from one list of files for each branch.

    The first list leads: for each of its files the other lists are searched for a partner.

    Returns:
        The sets, and how many files of the first list were left out because one has no partner.
    Raises:
        RuntimeError: files are missing and `skip_missing` is off, or no set is left.
    """
    first, *others = folders  # masks lead where there are any, so names of images follow masks
    partners = [find_partners(first, other) for other in others]
    complete = [path for path in first if all(path in found for found in partners)]
    missing = len(first) - len(complete)
    # Files of the other lists may be left over: a folder of edges can serve several sets of masks.
    if missing and not (skip_missing and complete):
        raise RuntimeError(_missing_partners(folders, partners, complete, skip_missing))
    files = ((path, *(found[path] for found in partners)) for path in complete)
    return [ConditionSet(i, paths) for i, paths in enumerate(files)], missing


def _missing_partners(folders, partners, complete, skip_missing) -> str:
    """The message about files of the first list that have no partner, for `match_conditions`."""
    first, *others = folders
    left_out = sorted({*first} - {*complete}, key=first.index)
    names = ", ".join(path.name for path in left_out[:LISTED])
    lacking = next(
        other for other, found in zip(others, partners, strict=True) if len(found) < len(first)
    )
    message = (
        f"{lacking[0].parent}: no file for {len(left_out)} of {len(first)} conditions of "
        f"{first[0].parent} ({names})"
    )
    remedy = "" if skip_missing else "; --skip_missing_edges leaves such conditions out"
    return message + remedy


def make_batches(
    planned_images: Iterable[PlannedImage], sizes: dict[int, tuple[int, int]], batch_size: int
) -> Iterator[list[PlannedImage]]:
    """Batches of images of equal size and start, which may belong to different condition sets.

    Args:
        sizes: (height, width) by number of the condition set.
    """
    waiting = defaultdict(list)  # (size, ratio) -> images that do not fill a batch yet
    for planned in planned_images:
        group = waiting[sizes[planned.conditions.number], planned.encode_ratio]
        group.append(planned)
        if len(group) == batch_size:
            yield group[:]  # a copy, because the list is used again
            group.clear()
    yield from filter(None, waiting.values())  # the last batch of each size, which is not full
