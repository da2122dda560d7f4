"""Groups of exported pairs: what is made from one mask stays together, whatever it is called."""

import json
import shutil

import pytest

from conditions.pairs import Pair
from conditions.variation_set import SetOptions, VariationOptions, find_masks, make_set
from core.files import sha256_of
from generation.exporting.dataset import ExportOptions, check_export, export_dataset
from generation.exporting.groups import Groups


@pytest.fixture
def groups(tmp_path):
    """Function to the groups of a run that has noted these files, beside real pairs."""

    def groups(files, real=()):
        state = {"condition_checksums": {str(path): sha256_of(path) for path in files}}
        (tmp_path / "generate_state.json").write_text(json.dumps(state))
        return Groups(tmp_path, real)

    return groups


@pytest.fixture
def varied(pairs, tmp_path):
    """Two variations of each mask and image, masks first."""
    (folder := tmp_path / "varied").mkdir()
    options = SetOptions(image_path=pairs / "images", copies=2)
    found = find_masks(pairs / "masks", pairs / "images", 3)
    make_set(folder, found, options, VariationOptions(), [])
    return folder


def line(mask, **options):
    return {"sources": {"mask": str(mask)}, "options": options}


def real_pairs(pairs):
    return [
        Pair(pairs / "images" / f"cell_{i}.png", pairs / "masks" / f"cell_{i}.png") for i in (0, 1)
    ]


def test_variations_whose_set_was_moved_join_their_real_pair(pairs, tmp_path):
    mask = tmp_path / "gone" / "masks" / "new_v0.png"
    sources = {str(mask): [sha256_of(pairs / "masks" / "cell_1.png")]}
    state = {"condition_checksums": {str(mask): "0"}, "variation_sources": sources}
    (tmp_path / "generate_state.json").write_text(json.dumps(state))
    assert Groups(tmp_path, real_pairs(pairs)).of_generated(line(mask)) == "cell_1"


def test_a_mask_of_another_name_joins_its_real_pair(pairs, tmp_path, groups):
    renamed = shutil.copy(pairs / "masks" / "cell_1.png", tmp_path / "GTM 007.png")
    other = pairs / "masks" / "cell_3.png"
    found = groups([renamed, other], real_pairs(pairs))
    assert found.of_generated(line(renamed)) == "cell_1"
    assert found.of_generated(line(other)) == "cell_3"  # of no real pair here


def test_variations_join_the_real_pair_of_their_mask(pairs, varied, groups):
    masks = [varied / "masks" / f"cell_{i}_v{k}.png" for i in (1, 3) for k in (0, 1)]
    found = groups(masks, real_pairs(pairs))
    expected = ["cell_1", "cell_1", "cell_3", "cell_3"]
    assert [found.of_generated(line(mask)) for mask in masks] == expected


def test_images_that_begin_with_a_real_one_join_its_pair(pairs, tmp_path, groups):
    """Also where their mask is another, as predicted ones are."""
    mask = shutil.copy(pairs / "masks" / "cell_5.png", tmp_path / "predicted.png")
    image = pairs / "images" / "cell_0.png"
    found = groups([mask, image], real_pairs(pairs))
    assert found.of_generated(line(mask, encoded_image=str(image))) == "cell_0"


def test_equal_masks_stay_with_their_namesakes(pairs, groups):
    """Empty masks are equal: a real one's images must not join the first of them."""
    real = real_pairs(pairs)
    shutil.copy(real[0].condition, real[1].condition)
    found = groups([pair.condition for pair in real], real)
    assert found.of_generated(line(real[1].condition)) == "cell_1"


def test_runs_without_checksums_are_grouped_by_name(pairs, varied, tmp_path):
    found = Groups(tmp_path, real_pairs(pairs))
    assert found.of_generated(line(pairs / "masks" / "cell_1.png")) == "cell_1"
    for copy in range(2):
        assert found.of_generated(line(varied / "masks" / f"cell_1_v{copy}.png")) == "cell_1"


def test_no_fold_of_nnunet_trains_on_variations_of_a_mask_that_it_validates(
    run_dir, pairs, varied, tmp_path
):
    """The run drew variations of cell_0 and cell_1, and the folds hold out the real pairs."""
    lines = [json.loads(text) for text in (run_dir / "manifest.jsonl").read_text().splitlines()]
    for k, entry in enumerate(lines):
        entry["sources"]["mask"] = str(varied / "masks" / f"cell_{k // 2}_v{k % 2}.png")
    (run_dir / "manifest.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in lines))
    state = {
        "condition_checksums": {
            (file := entry["sources"]["mask"]): sha256_of(file) for entry in lines
        }
    }
    (run_dir / "generate_state.json").write_text(json.dumps(state))
    folder = tmp_path / "Dataset501_x"
    options = ExportOptions(folder, (pairs / "images", pairs / "masks"), "nnunet")
    export_dataset(options, run_dir, check_export(options, 3), 3)
    for fold in json.loads((folder / "splits_final.json").read_text()):
        held_out = {name.removeprefix("real_cell_") for name in fold["val"]}
        made = {name.split("cond")[1][0] for name in fold["train"] if name.startswith("synth")}
        assert not made & held_out
