"""Pairs by name: stems first, then numbers, and never the position in a list."""

import unicodedata
from pathlib import Path

import pytest

from core.imaging.pairing import (
    find_partners,
    in_natural_order,
    match_names,
    stem_of,
    varying_numbers,
)
from core.notices import Notice


def paths(folder, *names):
    return [Path(folder, name) for name in names]


def test_natural_order_puts_9_before_10():
    unordered = paths("i", "cell_10.png", "cell_a.tif", "cell_9.png", "a.png", "10.png", "9.png")
    names = [path.name for path in in_natural_order(unordered)]
    assert names == ["9.png", "10.png", "a.png", "cell_9.png", "cell_10.png", "cell_a.tif"]


def test_numbers_in_which_names_differ():
    assert varying_numbers(paths("i", "z07_8nm.png", "z11_8nm.tif")) == [(7,), (11,)]
    assert varying_numbers(paths("i", "z7_y0", "z7_y8", "z9_y0")) == [(7, 0), (7, 8), (9, 0)]
    for names in (("a1", "b2"), ("a1",), ("a1_2", "a1"), ("7", "07"), ()):
        assert varying_numbers(paths("i", *names)) is None


def test_pairs_by_stem_in_natural_order():
    images = paths("i", "cell_10.png", "cell_9.png", "cell_a.tif")
    masks = paths("m", "cell_9.tif", "cell_10.png", "cell_a.png")
    assert match_names(images, masks) == [
        (Path("i/cell_9.png"), Path("m/cell_9.tif")),
        (Path("i/cell_10.png"), Path("m/cell_10.png")),
        (Path("i/cell_a.tif"), Path("m/cell_a.png")),
    ]


def test_pairs_by_numbers_of_the_published_names():
    sets, numbers = (1, 2), (7, 11, 100)
    images = paths("i", *(f"Dataset {d}_img_{k}.png" for d in sets for k in numbers))
    masks = paths("m", *(f"Dataset {d}_GTM_img_{k:04d}.png" for d in sets for k in numbers))
    example = "numbers .* example Dataset 1_img_7.png with Dataset 1_GTM_img_0007.png"
    with pytest.warns(Notice, match=example):
        found = match_names(images[::-1], masks[1:] + masks[:1])
    assert found == list(zip(images, masks, strict=True))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (("WT_1", "WT_2"), ("KO_1", "KO_2")),
        (("WT_1", "KO_2"), ("KO_1", "WT_2")),  # the words of both sides are the same
        (("img_wt_1", "img_ko_2"), ("mask_KO_1", "mask_WT_2")),
        (("cell1 raw",), ("nucleus1 label",)),
        (("train_1", "train_2"), ("test_1_mask", "test_2_mask")),  # two parts of the data
        (("sem_1",), ("tem_1",)),
        (("real_1",), ("synth_1",)),
    ],
)
def test_letters_that_contradict_numbers_are_refused(left, right):
    left, right = paths("i", *left), paths("m", *right)
    for match in (match_names, find_partners):
        with pytest.raises(RuntimeError, match="i/.* and m/.* same numbers, but other words"):
            match(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [("img_1", "mask_1"), ("cell_1", "seg_1"), ("WT_1", "wt_1_labels"), ("train_1", "labels_1")],
)
def test_words_that_tell_images_from_masks_contradict_nothing(left, right):
    left, right = Path("i", f"{left}.png"), Path("m", f"{right}.tif")
    with pytest.warns(Notice, match="numbers"):
        assert match_names([left], [right]) == [(left, right)]


@pytest.mark.filterwarnings("error")
def test_images_of_nnunet_pair_with_its_labels():
    images = paths("i", "case_1_0000.png", "case_2_0000.png")
    labels = paths("m", "case_1.png", "case_2.png")
    assert match_names(images, labels) == list(zip(images, labels, strict=True))
    assert find_partners(labels, images) == dict(zip(labels, images, strict=True))
    both = paths("m", "case_1_0000.png", "case_2_0000.png")
    assert match_names(images, both) == list(zip(images, both, strict=True))
    with pytest.raises(RuntimeError, match="do not pair one to one"):  # a second channel
        match_names([*images, Path("i/case_1_0001.png")], labels)


@pytest.mark.filterwarnings("error")
def test_accents_of_macos_pair_with_those_of_other_systems():
    composed, apart = (unicodedata.normalize(form, "Zellkörper_é") for form in ("NFC", "NFD"))
    assert composed != apart
    image, mask = Path(f"i/{apart}.png"), Path(f"m/{composed}.png")
    assert match_names([image], [mask]) == [(image, mask)]
    assert find_partners([mask], [image]) == {mask: image}
    assert stem_of(image) == stem_of(mask) == composed
    with pytest.raises(RuntimeError, match="share a stem"):
        in_natural_order([image, mask])


def test_one_missing_and_one_extra_is_refused_not_shifted():
    images = paths("i", *(f"Dataset 1_img_{k}.png" for k in range(9) if k != 4))
    masks = paths("m", *(f"Dataset 1_GTM_img_{k}.png" for k in range(9) if k != 7))
    with pytest.raises(RuntimeError) as error:
        match_names(images, masks)
    message = str(error.value)
    assert "1 file(s) (Dataset 1_img_7.png) without a condition" in message
    assert "1 file(s) (Dataset 1_GTM_img_4.png) without an image" in message
    assert "\n" not in message


def test_refusal_lists_five_of_each_side_and_the_count():
    images = paths("i", *(f"a{k}.png" for k in range(1, 13)))
    masks = paths("m", *(f"b{k}.png" for k in range(21, 33)))
    with pytest.raises(RuntimeError) as error:
        match_names(images, masks)
    ours = "12 file(s) (a1.png, a2.png, a3.png, a4.png, a5.png, ...) without a condition"
    theirs = "12 file(s) (b21.png, b22.png, b23.png, b24.png, b25.png, ...) without an image"
    assert ours in str(error.value)
    assert theirs in str(error.value)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (("a_1.png", "b_1.png"), ("a_1_mask.png", "b_1_mask.png")),  # equal numbers twice
        (("cell.png",), ("mask.png",)),  # no numbers: position would be the only reason
        (("img_1_2.png",), ("img_2_1.png",)),  # the order of the numbers counts
        (("a.png", "b.png"), ("a.png",)),
        (("a.png",), ("a.png", "b.png")),
    ],
)
def test_names_that_do_not_decide(left, right):
    with pytest.raises(RuntimeError, match="do not pair one to one"):
        match_names(paths("i", *left), paths("m", *right))


def test_two_files_of_one_stem():
    double, single = paths("i", "a.png", "a.tif"), paths("m", "a.png")
    for left, right in ((double, single), (single, double)):
        with pytest.raises(RuntimeError, match=r"a\.png and .*a\.tif share a stem"):
            match_names(left, right)
        with pytest.raises(RuntimeError, match=r"a\.png and .*a\.tif share a stem"):
            find_partners(left, right)
    with pytest.raises(RuntimeError, match=r"a\.png and .*a\.tif share a stem"):
        in_natural_order(double)


def test_partners_may_be_missing():
    leaders = paths("i", "a_1.png", "a_2.png")
    by_stem = paths("m", "a_2.tif", "a_3.tif")
    assert find_partners(leaders, by_stem) == {leaders[1]: by_stem[0]}
    by_number = paths("m", "mask_002.png", "mask_003.png")
    assert find_partners(leaders, by_number) == {leaders[1]: by_number[0]}
    assert find_partners(leaders, paths("m", "mask_1.png", "other_1.png")) == {}
    assert find_partners(leaders, []) == {}


def test_numbers_do_not_count_where_a_stem_agrees():
    leaders = paths("i", "a_1.png", "a_2.png")
    others = paths("m", "a_1.png", "b_2.png")
    assert find_partners(leaders, others) == {leaders[0]: others[0]}
