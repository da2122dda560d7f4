"""Scores of a study as a picture."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from core.files import whole_file
from segmentation.study.jobs import Study
from segmentation.study.rows import Row, deviation, rows_over_generated


def draw_curves(path: Path, study: Study, rows: Sequence[Row]) -> None:
    """Draw the test mIoU over the number of labelled images, with deviations over the seeds.

    Where arms differ only in the number of generated pairs, draw it over that number beside.
    """
    from matplotlib.figure import Figure  # here: it takes half a second to import

    families = rows_over_generated(study, rows)
    figure = Figure(figsize=(12 if families else 7, 4.5), layout="constrained")
    axis, *beside = figure.subplots(1, 2 if families else 1, squeeze=False, sharey=True)[0]
    for arm in dict.fromkeys(row.arm for row in rows):
        own = sorted((row for row in rows if row.arm == arm), key=lambda row: row.labelled)
        _draw_scores(axis, [row.labelled for row in own], own, arm)
    _finish_axis(axis, sorted({row.labelled for row in rows}), "labelled images")
    axis.set_ylabel("mIoU on real test images")
    for axis in beside:
        for family in families:
            counts = [row.results[0].synthetic_images for row in family]
            _draw_scores(axis, counts, family, f"{family[0].arm} to {family[-1].arm}")
        shown = sorted({row.results[0].synthetic_images for family in families for row in family})
        for row in rows:
            if (row.arm, row.labelled) == (study.config.baseline, families[0][0].labelled):
                axis.axhline(statistics.fmean(row.scores), ls="--", color="grey", label=row.arm)
        _finish_axis(axis, shown, f"generated images, beside {families[0][0].labelled} labelled")
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _draw_scores(axis, numbers: Sequence[int], rows: Sequence[Row], label: str) -> None:
    """Mean test mIoU of each row over its number, with the deviation as error bar."""
    errors = [0.0 if math.isnan(d := deviation(row.scores)) else d for row in rows]
    means = [statistics.fmean(row.scores) for row in rows]
    axis.errorbar(numbers, means, errors, marker="o", capsize=3, label=label)


def _finish_axis(axis, numbers: Sequence[int], title: str) -> None:
    if len(numbers) > 1:
        axis.set_xscale("log", base=2)
    axis.set_xticks(numbers, [str(number) for number in numbers])
    axis.set_xlabel(title)
    axis.grid(alpha=0.3)
    axis.legend()
