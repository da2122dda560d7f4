"""The answer of a study, from results whose means and deviations are known."""

import csv
from types import SimpleNamespace

import pytest

from segmentation.study.jobs import Result
from segmentation.study.report import rows_of, verdicts, write_report


def result(arm, labelled, seed, miou, curve=((1, 0.5), (2, 0.6), (3, 0.6))):
    return Result(
        fingerprint="",
        arm=arm,
        labelled=labelled,
        seed=seed,
        steps=3,
        real_images=labelled,
        synthetic_images=0,
        miou=miou,
        iou=[miou, None],
        val_curve=curve,
        train_seconds=7.0,
    )


def study_of(*results):
    """A study that has these results and wants no others, and the results by job."""
    jobs = [
        SimpleNamespace(name=f"{r.arm}-{r.labelled}-{r.seed}", arm=r.arm, labelled=r.labelled)
        for r in results
    ]
    arms = [SimpleNamespace(name=name) for name in dict.fromkeys(r.arm for r in results)]
    numbers = dict.fromkeys(r.labelled for r in results)
    parts = SimpleNamespace(train=numbers, val=[0] * 4, test=[0] * 5)
    config = SimpleNamespace(arms=arms, baseline=arms[0].name, num_classes=2)
    study = SimpleNamespace(config=config, parts=parts, jobs=jobs)
    return study, {job.name: r for job, r in zip(jobs, results, strict=True)}


def said(*results):
    study, by_job = study_of(*results)
    return verdicts(study, rows_of(study, by_job))


def test_an_arm_is_recommended_where_its_gain_exceeds_the_deviation():
    base = [result("plain", 2, seed, miou) for seed, miou in enumerate((0.5, 0.6))]
    better = [result("pairs", 2, seed, miou) for seed, miou in enumerate((0.54, 0.65))]
    assert said(*base, *better) == [
        "With 2 labelled images: **pairs** beats plain by 4.5 +- 0.7 points of mIoU."
    ]
    unsure = [result("pairs", 2, seed, miou) for seed, miou in enumerate((0.5, 0.64))]
    assert said(*base, *unsure) == [
        "With 2 labelled images: no arm beats plain by more than the seeds differ. The best, "
        "pairs, gains 2.0 +- 2.8 points."
    ]
    worse = [result("pairs", 2, seed, miou - 0.1) for seed, miou in enumerate((0.5, 0.6))]
    assert "no arm beats plain" in said(*base, *worse)[0]
    assert "-10.0 +- 0.0" in said(*base, *worse)[0]
    assert said(base[0], better[0]) == [
        "With 2 labelled images: one seed is not enough for a verdict."
    ]


def test_files_of_the_report(tmp_path):
    study, results = study_of(
        *(result("plain", 1, seed, 0.5 + seed / 10) for seed in (0, 1)),
        *(result("pairs", 1, seed, 0.7, curve=((1, 0.5), (2, 0.6))) for seed in (0, 1)),
    )
    missing = results.pop("pairs-1-1")
    text = write_report(tmp_path, study, results)
    assert "| plain | 1 | 0 | 2 | 0.550 | 0.071 | 0.550 | - | - | - | 7 |" in text
    assert "| pairs | 1 | 0 | 1 | 0.700 | - | 0.700 | - | 20.0 | - | 7 |" in text
    assert "still rose at the end" in text and "pairs (1)" in text and "plain (1)" not in text
    assert "1 trainings have no result yet" in text
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert [float(row["miou"]) for row in rows] == pytest.approx([0.5, 0.6, 0.7])
    assert rows[0]["iou_1"] == ""
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    results["pairs-1-1"] = missing
    assert "no result yet" not in write_report(tmp_path, study, results)
