"""Scores of a run, as its report shows them."""

import json

import pytest

from generation.reporting.scores import read_scores


@pytest.fixture
def write_score(tmp_path):
    """Function that writes a score of two images into the folder of a run."""
    (tmp_path / "run_x").mkdir()

    def write_score(name, **changes):
        score = {"fid": 12.344, "num_real": 9, "num_generated": 2, "backbone": "cem500k"}
        score |= {"image_size": 224, "real_dir": "/real", "gen_dir": "/moved/run_x/images"}
        (tmp_path / "run_x" / name).write_text(json.dumps(score | changes))
        return tmp_path / "run_x"

    return write_score


def test_a_score_as_texts(write_score):
    run_dir = write_score("a.json", fid_interval=[11.0, 13.456], kid=0.01234, kid_std=0.002)
    (score,) = read_scores(run_dir, num_images=2)
    assert score == {
        "file": "a.json",
        "network": "cem500k",
        "size": 224,
        "fid": "12.34",
        "interval": "11.00 to 13.46",
        "kid": "0.0123 ± 0.002",
        "real": 9,
        "generated": 2,
        "real_dir": "/real",
        "notes": [],  # the run has been moved, but these are its images
    }


def test_what_was_not_computed_is_none(write_score):
    (score,) = read_scores(write_score("a.json", kid=None), num_images=2)
    assert score["interval"] is None and score["kid"] is None
    (score,) = read_scores(write_score("a.json", kid=0.5), num_images=2)
    assert score["kid"] == "0.5000"  # one subset has no deviation


def test_doubts_become_notes(write_score):
    run_dir = write_score("a.json", num_generated=1, scarce=True, gen_dir="/other/images")
    (score,) = read_scores(run_dir, num_images=1200)
    assert score["notes"] == [
        "too few images for an FID: judge by KID",
        "of 1 of the run's 1,200 images",
        "of /other/images",
    ]


def test_other_files_are_no_scores(write_score):
    run_dir = write_score("b.json")
    write_score("args.json")  # the run's own files, whatever they hold
    write_score("generate_state.json")
    for name, text in {
        "list": "[1]",
        "broken": "{",
        "odd": '{"fid": "x"}',
        "bytes": "\xff",
    }.items():
        (run_dir / f"{name}.json").write_text(text, encoding="latin-1")
    assert [score["file"] for score in read_scores(run_dir, 2)] == ["b.json"]
