"""Grain on the images of a run."""

import hashlib
import io
import shutil

import numpy as np
import pytest
from PIL import Image

import generate
from cldm.first_values import first_values
from cldm.model import load_autoencoder
from core.files import write_json
from core.recording.records import DATA
from core.weights.checkpoints import load_state_dict, save_weights
from tests.generated import manifest, pictures
from tests.microscope.test_grain import grain_of


@pytest.fixture
def grain(tmp_path):
    """File of a strong grain."""
    write_json(tmp_path / "grain.json", grain_of(strength=0.08).model_dump())
    return tmp_path / "grain.json"


def levels(content):
    return np.asarray(Image.open(io.BytesIO(content))).astype(float)


def test_each_picture_has_its_own_grain_in_any_batch_or_shard(run, grain):
    plain, grained = run(), run("--grain", grain)
    before, after = pictures(plain), pictures(grained)
    differences = [levels(after[name]) - levels(before[name]) for name in before]
    assert all(10 < difference.std() < 40 for difference in differences)
    first, second = (difference.ravel() for difference in differences[:2])
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1
    part = ["--num_shards", 2, "--shard_index", 1, "--batch_size_per_inference", 3]
    shard = pictures(run("--grain", grain, "--run_id", "set", *part, output="shards"))
    assert len(shard) == 3 and shard == {name: after[name] for name in shard}
    # The run without grain says nothing of it, and goes on without.
    line = manifest(plain)[0]
    assert "grain" not in line["options"] | line["weights"]
    with pytest.raises(ValueError, match="--grain differs from the run"):
        run("--resume_run", plain, "--grain", grain, masks=None)


def test_a_run_records_its_grain_and_goes_on_with_no_other(run, grain):
    folder = run("--grain", grain)
    before, line = pictures(folder), manifest(folder)[0]
    assert line["options"]["grain"] == str(grain)
    assert line["weights"]["grain"] == hashlib.sha256(grain.read_bytes()).hexdigest()
    (folder / "images" / "image_cond4_batch1_sample0.png").unlink()
    run("--resume_run", folder, masks=None)
    assert pictures(folder) == before
    with pytest.raises(ValueError, match="--grain differs from the run"):
        run("--resume_run", folder, "--grain", "other.json", masks=None)
    write_json(grain, grain_of(strength=0.01).model_dump())
    with pytest.raises(ValueError, match=r"the weights are not those .* \(of grain; gone"):
        run("--resume_run", folder, masks=None)


def test_grain_of_the_own_autoencoder_is_added(run, grain, micro_weights):
    own = grain_of()
    own.autoencoder = first_values(load_autoencoder(micro_weights)).tolist()
    write_json(grain, own.model_dump())
    assert len(pictures(run("--grain", grain))) == 6


def test_wrong_files_are_refused_before_the_model_loads(
    grain, pairs, micro_yaml, micro_weights, tmp_path, error_line
):
    words = ["--config_yaml_path", micro_yaml, "--model_weights_path", micro_weights]
    words += ["--mask_dir", pairs / "masks", "--output_base_dir", tmp_path / "out"]

    def refused(*options):
        line = error_line(generate.main, *words, *options)
        assert not (tmp_path / "out").exists()
        return line

    other = grain_of()
    other.pixel_size_nm, other.autoencoder = None, [0.5] * 9
    (pairs / "masks" / "volume.json").write_text('{"pixel_size_nm": [8, 8]}')
    assert "grain.json: was measured on pixels of 4.6 nm, but the images have pixels of 8 nm" in (
        refused("--grain", grain)
    )
    # Where the masks have no pixel size, the images have that of the training.
    (pairs / "masks" / "volume.json").unlink()
    write_json(tmp_path / DATA, {"pixel_size_nm": [8, 8]})
    trained = shutil.copy(micro_weights, tmp_path)
    assert "images of the training have pixels of 8 nm" in (
        refused("--model_weights_path", trained, "--grain", grain)
    )
    write_json(grain, other.model_dump())
    assert "was measured with another autoencoder than that of" in refused("--grain", grain)
    # Of a file without an autoencoder, that is what must be told.
    tensors = load_state_dict(micro_weights)
    bare = {key: tensors[key] for key in tensors if not key.startswith("first_stage_model.")}
    save_weights(bare, tmp_path / "bare.safetensors")
    line = refused("--base_weights_path", tmp_path / "bare.safetensors", "--grain", grain)
    assert "first_stage_model.encoder" in line and "another autoencoder" not in line
    assert "none.json" in refused("--grain", "none.json")
    assert "damaged or edited" in refused("--grain", micro_yaml)
