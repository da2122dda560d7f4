"""The record of a training's data, and what is said of changes."""

import shutil

import pytest

from conditions import create_condition
from core.files import sha256_of, write_json
from core.imaging.known_sizes import VOLUME, pixel_size_of_training
from core.recording.records import DATA
from dataset import MyDataset, ValidationSet
from training.data.data_record import (
    changed_names,
    check_same_data,
    digests_of,
    fingerprint_data,
)
from training.data.datasets import DataSets


@pytest.fixture
def folders(pairs, tmp_path):
    """A copy of six pairs."""
    for name in ("images", "masks"):
        shutil.copytree(pairs / name, tmp_path / name)
    return tmp_path / "images", tmp_path / "masks"


def record_of(folders):
    data = MyDataset(*folders, condition_type=create_condition("segmentation"))
    paths = {name: folders[0] / name for name in ("init", "prompts_file")}
    files = {name: path for name, path in paths.items() if path.exists()}
    return fingerprint_data(DataSets(data, ValidationSet(data)), files)


def test_equal_data_pass(folders, tmp_path):
    write_json(tmp_path / DATA, record_of(folders))
    check_same_data(tmp_path / DATA, record_of(folders))
    files = {"images", "conditions", "val_images", "val_conditions"}
    assert set(record_of(folders)) == {"pixel_size_nm", "stated_sizes", "read_once", *files}


def test_the_pixel_size_is_recorded(folders, tmp_path):
    assert record_of(folders)["pixel_size_nm"] is None
    write_json(folders[0] / VOLUME, {"pixel_size_nm": [8, 8]})
    write_json(tmp_path / DATA, record_of(folders))
    assert pixel_size_of_training(tmp_path) == (8, 8)


def test_another_pixel_size_is_a_change(folders, tmp_path):
    write_json(folders[0] / VOLUME, {"pixel_size_nm": [8, 8]})
    record = record_of(folders)
    write_json(tmp_path / DATA, record)
    check_same_data(tmp_path / DATA, record_of(folders))
    write_json(folders[0] / VOLUME, {"pixel_size_nm": [8.001, 8]})  # another note, rounded
    check_same_data(tmp_path / DATA, record_of(folders))
    write_json(folders[0] / VOLUME, {"pixel_size_nm": [4, 4]})
    changed = "the pixel size of images was changed from 8 nm to 4 nm; the pixel size of val_"
    with pytest.raises(RuntimeError, match=changed):
        check_same_data(tmp_path / DATA, record_of(folders))
    (folders[0] / VOLUME).unlink()
    with pytest.raises(RuntimeError, match="from 8 nm to unknown"):
        check_same_data(tmp_path / DATA, record_of(folders))
    del record["stated_sizes"]  # a run of an older version
    write_json(tmp_path / DATA, record)
    check_same_data(tmp_path / DATA, record_of(folders))


def test_changes_of_single_files_are_named_by_their_options(folders, tmp_path):
    (folders[0] / "prompts_file").write_text("a cell")
    (folders[0] / "init").write_text("weights")
    record = record_of(folders)
    write_json(tmp_path / DATA, record)
    check_same_data(tmp_path / DATA, record_of(folders))
    (folders[0] / "prompts_file").write_text("another cell")
    with pytest.raises(RuntimeError, match="started, the file of --prompts_file was changed. Put"):
        check_same_data(tmp_path / DATA, record_of(folders))
    del record["read_once"]  # a run of an older version
    write_json(tmp_path / DATA, record)
    check_same_data(tmp_path / DATA, record_of(folders))


def test_files_are_the_same_where_the_same_is_read_from_them(micro_yaml, tmp_path):
    files = {"cldm_config_path": tmp_path / "model.yaml", "prompts_file": tmp_path / "prompts.txt"}
    model, prompts = micro_yaml.read_text(), "a cell\nan axon\n"
    files["cldm_config_path"].write_text(model)
    files["prompts_file"].write_text(prompts)
    before = digests_of(files)
    files["cldm_config_path"].write_text(f"# the model of the paper\n\n{model}")
    files["prompts_file"].write_text(f"# of the paper\n\n{prompts}")
    assert changed_names(before, digests_of(files)) == []
    files["cldm_config_path"].write_text(model.replace("0.00085", "0.002"))
    files["prompts_file"].write_text("an axon\na cell\n")  # an index of a draw means another text
    assert changed_names(before, digests_of(files)) == [
        "the file of --cldm_config_path was changed",
        "the file of --prompts_file was changed",
    ]


def test_a_record_of_bytes_alone_is_compared_with_bytes(folders, tmp_path):
    """Runs of older versions have no more."""
    prompts = folders[0] / "prompts_file"
    prompts.write_text("a cell")
    record = record_of(folders)
    record["read_once"] = {"prompts_file": sha256_of(prompts)}
    write_json(tmp_path / DATA, record)
    check_same_data(tmp_path / DATA, record_of(folders))
    prompts.write_text("a cell\n")
    with pytest.raises(RuntimeError, match="--prompts_file was changed"):
        check_same_data(tmp_path / DATA, record_of(folders))


def test_changes_are_named(folders, tmp_path):
    images, masks = folders
    write_json(tmp_path / DATA, record_of(folders))
    shutil.copy(masks / "cell_1.png", masks / "cell_0.png")  # another mask under an old name
    with pytest.raises(RuntimeError) as refusal:
        check_same_data(tmp_path / DATA, record_of(folders))
    message = str(refusal.value)
    assert message.startswith(
        f"{tmp_path / DATA}: since the run was started, 1 file(s) (cell_0.png) "
    )
    assert "changed in the conditions; 1 file(s) (cell_0.png) changed in the val_cond" in message
    assert "changed in the images" not in message
    for folder in folders:
        (folder / "cell_2.png").rename(folder / "cell_9.png")
    with pytest.raises(
        RuntimeError,
        match=r"\(cell_9.png\) added to the images; .*\(cell_2.png\) "
        "removed from the images",
    ):
        check_same_data(tmp_path / DATA, record_of(folders))


def test_a_validation_that_is_gone_is_a_change(folders, tmp_path):
    record = record_of(folders)
    write_json(tmp_path / DATA, record)
    less = {name: files for name, files in record.items() if not name.startswith("val")}
    with pytest.raises(RuntimeError, match="6 file.* removed from the val_images"):
        check_same_data(tmp_path / DATA, less)
