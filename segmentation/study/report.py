"""The answer of a study: verdicts, tables and curves."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.csv_files import write_csv
from core.files import whole_file
from segmentation.study.curves import draw_curves
from segmentation.study.jobs import Result, Study
from segmentation.study.rows import Row, best_validation, deviation, rows_of

CSV, MARKDOWN, CURVE = "results.csv", "report.md", "curve.png"


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
        images = f"With {labelled} labelled image{'s' if labelled > 1 else ''}"
        remarks = _remarks(chosen, base, study.unlike.get(chosen.arm))
        sentences.append(" ".join([f"{images}: {_comparison(chosen, base)}", *remarks]))
    return sentences


def _comparison(chosen: Row, base: Row) -> str:
    """The gain of the chosen row over the baseline, and what follows from it."""
    mean, spread = chosen.difference(base)
    if math.isnan(spread):
        return "one seed is not enough for a verdict."
    gain = f"{100 * abs(mean):.1f} +- {100 * spread:.1f} points of mIoU"
    if mean > spread:
        return (
            f"**{chosen.arm}**, chosen on the validation images, beats {base.arm} by {gain} on the "
            "test images."
        )
    return (
        f"no arm is recommended. {chosen.arm}, chosen on the validation images, "
        f"{'gains' if mean >= 0 else 'loses'} {gain} against {base.arm} on the test images. "
        "docs/study.md says what to try then."
    )


def _remarks(chosen: Row, base: Row, unlike: str | None) -> list[str]:
    """Sentences on what weakens a comparison, or on what else was measured.

    Args:
        unlike: what distinguishes the arms beside their pairs.
    """
    remarks = []
    if round(chosen.validation, 3) < round(base.validation, 3):
        remarks.append(
            f"On the validation images {base.arm} is better, {base.validation:.3f} against "
            f"{chosen.validation:.3f}."
        )
    if unlike:
        remarks.append(f"{chosen.arm} differs in more than its pairs: {unlike}.")
    mean, spread = chosen.difference(base, turned=True)
    # Results of older versions lack them; those of fewer seeds would compare others.
    whole = all(len(row.by_seed(turned=True)) == len(row.results) for row in (base, chosen))
    if whole and not math.isnan(spread):
        remarks.append(
            "Where both segment by turns and flips, as `utils/predict_masks.py` does, the "
            f"difference is {100 * mean:.1f} +- {100 * spread:.1f}."
        )
    return remarks


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
