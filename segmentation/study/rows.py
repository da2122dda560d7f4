"""Results of a study, by arm and number of labelled images."""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from segmentation.study.jobs import Result, Study

FLAT = 0.005  # mIoU; a last validation that is better than all before by more was taken too early


@dataclass(frozen=True)
class Row:
    """An arm at one number of labelled images: its results over the seeds."""

    arm: str
    labelled: int
    results: Sequence[Result]

    @property
    def scores(self) -> list[float]:
        """Test mIoU of each seed."""
        return [result.miou for result in self.results]

    @property
    def validation(self) -> float:
        """Mean over the seeds of the mIoU that chose the weights, on the validation images."""
        return statistics.fmean(best_validation(result) for result in self.results)

    def seeds_in_common(self, other: "Row") -> int:
        """Number of seeds that both rows have results of."""
        return len({r.seed for r in self.results} & {r.seed for r in other.results})

    def difference(self, other: "Row", turned: bool = False) -> tuple[float, float]:
        """Mean and deviation of the differences to another row, seed by seed.

        Args:
            turned: of `Result.miou_turned`; of `miou` otherwise.
        """
        own, base = self.by_seed(turned), other.by_seed(turned)
        pairs = [own[seed] - base[seed] for seed in own.keys() & base.keys()]
        return (statistics.fmean(pairs), deviation(pairs)) if pairs else (math.nan, math.nan)

    def by_seed(self, turned: bool) -> dict[int, float]:
        """Test mIoU of each seed that has one; `turned` as in `difference`."""
        scores = {r.seed: r.miou_turned if turned else r.miou for r in self.results}
        return {seed: score for seed, score in scores.items() if score is not None}

    @property
    def still_rising(self) -> bool:
        """Tell whether a validation curve still rose at its end, so the training was too short."""
        return any(_rises_at_end([y for _, y in result.val_curve]) for result in self.results)


def best_validation(result: Result) -> float:
    """Highest mIoU on the validation images, that of the weights which were kept."""
    return max(y for _, y in result.val_curve)


def _rises_at_end(curve: Sequence[float]) -> bool:
    return len(curve) > 1 and curve[-1] > max(curve[:-1]) + FLAT


def deviation(values: Sequence[float]) -> float:
    """Sample deviation; not a number for a single value."""
    return statistics.stdev(values) if len(values) > 1 else math.nan


def rows_of(study: Study, results: Mapping[str, Result]) -> list[Row]:
    """One row for each arm and number of labelled images that has a result."""
    rows = []
    for arm in study.config.arms:
        for labelled in study.parts.train:
            found = [
                results[job.name]
                for job in study.jobs
                if (job.arm, job.labelled) == (arm.name, labelled) and job.name in results
            ]
            if found:
                rows.append(Row(arm.name, labelled, found))
    return rows


def rows_over_generated(study: Study, rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that differ only in how many generated pairs they have, fewest first.

    All are of the largest number of labelled images that there are results of.
    """
    largest = max(row.labelled for row in rows)
    by_arm = {row.arm: row for row in rows if row.labelled == largest}
    families = defaultdict(dict)  # by the number of generated pairs
    for arm in study.config.arms:
        row = by_arm.get(arm.name)
        if row and (count := row.results[0].synthetic_images):
            families[arm.real, arm.synthetic, repr(arm.segmenter)].setdefault(count, row)
    return [
        [family[count] for count in sorted(family)]
        for family in families.values()
        if len(family) > 1
    ]
