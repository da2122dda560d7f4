"""The record of the weights, options and identity that a training started with."""

import pytest

from core.files import sha256_of, write_json
from training.folder.start_record import START, check_same_options, fingerprint_start, read_start


def test_files_of_one_name_stay_apart(tmp_path):
    """A base and a control branch may both be called `model.safetensors`."""
    paths = [tmp_path / folder / "model.safetensors" for folder in ("base", "branch")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(path.parent.name)
    write_json(tmp_path / START, fingerprint_start(paths, {}))
    assert read_start(tmp_path) == {
        "base/model.safetensors": sha256_of(paths[0]),
        "branch/model.safetensors": sha256_of(paths[1]),
    }
    assert list(fingerprint_start(paths[:1], {})["weights"]) == ["model.safetensors"]


def test_options_other_than_at_the_start_are_refused(tmp_path):
    """Those that one of the two versions does not have are not compared."""
    check_same_options(tmp_path, {"seed": 1})  # the run of a version without this record
    options = {"crop_scale": (0.08, 1.0), "seed": 1}
    write_json(tmp_path / START, fingerprint_start([], {**options, "gone": 3}))
    check_same_options(tmp_path, {**options, "new": 4})
    with pytest.raises(ValueError, match="args.json: edited, as .* another --seed .1.") as error:
        check_same_options(tmp_path, {**options, "seed": 2})
    assert f"--resume_path {tmp_path}/last.ckpt" in str(error.value)
    with pytest.raises(ValueError, match="--crop_scale"):
        check_same_options(tmp_path, {**options, "crop_scale": [0.5, 1.0]})
