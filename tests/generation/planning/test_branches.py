"""Branches from words of the command line: their names, weights, strengths and folders."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from annotator.registry import DETECTORS
from conditions import CONDITIONS, ConditionOptions, create_condition
from core.files import write_json
from core.imaging.images import write_png
from core.imaging.known_sizes import VOLUME
from core.notices import Notice
from core.recording.records import DATA
from generation.planning.branches import (
    Branch,
    BranchOptions,
    check_branches,
    has_labels,
    label_folders,
    named_branches,
    notify_of_pixel_sizes,
    split_named,
    split_strengths,
)


def named(*branches, weights=None, strengths=None, num_classes=3):
    options = BranchOptions(branches, weights, strengths)
    return named_branches(options, ConditionOptions(num_classes), Path("trained.ckpt"))


def test_every_registered_condition_makes_a_branch():
    branches = named(*(f"{name}_branch={name}:dir/{name}" for name in CONDITIONS))
    assert [branch.condition.name for branch in branches] == list(CONDITIONS)
    assert [branch.name for branch in branches] == [f"{name}_branch" for name in CONDITIONS]
    assert branches[0].folder == Path("dir/segmentation")


def test_weights_and_strengths_are_those_of_the_name():
    near, far = named(
        "near=depth:a", "far=depth:b", weights=["far=far.ckpt"], strengths=["near=0.5"]
    )
    assert (near.weights, near.strength) == (Path("trained.ckpt"), 0.5)
    assert (far.weights, far.strength) == (Path("far.ckpt"), 1.0)


def test_a_folder_may_contain_colons_and_equal_signs():
    (branch,) = named("a=depth:C:/x=1")
    assert branch.folder == Path("C:/x=1")


def test_the_number_of_classes_reaches_the_condition():
    (branch,) = named("m=segmentation:a", num_classes=5)
    assert branch.condition.hint_channels == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"branches": ["depth:a"]}, "--branches depth:a: expected name=value"),
        ({"branches": ["d=a"]}, "--branches d=a: expected NAME=CONDITION:DIR"),
        ({"branches": ["d=depth:"]}, "expected NAME=CONDITION:DIR"),
        ({"branches": ["d=heat:a"]}, "no condition is named heat, expected one of segmentation"),
        ({"branches": ["d=depth:a", "d=normal:b"]}, "two branches are named d"),
        ({"branches": ["../d=depth:a"]}, "a name is made of letters"),
        ({"branches": ["d=depth:a"], "weights": ["e=x"]}, "--branch_weights e: no such branch"),
        ({"branches": ["d=depth:a"], "strengths": ["e=1"]}, "--branch_strengths e: no such branch"),
        ({"branches": ["d=depth:a"], "strengths": ["d=x"]}, "--branch_strengths d=x: not a number"),
        ({"branches": ["r=rgba:a"], "num_classes": 4}, "an RGBA tensor has 3 class planes"),
    ],
)
def test_what_is_wrong_is_named(words, message):
    with pytest.raises(ValueError, match=message):
        named(*words.pop("branches"), **words)


def test_reserved_names():
    assert split_named("--x", ["a=1", "b=c=d"]) == {"a": "1", "b": "c=d"}
    with pytest.raises(ValueError, match="and is none of mask, rgba"):
        split_named("--x", ["mask=1"], reserved=("mask", "rgba"))


def test_branches_never_share_a_name_or_a_folder():
    check_branches(named("a=depth:x", "b=depth:x"))
    with pytest.raises(ValueError, match="no condition is given"):
        check_branches([])
    with pytest.raises(ValueError, match="two branches are named mask"):
        check_branches([*named("mask=segmentation:x"), *named("mask=depth:y")])
    with pytest.raises(ValueError, match="rgba_mask, or store their conditions under this name"):
        check_branches(named("r=rgba:x", "rgba_mask=depth:y"))


def test_labels_follow_from_the_conditions():
    branches = named("d=depth:x", "classes=segmentation:y", "r=rgba:z")
    assert label_folders(branches) == {"classes", "rgba_mask"}
    assert has_labels(branches) and not has_labels(branches[:1])


def test_drawn_edges_equal_stored_ones(tmp_path):
    picture = np.full((64, 64), 200, np.uint8)
    picture[30:33] = 0  # a membrane
    write_png(tmp_path / "image.png", picture)
    edge, detector = create_condition("edge"), DETECTORS["membrane"]
    options = detector.options(membrane_scale=1.0, membrane_min_length=2)
    draw_edges = detector.build(options)
    (drawn,) = draw_edges([picture])
    assert 0 < (drawn > 0).mean() < 1
    write_png(tmp_path / "edges.png", drawn)
    branch = Branch("edge", edge, Path("w"), tmp_path, draw_edges=draw_edges)
    hint = branch.read_hint(tmp_path / "image.png")
    assert hint.dtype == np.float32 and hint.shape == (64, 64, 3)
    assert np.array_equal(hint, edge.read_hint(tmp_path / "edges.png"))
    assert branch.check(tmp_path / "image.png") == (64, 64)


@pytest.mark.parametrize("strength", ["nan", "inf", "-inf", "1e999"])
def test_strengths_are_finite(strength):
    with pytest.raises(ValueError, match="d=.*: expected a finite number"):
        split_strengths("--branch_strengths", [f"d={strength}"], ["d"])


def test_names_that_no_record_can_hold_are_refused(tmp_path):
    with open(os.fsencode(tmp_path) + b"/m\xe4.png", "wb"):
        pass
    with pytest.raises(ValueError, match="a name that is not UTF-8. Rename it"):
        Branch("d", create_condition("depth"), Path("w"), tmp_path).list_files()


def test_conditions_of_another_pixel_size_than_the_training_are_warned_of(tmp_path):
    for place in ("run", "masks"):
        (tmp_path / place).mkdir()
    write_json(tmp_path / "run" / DATA, {"pixel_size_nm": [8, 8]})
    write_json(tmp_path / "masks" / VOLUME, {"pixel_size_nm": [4, 4]})
    condition = create_condition("segmentation")
    branch = Branch("mask", condition, tmp_path / "run/best.ckpt", tmp_path / "masks")
    with pytest.warns(Notice, match="masks has pixels of 4 nm, but .*best.ckpt has .*8 nm"):
        notify_of_pixel_sizes([branch])
    write_json(tmp_path / "masks" / VOLUME, {"pixel_size_nm": [8.7, 7.4]})
    notify_of_pixel_sizes([dataclasses.replace(branch)])  # a tenth is no difference


@pytest.mark.parametrize("drawn", [False, True])
def test_files_are_resampled_as_they_are_read(tmp_path, drawn):
    write_json(tmp_path / VOLUME, {"pixel_size_nm": [4, 8]})
    picture = np.arange(64, dtype=np.uint8).reshape(8, 8) % 3
    write_png(tmp_path / "a.png", picture)
    condition = create_condition("edge" if drawn else "segmentation")
    draw = (lambda images: [image * 2 for image in images]) if drawn else None
    branch = Branch("b", condition, Path("w"), tmp_path, draw_edges=draw, pixel_side=8)
    assert branch.check(tmp_path / "a.png") == (4, 8) and branch.pixel_size == (8, 8)
    hint = branch.read_hint(tmp_path / "a.png")
    assert hint.shape[:2] == (4, 8)
    if not drawn:
        assert np.array_equal(condition.labels(hint), picture[1::2])
