"""The answer of a study: a table, a verdict, a curve over the number of labelled images."""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.csv_files import write_csv
from core.files import whole_file
from segmentation.study.jobs import Result, Study

CSV, MARKDOWN, CURVE = "results.csv", "report.md", "curve.png"
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


def verdicts(study: Study, rows: Sequence[Row]) -> list[str]:
    """A sentence for each number of labelled images: which arm is recommended, or that none is.

    Of all arms but the baseline, the validation images choose one, so that its score on the test
    images is that of one arm and not the luckiest of many. It is recommended where its mean gain
    over the baseline exceeds the deviation of the gains over the seeds.
    """
    sentences = []
    for labelled in study.parts.train:
        here = [row for row in rows if row.labelled == labelled]
        base = next((row for row in here if row.arm == study.config.baseline), None)
        others = [row for row in here if row is not base]
        if base is None or not others:
            continue
        # While trainings are missing, an arm with fewer seeds would compare by other seeds.
        most = max(row.seeds_in_common(base) for row in others)
        candidates = [row for row in others if row.seeds_in_common(base) == most]
        chosen = max(candidates, key=lambda row: row.validation)
        mean, spread = chosen.difference(base)
        turned, turned_spread = chosen.difference(base, turned=True)
        images = f"With {labelled} labelled image{'s' if labelled > 1 else ''}"
        verb = "gains" if mean >= 0 else "loses"
        gain = f"{100 * abs(mean):.1f} +- {100 * spread:.1f} points of mIoU"
        if math.isnan(spread):
            sentences.append(f"{images}: one seed is not enough for a verdict.")
        elif mean > spread:
            sentences.append(
                f"{images}: **{chosen.arm}**, chosen on the validation images, beats {base.arm} "
                f"by {gain} on the test images."
            )
        else:
            sentences.append(
                f"{images}: no arm is recommended. {chosen.arm}, chosen on the validation images, "
                f"{verb} {gain} against {base.arm} on the test images. docs/study.md says what to "
                "try then."
            )
        if round(chosen.validation, 3) < round(base.validation, 3):
            sentences[-1] += (
                f" On the validation images {base.arm} is better, {base.validation:.3f} against "
                f"{chosen.validation:.3f}."
            )
        if unlike := study.unlike.get(chosen.arm):
            sentences[-1] += f" {chosen.arm} differs in more than its pairs: {unlike}."
        # Results of older versions lack them; those of fewer seeds would compare others.
        whole = all(len(row.by_seed(turned=True)) == len(row.results) for row in (base, chosen))
        if whole and not math.isnan(turned_spread):
            sentences[-1] += (
                " Where both segment by turns and flips, as `utils/predict_masks.py` does, the "
                f"difference is {100 * turned:.1f} +- {100 * turned_spread:.1f}."
            )
    return sentences


def _number(value: float | None, scale: float = 1.0, digits: int = 3) -> str:
    return "-" if value is None or math.isnan(value) else f"{scale * value:.{digits}f}"


def _cells(row: Row, base: Row | None) -> list[str]:
    """The cells of a row of the report; `base` is the row that its gain is over."""
    gain = row.difference(base) if base and base is not row else (None, None)
    turned = list(row.by_seed(turned=True).values())
    iou = zip(*(result.iou for result in row.results), strict=True)
    per_class = [[value for value in values if value is not None] for values in iou]
    return [
        row.arm,
        str(row.labelled),
        str(row.results[0].synthetic_images),
        str(len(row.results)),
        _number(row.validation),
        _number(statistics.fmean(row.scores)),
        _number(deviation(row.scores)),
        *(_number(statistics.fmean(values) if values else None) for values in per_class),
        *(_number(value, 100, 1) for value in gain),
        _number(statistics.fmean(turned) if turned else None),
        f"{statistics.fmean(result.train_seconds for result in row.results):.0f}",
    ]


def markdown(study: Study, rows: Sequence[Row], missing: int) -> str:
    """The report as Markdown.

    Args:
        missing: number of jobs without a result.
    """
    classes = [f"class {i}" for i in range(study.config.num_classes)]
    columns = ["arm", "labelled", "generated", "seeds", "validation", "mIoU", "+-", *classes]
    columns += ["gain in points", "+-", "turned", "seconds"]
    lines = [
        "# Augmentation study",
        "",
        f"Real images: {len(study.parts.test)} for the test, {len(study.parts.val)} for "
        "validation. The table shows IoU on the test images, mean and deviation over the seeds; "
        "the column *validation* is the mIoU on the validation images, which chose weights and "
        f"arm. The gain is that over {study.config.baseline}, seed by seed. The column *turned* is "
        "the mIoU of masks that are means over turns and flips.",
        "",
        *verdicts(study, rows),
        "",
        "| " + " | ".join(columns) + " |",
        "| --- |" + " ---: |" * (len(columns) - 1),
    ]
    bases = {row.labelled: row for row in rows if row.arm == study.config.baseline}
    lines += [f"| {' | '.join(_cells(row, bases.get(row.labelled)))} |" for row in rows]
    if rising := [f"{row.arm} ({row.labelled})" for row in rows if row.still_rising]:
        lines += [
            "",
            "The validation scores of these arms still rose at the end, so more `max_steps` may "
            f"change the order: {', '.join(rising)}.",
        ]
    if missing:
        lines += ["", f"{missing} trainings have no result yet."]
    return "\n".join(lines) + "\n"


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


def write_report(folder: Path, study: Study, results: Mapping[str, Result]) -> str:
    """Write table, report and curve of the results that are there; returns the report."""
    rows = rows_of(study, results)
    columns = ["arm", "labelled", "seed", "steps", "real", "synthetic", "validation", "miou"]
    columns += [f"iou_{i}" for i in range(study.config.num_classes)]
    columns += ["miou_turned", "train_seconds"]
    write_csv(
        folder / CSV,
        columns,
        (
            [r.arm, r.labelled, r.seed, r.steps, r.real_images, r.synthetic_images]
            + [best_validation(r), r.miou, *r.iou, r.miou_turned, round(r.train_seconds, 1)]
            for row in rows
            for r in row.results
        ),
    )
    text = markdown(study, rows, len(study.jobs) - len(results))
    with whole_file(folder / MARKDOWN) as temporary:
        temporary.write_text(text, encoding="utf-8")
    if rows:
        draw_curves(folder / CURVE, study, rows)
    return text
