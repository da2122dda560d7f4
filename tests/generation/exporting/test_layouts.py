"""Layouts of exported data sets: nnU-Net's documented rules, COCO's lists, folds by group."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from core.command_line.options import OptionError
from core.files import write_json
from core.imaging.known_sizes import VOLUME, pixel_size_of_folder
from core.notices import Notice
from generation.exporting import dataset
from generation.exporting.dataset import ExportOptions, check_export, export_dataset
from generation.exporting.layouts import LAYOUTS, Case, grouped_folds

NAMES = ("background", "cytoplasm", "nucleus")


@pytest.fixture
def exported(run_dir, tmp_path, pairs):
    """Function that exports a made-up run of two masks, with six real pairs."""

    def export(layout, folder, names=NAMES):
        options = ExportOptions(
            tmp_path / folder, (pairs / "images", pairs / "masks"), layout, names
        )
        assert export_dataset(options, run_dir, check_export(options, 3), 3) == 10
        return options.export_dataset

    return export


def read_json(path):
    return json.loads(path.read_text())


def cases_of(folder):
    """Cases as nnU-Net finds them: files whose names end in a number of four digits."""
    found = {}
    for path in sorted((folder / "imagesTr").iterdir()):
        name, channel = re.fullmatch(r"(.+)_(\d{4})\.png", path.name).groups()
        assert channel == "0000" and name not in found
        found[name] = path
    return found


def test_nnunet_finds_images_labels_and_their_description(exported):
    folder = exported("nnunet", "Dataset501_Cells")
    cases, description = cases_of(folder), read_json(folder / "dataset.json")
    assert {path.stem for path in (folder / "labelsTr").iterdir()} == set(cases)
    assert description["numTraining"] == len(cases) == 10
    assert description["labels"] == {"background": 0, "cytoplasm": 1, "nucleus": 2}
    assert description["channel_names"] == {"0": "EM"} and description["file_ending"] == ".png"
    for name, path in cases.items():
        image = np.array(Image.open(path))
        labels = np.array(Image.open(folder / "labelsTr" / f"{name}.png"))
        assert image.shape == labels.shape == (64, 64)  # one channel
        assert labels.dtype == np.uint8 and set(np.unique(labels)) <= {0, 1, 2}
    rows = (folder / "splits.csv").read_text().splitlines()
    assert rows[1].startswith("real_cell_0_0000.png,train,real,cell_0,")


def test_no_fold_of_nnunet_trains_on_a_mask_that_it_validates(exported):
    folder = exported("nnunet", "Dataset501_Cells")
    splits, cases = read_json(folder / "splits_final.json"), cases_of(folder)
    assert len(splits) == 5
    assert sorted(name for fold in splits for name in fold["val"]) == sorted(
        name for name in cases if name.startswith("real_")
    )
    for fold in splits:
        assert set(fold) == {"train", "val"} and fold["val"]
        assert set(fold["train"]) | set(fold["val"]) <= set(cases)
        masks = {
            kind: {(folder / "labelsTr" / f"{name}.png").read_bytes() for name in fold[kind]}
            for kind in fold
        }
        assert not masks["train"] & masks["val"]
    # Two images each were made from the masks of cell_0 and cell_1, which the first fold holds out
    assert splits[0]["val"] == ["real_cell_0"] and len(splits[0]["train"]) == 7


def case(name, group, real):
    return Case(name, group, real, (8, 8))


def test_folds_follow_the_order_of_slices():
    cases = [case(f"s{i}", f"slice_{i}", True) for i in (10, 9, 2, 1)]
    assert [fold["val"] for fold in grouped_folds(cases, 2)] == [["s2", "s1"], ["s10", "s9"]]
    assert [fold["train"] for fold in grouped_folds(cases, 2)] == [["s10", "s9"], ["s2", "s1"]]


def test_generated_pairs_are_validated_on_only_where_there_are_no_others():
    made = [case(f"m{i}", f"g{i}", False) for i in range(3)]
    assert [fold["val"] for fold in grouped_folds(made)] == [["m0"], ["m1"], ["m2"]]
    real = [case(f"r{i}", f"g{i}", True) for i in range(2)]
    folds = grouped_folds([*real, *made])
    assert [fold["val"] for fold in folds] == [["r0"], ["r1"]]
    assert folds[0]["train"] == ["r1", "m1", "m2"]  # m0 shows the mask of r0


def test_one_mask_cannot_be_split(tmp_path):
    cases = [case("a", "g", True), case("b", "g", False)]
    with pytest.warns(Notice, match="no splits_final.json is written"):
        LAYOUTS["nnunet"].write_records(tmp_path, cases, NAMES, grey=False)
    assert read_json(tmp_path / "dataset.json")["channel_names"] == {"0": "R", "1": "G", "2": "B"}
    assert not (tmp_path / "splits_final.json").exists()


def test_coco_lists_every_picture_and_category(exported):
    folder = exported("coco", "coco")
    content = read_json(folder / "annotations.json")
    assert [category["name"] for category in content["categories"]] == list(NAMES)
    ids = {category["id"] for category in content["categories"]}
    files = {image["id"]: image for image in content["images"]}
    assert len(files) == len(content["annotations"]) == 10
    for annotation in content["annotations"]:
        image = files.pop(annotation["image_id"])
        labels = np.array(Image.open(folder / "annotations" / annotation["file_name"]))
        with Image.open(folder / "images" / image["file_name"]) as picture:
            assert (image["width"], image["height"]) == picture.size == labels.shape[::-1]
        assert set(np.unique(labels)) <= ids
    assert not files and "info" not in content


def test_coco_states_what_marks_ignored_pixels(tmp_path):
    """No category has its number."""
    cases = [Case("a", "g", True, (8, 8)), Case("b", "g", True, (8, 8), has_ignored=True)]
    LAYOUTS["coco"].write_records(tmp_path, cases, NAMES, grey=True)
    info = read_json(tmp_path / "annotations.json")["info"]
    assert info == {"description": "In annotations/, 255 marks pixels to be ignored."}


def test_an_ome_zarr_holds_image_and_mask_of_each_pair(exported, pairs):
    pytest.importorskip("ome_zarr")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    (pairs / "images" / "volume.json").write_text('{"pixel_size_nm": [8, 4]}')
    folder = exported("ome_zarr", "set")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "images", "splits.csv"]
    rows = (folder / "splits.csv").read_text().splitlines()[1:]
    names = {path.name for path in (folder / "images").iterdir()}
    assert len(names) == 10 and {row.split(",")[0] for row in rows} == names
    nodes = Reader(parse_url(folder / "images" / "real_cell_1.ome.zarr"))()
    image, labels = (node for node in nodes if node.data)
    expected = np.array(Image.open(pairs / "images" / "cell_1.png"))
    assert (np.asarray(image.data[0]) == expected[None]).all()
    mask = np.array(Image.open(pairs / "masks" / "cell_1.png"))
    assert (np.asarray(labels.data[0]) == mask[None]).all()
    for node in (image, labels):
        assert node.metadata["coordinateTransformations"][0][0]["scale"] == [8, 8, 4]


@pytest.mark.parametrize("layout", ["pairs", "nnunet", "coco"])
@pytest.mark.parametrize("real_size", [None, [8, 4], [8, 8]])
def test_pngs_state_the_pixel_size_of_all_pairs(run_dir, pairs, tmp_path, layout, real_size):
    lines = [json.loads(text) for text in (run_dir / "manifest.jsonl").read_text().splitlines()]
    sized = [json.dumps(line | {"pixel_size_nm": [8, 4]}) + "\n" for line in lines]
    (run_dir / "manifest.jsonl").write_text("".join(sized))
    if real_size:
        write_json(pairs / "images" / VOLUME, {"pixel_size_nm": real_size})
    folder = tmp_path / "Dataset501_x"
    options = ExportOptions(folder, (pairs / "images", pairs / "masks"), layout)
    export_dataset(options, run_dir, check_export(options, 3), 3)
    for kind in (LAYOUTS[layout].images, LAYOUTS[layout].masks):
        expected = (8, 4) if real_size == [8, 4] else None
        assert pixel_size_of_folder(folder / kind) == expected


# OME-Zarr in test_export_volume.py: the writer is the same, and 48 of them take seconds
@pytest.mark.parametrize("layout", ["pairs", "nnunet", "coco"])
def test_a_data_set_larger_than_the_memory(large_run, traced_peak, tmp_path, monkeypatch, layout):
    monkeypatch.setattr(dataset, "MAX_THREADS", 1)  # each holds pictures of its own
    options = ExportOptions(tmp_path / "Dataset501_x", None, layout)
    peak = traced_peak(lambda: dataset.export_dataset(options, large_run, [], 3))
    assert peak < 48 * 640 * 640 * 3 / 2  # half of the images


def test_folders_and_names_that_a_layout_does_not_allow(tmp_path):
    def refused(*options):
        with pytest.raises(ValueError) as error:
            export = ExportOptions(*options)
            export.check()
            check_export(export, 3)
        assert not list(tmp_path.iterdir())
        return str(error.value)

    nnunet = tmp_path / "Dataset501_Cells", None, "nnunet"
    assert "nnU-Net expects a name such as Dataset501" in refused(tmp_path / "x", None, "nnunet")
    assert "calls the first class background" in refused(*nnunet, ("resin", "cell", "nucleus"))
    assert "leaves its pixels out" in refused(*nnunet, ("background", "cell", "ignore"))
    assert "--class_names: 2 names for 3 classes" in refused(*nnunet, ("background", "cell"))
    assert "two classes have one name" in refused(*nnunet, ("background", "cell", "cell"))
    assert "export_layout: needs --export_dataset" in refused(None, None, "coco")
    assert "class_names: needs --export_dataset" in refused(None, None, "pairs", NAMES)
    assert ExportOptions().names_of(3) == ["background", "class_1", "class_2"]
    with pytest.raises(OptionError):
        ExportOptions(class_names=NAMES).names_of(4)


def test_the_options_survive_as_words_of_a_command(tmp_path):
    options = ExportOptions(tmp_path, (tmp_path, tmp_path), "coco", NAMES)
    words = options.words()
    assert words[:4] == ["--export_dataset", tmp_path, "--export_layout", "coco"]
    assert words[-4:] == ["--class_names", *NAMES] and ExportOptions().words() == []
