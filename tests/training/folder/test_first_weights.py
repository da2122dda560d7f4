"""The record of the weights that a training started from."""

from core.files import sha256_of, write_json
from training.folder.first_weights import START, fingerprint_start, read_start


def test_files_of_one_name_stay_apart(tmp_path):
    """A base and a control branch may both be called `model.safetensors`."""
    paths = [tmp_path / folder / "model.safetensors" for folder in ("base", "branch")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(path.parent.name)
    write_json(tmp_path / START, fingerprint_start(paths))
    assert read_start(tmp_path) == {
        "base/model.safetensors": sha256_of(paths[0]),
        "branch/model.safetensors": sha256_of(paths[1]),
    }
    assert list(fingerprint_start(paths[:1])["weights"]) == ["model.safetensors"]
