"""The answer of a study, from results whose means and deviations are known."""

import csv
from types import SimpleNamespace

import pytest
from PIL import Image

from segmentation.study.jobs import Result
from segmentation.study.report import verdicts, write_report
from segmentation.study.rows import rows_of, rows_over_generated


def result(arm, labelled, seed, miou, curve=((1, 0.5), (2, 0.6), (3, 0.6)), turned=None):
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
        miou_turned=turned,
        val_curve=curve,
        train_seconds=7.0,
    )


def study_of(*results):
    """A study that has these results and wants no others, and the results by job."""
    jobs = [
        SimpleNamespace(name=f"{r.arm}-{r.labelled}-{r.seed}", arm=r.arm, labelled=r.labelled)
        for r in results
    ]
    arms = [
        SimpleNamespace(name=name, real=True, synthetic="pairs", segmenter={})
        for name in dict.fromkeys(r.arm for r in results)
    ]
    numbers = dict.fromkeys(r.labelled for r in results)
    parts = SimpleNamespace(train=numbers, val=[0] * 4, test=[0] * 5)
    config = SimpleNamespace(arms=arms, baseline=arms[0].name, num_classes=2)
    study = SimpleNamespace(config=config, parts=parts, jobs=jobs, unlike={})
    return study, {job.name: r for job, r in zip(jobs, results, strict=True)}


def said(*results):
    study, by_job = study_of(*results)
    return verdicts(study, rows_of(study, by_job))


def pair_of(arm, scores, val=0.6):
    return [
        result(arm, 2, seed, miou, curve=((1, val), (2, val))) for seed, miou in enumerate(scores)
    ]


def test_an_arm_is_recommended_where_its_gain_exceeds_the_deviation():
    base = pair_of("plain", (0.5, 0.6))
    better = pair_of("pairs", (0.54, 0.65))
    assert said(*base, *better) == [
        "With 2 labelled images: **pairs**, chosen on the validation images, beats plain by "
        "4.5 +- 0.7 points of mIoU on the test images."
    ]
    assert said(*base, *pair_of("pairs", (0.5, 0.64))) == [
        "With 2 labelled images: no arm is recommended. pairs, chosen on the validation images, "
        "gains 2.0 +- 2.8 points of mIoU against plain on the test images. docs/study.md says what "
        "to try then."
    ]
    worse = said(*base, *pair_of("pairs", (0.4, 0.5)))[0]
    assert "no arm is recommended" in worse and "loses 10.0 +- 0.0 points" in worse
    assert said(base[0], better[0]) == [
        "With 2 labelled images: one seed is not enough for a verdict."
    ]


def test_a_gain_that_turns_and_flips_bring_anyway_is_told():
    base, better = (
        [result(arm, 2, seed, miou, turned=0.7 + more * seed) for seed, miou in enumerate(scores)]
        for arm, scores, more in (("plain", (0.5, 0.6), 0), ("pairs", (0.54, 0.65), 0.02))
    )
    assert said(*base, *better)[0].endswith(
        "beats plain by 4.5 +- 0.7 points of mIoU on the test images. Where both segment by turns "
        "and flips, as `utils/predict_masks.py` does, the difference is 1.0 +- 1.4."
    )


def test_turns_and_flips_are_left_out_where_seeds_lack_them():
    base, better = (
        [result(arm, 2, seed, 0.5 + more, turned=0.6) for seed in (0, 1)]
        for arm, more in (("plain", 0), ("pairs", 0.1))
    )
    assert "turns and flips" in said(*base, *better)[0]
    assert "turns and flips" not in said(base[0], better[0])[0]  # one seed tells no deviation
    older = result("pairs", 2, 1, 0.6)
    assert "turns and flips" not in said(*base, better[0], older)[0]


def test_the_test_images_do_not_choose_the_arm():
    base = pair_of("plain", (0.5, 0.6))
    chosen = pair_of("chosen", (0.53, 0.62), val=0.66)
    lucky = pair_of("lucky", (0.6, 0.71), val=0.65)
    for others in (chosen + lucky, lucky + chosen):
        assert "**chosen**" in said(*base, *others)[0]
    poor = pair_of("poor", (0.5, 0.58), val=0.7)
    assert "no arm is recommended. poor" in said(*base, *poor, *lucky)[0]


def test_what_speaks_against_a_gain_is_told():
    base, better = pair_of("plain", (0.5, 0.6), val=0.7), pair_of("pairs", (0.54, 0.65), val=0.65)
    study, by_job = study_of(*base, *better)
    study.unlike = {"pairs": "augmentation strong, not basic"}
    assert verdicts(study, rows_of(study, by_job))[0].endswith(
        "on the test images. On the validation images plain is better, 0.700 against 0.650. pairs "
        "differs in more than its pairs: augmentation strong, not basic."
    )


def test_arms_that_differ_in_their_number_of_pairs_make_a_curve(tmp_path):
    def with_pairs(arm, count, labelled=4):
        return [
            result(arm, labelled, seed, 0.5).model_copy(update={"synthetic_images": count})
            for seed in (0, 1)
        ]

    arms = with_pairs("plain", 0), with_pairs("all", 64), with_pairs("few", 16)
    study, by_job = study_of(*sum(arms, []), *with_pairs("few", 16, labelled=2))
    (family,) = rows_over_generated(study, rows_of(study, by_job))
    assert [(row.arm, row.labelled) for row in family] == [("few", 4), ("all", 4)]
    write_report(tmp_path, study, by_job)
    with Image.open(tmp_path / "curve.png") as wide:
        assert wide.width > 2 * wide.height
    study.config.arms[1].real = False  # a difference of another kind
    assert rows_over_generated(study, rows_of(study, by_job)) == []


def test_an_arm_with_missing_trainings_is_not_chosen():
    base, good = pair_of("plain", (0.5, 0.6)), pair_of("good", (0.54, 0.65))
    one = pair_of("one", (0.9,), val=0.9)
    assert "**good**" in said(*base, *one, *good)[0]
    assert "one seed is not enough" in said(*base, *one)[0]
    elsewhere = [result("elsewhere", 2, seed, 0.9, curve=((1, 0.9),)) for seed in (7, 8)]
    assert "**good**" in said(*base, *elsewhere, *good)[0]


def test_files_of_the_report(tmp_path):
    study, results = study_of(
        *(result("plain", 1, seed, 0.5 + seed / 10, turned=0.6) for seed in (0, 1)),
        *(result("pairs", 1, seed, 0.7, curve=((1, 0.5), (2, 0.6))) for seed in (0, 1)),
    )
    missing = results.pop("pairs-1-1")
    text = write_report(tmp_path, study, results)
    assert "| plain | 1 | 0 | 2 | 0.600 | 0.550 | 0.071 | 0.550 | - | - | - | 0.600 | 7 |" in text
    assert "| pairs | 1 | 0 | 1 | 0.600 | 0.700 | - | 0.700 | - | 20.0 | - | - | 7 |" in text
    assert "still rose at the end" in text and "pairs (1)" in text and "plain (1)" not in text
    assert "1 trainings have no result yet" in text
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert [float(row["miou"]) for row in rows] == pytest.approx([0.5, 0.6, 0.7])
    assert {row["validation"] for row in rows} == {"0.6"} and rows[0]["iou_1"] == ""
    assert [row["miou_turned"] for row in rows] == ["0.6", "0.6", ""]
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    results["pairs-1-1"] = missing
    assert "no result yet" not in write_report(tmp_path, study, results)
