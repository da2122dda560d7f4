"""Which pictures a generation makes: a plan that no batch size, order of work or number of machines changes.

Pictures are numbered; everything about number k follows from the run's seed, its condition's name and its copy, and is
worked out when it is asked for, so a plan of 100,000 pictures costs nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.pairing import find_partners
from core.seeds import sample_seed


@dataclass(frozen=True)
class Condition:
    """Files that steer a picture together.

    Attributes:
        number: among the conditions of the run.
        files: one for each control branch, in their order.
    """

    number: int
    files: tuple[Path, ...]

    @property
    def name(self) -> str:
        """What seeds depend on: the first file's stem."""
        return self.files[0].stem


@dataclass(frozen=True)
class Sample:
    """One picture to make.

    Attributes:
        copy: number of the picture among those of its condition.
        seed: of its noise.
    """

    condition: Condition
    copy: int
    prompt: str
    seed: int

    @property
    def name(self) -> str:
        return sample_name(self.condition.number, self.copy)


def sample_name(condition: int, copy: int) -> str:
    """The published file name; there, too, a batch holds one copy by default."""
    return f"cond{condition}_batch{copy}_sample0.png"


class SamplePlan(Sequence):
    """The pictures of a run, `copies` of each condition, in order."""

    def __init__(
        self, conditions: Sequence[Condition], copies: int, seed: int, prompts: Sequence[str]
    ):
        self.conditions, self.copies, self.seed, self.prompts = conditions, copies, seed, prompts

    def __len__(self) -> int:
        return len(self.conditions) * self.copies

    def __getitem__(self, k: int) -> Sample:
        condition, copy = self.conditions[k // self.copies], k % self.copies
        seed = sample_seed(self.seed, condition.name, copy)
        return Sample(
            condition, copy, self.prompts[sample_seed(seed, "prompt", 0) % len(self.prompts)], seed
        )

    def file_name(self, k: int) -> str:
        """Name of picture k's file."""
        return "image_" + sample_name(k // self.copies, k % self.copies)

    def shard(self, index: int, count: int) -> range:
        """Numbers of the pictures that machine `index` of `count` makes: a block of neighbours, which share their conditions."""
        return range(len(self) * index // count, len(self) * (index + 1) // count)


def join_conditions(
    folders: Sequence[Sequence[Path]], skip_missing: bool = False
) -> tuple[list[Condition], int]:
    """Conditions from one list of files for each branch; the first list leads, the others are looked through for its names.

    Returns:
        the conditions, and how many of the first list were left out because a branch has no file for them.
    Raises:
        RuntimeError: files are missing and `skip_missing` is off, or no condition is left.
    """
    first, *others = folders
    partners = [find_partners(first, other) for other in others]
    complete = [path for path in first if all(path in found for found in partners)]
    missing = (
        [path.name for path in first if path not in set(complete)]
        if len(complete) < len(first)
        else []
    )
    if missing and not (skip_missing and complete):
        without = next(
            other for other, found in zip(others, partners, strict=True) if len(found) < len(first)
        )
        named = f"{len(missing)} of {len(first)} conditions of {first[0].parent} ({', '.join(missing[:5])})"
        raise RuntimeError(
            f"{without[0].parent}: no file for {named}"
            + ("" if skip_missing else "; --skip_missing_edges leaves such conditions out")
        )
    return [
        Condition(i, (path, *(found[path] for found in partners)))
        for i, path in enumerate(complete)
    ], len(missing)


def make_batches(
    samples: Iterable[Sample], sizes: dict[int, tuple[int, int]], batch_size: int
) -> Iterator[list[Sample]]:
    """Batches of pictures of equal size, which may belong to different conditions.

    Args:
        sizes: (height, width) by condition number.
    """
    waiting = defaultdict(list)
    for sample in samples:
        group = waiting[sizes[sample.condition.number]]
        group.append(sample)
        if len(group) == batch_size:
            yield group[:]
            group.clear()
    yield from filter(None, waiting.values())
