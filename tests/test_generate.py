import json

import numpy as np
import pytest
from PIL import Image

import generate
from cldm.model import load_state_dict, save_weights, subset
from dataset import PROMPTS, find_pairs
from ldm.data.files import read_labels, write_png


@pytest.fixture
def run(micro_yaml, micro_weights, pairs, tmp_path):
    """Function that generates with further options and returns the run folder."""

    def run(*options, masks=pairs / "masks", output="out"):
        common = ["--config_yaml_path", micro_yaml, "--model_weights_path", micro_weights, "--mask_dir", masks, "--output_base_dir", tmp_path / output]
        fast = ["--ddim_steps", 2, "--seed", 7, "--device", "cpu"]
        before = set((tmp_path / output).glob("run_*"))
        generate.main([str(word) for word in [*common, *fast, *options]])
        (folder,) = set((tmp_path / output).glob("run_*")) - before
        return folder

    return run


def pictures(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "images").iterdir())}


def test_outputs_have_the_published_names(run, pairs):
    folder = run("--n_augmentations_per_mask", 2)
    names = [f"cond{i}_batch{b}_sample0.png" for i in range(6) for b in range(2)]
    assert sorted(pictures(folder)) == sorted(f"image_{name}" for name in names)
    assert sorted(path.name for path in (folder / "conditions" / "mask").iterdir()) == sorted(f"mask_{name}" for name in names)
    assert np.array_equal(read_labels(folder / "masks" / "image_cond3_batch1_sample0.png"), read_labels(pairs / "masks" / "cell_3.png"))
    assert len(find_pairs(folder / "images", folder / "masks")) == 12  # trains a segmenter as it is


def test_state_tells_where_each_picture_comes_from(run, pairs):
    folder = run("--n_augmentations_per_mask", 2)
    state = json.loads((folder / "generate_state.json").read_text())
    assert {"args", "condition_paths", "primary_condition_key", "mask_paths", "condition_records", "config", "saved_at"} <= set(state)
    assert state["primary_condition_key"] == "mask" and state["args"]["seed"] == 7
    record = state["condition_records"][3]
    assert record["image"] == "image_cond1_batch1_sample0.png" and record["mask"] == str(pairs / "masks" / "cell_1.png")
    assert record["prompt"] in PROMPTS
    assert len({record["seed"] for record in state["condition_records"]}) == 12


def test_pictures_do_not_depend_on_batch_size_or_other_masks(run, pairs, tmp_path):
    one = pictures(run("--n_augmentations_per_mask", 2))
    assert pictures(run("--n_augmentations_per_mask", 2, "--batch_size_per_inference", 5)) == one
    assert len(set(one.values())) == 12  # copies of a mask differ, masks do not share their noise
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "cell_4.png").write_bytes((pairs / "masks" / "cell_4.png").read_bytes())
    alone = pictures(run(masks=tmp_path / "few"))
    assert alone["image_cond0_batch0_sample0.png"] == one["image_cond4_batch0_sample0.png"]


def test_seed_and_strength_change_the_picture(run):
    reference = pictures(run())
    assert pictures(run()) == reference
    for change in (("--seed", 8), ("--strength", 0), ("--scale", 1), ("--eta", 0), ("--guess_mode",), ("--sampler", "dpmpp")):
        assert pictures(run(*change)) != reference


def test_run_without_a_seed_records_the_one_it_drew(run):
    folder = run("--seed", -1)
    seed = json.loads((folder / "generate_state.json").read_text())["args"]["seed"]
    assert seed >= 0
    assert pictures(run("--seed", seed)) == pictures(folder)


def test_batches_mix_masks_of_equal_size_only():
    samples = [generate.Sample(i, 0, None, size, "", i) for i, size in enumerate([(64, 64), (32, 64), (64, 64), (64, 64), (32, 64)])]
    batches = generate.make_batches(samples, 2)
    assert sorted(sample.condition for batch in batches for sample in batch) == [0, 1, 2, 3, 4]
    assert all(len({sample.size for sample in batch}) == 1 and len(batch) <= 2 for batch in batches)
    assert len(batches) == 3


def test_any_size_with_pad_else_an_error(run, tmp_path, error_line):
    (tmp_path / "odd").mkdir()
    write_png(tmp_path / "odd" / "m.png", np.zeros((50, 70), np.uint8))
    folder = run("--pad", masks=tmp_path / "odd")
    assert Image.open(folder / "images" / "image_cond0_batch0_sample0.png").size == (70, 50)
    with pytest.raises(ValueError, match=r"m.png: 70 x 50 pixels, expected multiples of 16.*--pad"):
        run(masks=tmp_path / "odd")


def test_control_only_weights_need_their_base(run, micro_weights, tmp_path):
    control = tmp_path / "control.safetensors"
    save_weights(subset(load_state_dict(micro_weights), ["control_model."]), control)
    with pytest.raises(ValueError, match="control.safetensors: holds no Stable Diffusion weights.*--base_weights_path"):
        run("--model_weights_path", control)
    assert pictures(run("--mask_model_path", control, "--base_weights_path", micro_weights)) == pictures(run())


def test_interruption_leaves_whole_files_only(run, monkeypatch, tmp_path):
    real, calls = generate.sample_images, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(generate, "sample_images", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run()
    (folder,) = (tmp_path / "out").iterdir()
    assert sorted(pictures(folder)) == ["image_cond0_batch0_sample0.png", "image_cond1_batch0_sample0.png"]
    for path in folder.rglob("*.png"):
        Image.open(path).load()
    assert not [path for path in folder.rglob(".*")]


def test_bad_input_is_one_line_before_the_model_loads(micro_yaml, micro_weights, pairs, tmp_path, error_line, monkeypatch):
    monkeypatch.setattr(generate, "create_model", lambda *_: pytest.fail("loaded"))
    common = ["--config_yaml_path", micro_yaml, "--output_base_dir", tmp_path / "out", "--device", "cpu"]
    masks = ["--mask_dir", pairs / "masks"]
    weights = ["--model_weights_path", micro_weights]
    assert "none: no such folder" in error_line(generate.main, *common, *weights, "--mask_dir", tmp_path / "none")
    assert "none.ckpt: no such checkpoint" in error_line(generate.main, *common, *masks, "--model_weights_path", tmp_path / "none.ckpt")
    assert "--ddim_steps" in error_line(generate.main, *common, *masks, *weights, "--ddim_steps", 0)
    assert "none.yaml: no such configuration" in error_line(generate.main, *masks, *weights, "--config_yaml_path", tmp_path / "none.yaml")
    write_png(pairs / "masks" / "cell_9.png", np.full((64, 64), 127, np.uint8))
    assert "cell_9.png: found value(s) 127" in error_line(generate.main, *common, *masks, *weights)
    assert not (tmp_path / "out").exists()
