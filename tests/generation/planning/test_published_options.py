"""Masks, edge maps and RGBA tensors as branches, and options that a mode ignores."""

from pathlib import Path

import pytest

from conditions import ConditionOptions, Edge, Segmentation
from core.command_line.options import add_options, new_parser, read_options
from generation.planning.branches import Branch, BranchOptions, named_branches
from generation.planning.published_options import (
    RESERVED,
    PublishedOptions,
    infer_mode,
    published_branches,
    unused_options,
)

DEFAULT = Path("trained.ckpt")


def branches_of(**values):
    """Branches of published options; the drawer of edges is the text "draw"."""
    options = PublishedOptions(**values)
    return published_branches(options, infer_mode(options), ConditionOptions(), DEFAULT, "draw")


def facts(branches):
    """What tells branches apart; a condition is told by its class and options."""
    return [
        (b.name, type(b.condition), b.condition.options, b.weights, b.folder, b.strength)
        for b in branches
    ]


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        ({"mask_dir": "m"}, "mask_only"),
        ({"edge_dir": "e"}, "edge_only"),
        ({"edge_from_images": "i"}, "edge_only"),
        ({"mask_dir": "m", "edge_dirs": ["a=b"]}, "mask_and_edge"),
        ({"rgba_dir": "r"}, "rgba"),
        ({"mask_dir": "m", "rgba_dir": "r", "generation_mode": "rgba"}, "rgba"),
        ({}, None),
    ],
)
def test_the_mode_follows_from_the_folders(given, mode):
    assert infer_mode(PublishedOptions(**given)) == mode


def test_empty_texts_of_the_command_line_stand_for_none():
    """As shells give unset variables."""
    parser = new_parser("")
    add_options(parser, PublishedOptions, "conditions")
    words = ["--mask_dir", "m", "--edge_dir", "", "--edge_model_path", ""]
    options = read_options(PublishedOptions, parser.parse_args(words))
    assert infer_mode(options) == "mask_only"


def test_masks_and_edges_become_the_branches_of_the_general_form():
    published = branches_of(
        mask_dir=Path("m"),
        mask_strength=0.5,
        edge_dirs=["a=edges/a"],
        edge_model_paths=["a=a.ckpt"],
        edge_strengths=["a=0.25"],
    )
    general = named_branches(
        BranchOptions(
            ["mask=segmentation:m", "a=edge:edges/a"], ["a=a.ckpt"], ["mask=0.5", "a=0.25"]
        ),
        ConditionOptions(),
        DEFAULT,
    )
    assert facts(published) == facts(general)


def test_rgba_becomes_the_branch_of_the_general_form():
    published = branches_of(rgba_dir=Path("r"), rgba_model_path=Path("r.ckpt"))
    options = BranchOptions(["rgba=rgba:r"], ["rgba=r.ckpt"])
    assert facts(published) == facts(named_branches(options, ConditionOptions(), DEFAULT))


def test_only_the_branch_named_edge_draws():
    stored, drawn = branches_of(
        edge_dirs=["a=x"], edge_model_paths=["a=1", "edge=2"], edge_from_images=Path("images")
    )
    assert (stored.draw_edges, drawn.draw_edges) == (None, "draw")
    assert (drawn.name, drawn.folder, drawn.weights) == ("edge", Path("images"), Path("2"))


def test_nothing_given_is_no_branch():
    assert branches_of() == []


@pytest.mark.parametrize("name", RESERVED)
def test_edges_take_no_name_of_other_published_branches(name):
    with pytest.raises(ValueError, match="none of mask, rgba, rgba_edge_vis, rgba_mask"):
        branches_of(edge_dirs=[f"{name}=x"], edge_model_paths=[f"{name}=y"])


def test_unused_options_depend_on_all_branches():
    options = PublishedOptions()
    edge = Branch("e", Edge(), DEFAULT, Path("e"))
    mask = Branch("m", Segmentation(), DEFAULT, Path("m"))
    alone, both = (unused_options(options, None, b) for b in ([edge], [edge, mask]))
    assert alone["num_classes"] == alone["skip_missing_edges"] == "with these --branches"
    assert "num_classes" not in both and "skip_missing_edges" not in both
    assert {"mask_dir", "edge_dirs", "rgba_dir", "edge_detector", "canny_low"} <= both.keys()


def test_options_of_another_detector_are_unused():
    options = PublishedOptions(edge_from_images=Path("i"), edge_detector="membrane")
    unused = unused_options(options, "edge_only", [Branch("edge", Edge(), DEFAULT, Path("i"))])
    assert unused["canny_low"] == "by --edge_detector membrane"
    assert "membrane_low" not in unused and "edge_detector" not in unused
