"""What a run makes of masks, and what decides how images look."""

import hashlib
import json
import time

import numpy as np
import pytest
import torch
from PIL import Image

import generate
from cldm.controlnet import ControlledDiffusionModel
from conditions.pairs import find_pairs
from core.files import write_json
from core.imaging.images import image_size, write_png
from core.imaging.known_sizes import VOLUME, pixel_size_of_folder
from core.imaging.labels import read_labels
from core.notices import Notice
from core.prompts import PROMPTS
from core.weights.checkpoints import load_state_dict, save_weights, subset
from generation.drawing import model
from generation.planning import inputs
from runs.status import generation_statuses
from segmentation.network import build_segmenter, save_segmenter
from tests.generated import manifest, pictures


def test_outputs_have_the_published_names(run, pairs):
    folder = run("--n_augmentations_per_mask", 2)
    names = [f"cond{i}_batch{b}_sample0.png" for i in range(6) for b in (1, 2)]
    assert sorted(pictures(folder)) == sorted(f"image_{name}" for name in names)
    assert sorted(path.name for path in (folder / "conditions" / "mask").iterdir()) == sorted(
        f"mask_{name}" for name in names
    )
    assert np.array_equal(
        read_labels(folder / "masks" / "image_cond3_batch2_sample0.png"),
        read_labels(pairs / "masks" / "cell_3.png"),
    )
    assert len(find_pairs(folder / "images", folder / "masks")) == 12  # trains a segmenter as it is


def test_state_and_manifest_tell_where_each_picture_comes_from(run, pairs, micro_weights):
    folder = run("--n_augmentations_per_mask", 2)
    state = json.loads((folder / "generate_state.json").read_text())
    keys = "args condition_paths primary_condition_key mask_paths condition_records config saved_at"
    assert set(keys.split()) <= set(state)
    assert state["primary_condition_key"] == "mask" and state["args"]["seed"] == 7
    assert state["condition_records"][1] == {
        "condition": 1,
        "files": {"mask": str(pairs / "masks" / "cell_1.png")},
    }
    lines = manifest(folder)
    assert [line["image"] for line in lines] == [
        f"images/image_cond{i}_batch{b}_sample0.png" for i in range(6) for b in (1, 2)
    ]
    assert lines[3]["sources"] == {"mask": str(pairs / "masks" / "cell_1.png")}
    assert lines[3]["prompt"] in PROMPTS
    assert lines[3]["weights"] == {"mask": hashlib.sha256(micro_weights.read_bytes()).hexdigest()}
    assert len({line["seed"] for line in lines}) == 12
    for line in lines:
        for path in (line["image"], line["mask"], *line["conditions"].values()):
            assert (folder / path).is_file()


def test_images_begin_with_real_ones(run, pairs):
    """By turns a ratio of 0.5 and of 1; the latter gives the images that noise alone gives."""
    words = ("--n_augmentations_per_mask", 2, "--image_path", pairs / "images")
    folder = run(*words, "--encode_ratio", 0.5, 1, "--batch_size_per_inference", 3)
    plain = pictures(run("--n_augmentations_per_mask", 2, output="plain"))
    found = pictures(folder)
    for name, content in found.items():
        assert (content == plain[name]) == ("batch2" in name), name
    lines = manifest(folder)
    assert [line["options"]["encode_ratio"] for line in lines[:2]] == [0.5, 1.0]
    assert lines[2]["options"]["encoded_image"] == str(pairs / "images" / "cell_1.png")
    # Another batch size, resumed after a loss: the same bytes.
    lost = folder / "images" / "image_cond4_batch1_sample0.png"
    lost.unlink()
    run("--resume_run", folder, masks=None)
    assert pictures(folder) == found
    # With another image in place of one, the run is no longer this one.
    write_png(pairs / "images" / "cell_4.png", np.zeros((64, 64), np.uint8))
    lost.unlink()
    with pytest.raises(ValueError, match=r"another content .*cell_4.png"):
        run("--resume_run", folder, masks=None)


def test_the_gate_draws_again_marks_pixels_and_survives_a_loss(run, pairs, tmp_path):
    """An untrained segmenter agrees with nothing: every image is drawn three times."""
    torch.manual_seed(0)
    segmenter = tmp_path / "seg.ckpt"
    save_segmenter(segmenter, build_segmenter(3), {})
    words = ["--gate_segmenter", segmenter, "--min_agreement", 0.99, "--max_redraws", 2]
    words += ["--ignore_ratio", 1, "--gate_pairs", pairs / "images", pairs / "masks"]
    folder = run(*words, "--batch_size_per_inference", 4)
    lines, before = manifest(folder), pictures(folder)
    plain = run(output="plain")
    for line, other in zip(lines, manifest(plain), strict=True):
        same = (folder / line["image"]).read_bytes() == (plain / line["image"]).read_bytes()
        assert same == (line["redraw"] == 0) == (line["seed"] == other["seed"])
    assert {line["redraw"] for line in lines} > {0}  # the first drawing is the best of some
    masks = [read_labels(folder / line["mask"]) for line in lines]
    for mask, line in zip(masks, lines, strict=True):
        assert (mask == 255).mean() == pytest.approx(line["ignored_share"])
    assert any((mask == 255).any() for mask in masks)
    # The picture whose line was lost with its process is made again, the same.
    text = (folder / "manifest.jsonl").read_text().splitlines(keepends=True)
    (folder / "manifest.jsonl").write_text("".join(text[:-1]))
    run("--resume_run", folder, masks=None)
    assert pictures(folder) == before and manifest(folder) == lines
    # An export keeps the marks, in nnU-Net's way under a number of their own.
    export = tmp_path / "Dataset501_Cells"
    layout = ["--export_dataset", export, "--export_layout", "nnunet"]
    run("--resume_run", folder, *layout, "--class_names", "background", "a", "b", masks=None)
    assert json.loads((export / "dataset.json").read_text())["labels"]["ignore"] == 3
    with pytest.raises(ValueError, match="weights are not those"):
        save_segmenter(segmenter, build_segmenter(3), {}, overwrite=True)
        run("--resume_run", folder, masks=None)


def test_masks_that_the_gate_ignores_altogether_are_warned_of(run, pairs, tmp_path):
    segmenter = tmp_path / "seg.ckpt"
    save_segmenter(segmenter, build_segmenter(3), {})
    words = ["--gate_segmenter", segmenter, "--ignore_ratio", 1e-6]
    words += ["--gate_pairs", pairs / "images", pairs / "masks"]
    with pytest.warns(Notice, match="image_cond0_batch1_sample0.png: all .* in 6 of 6 masks"):
        run(*words)


def test_hard_masks_get_more_images(run, pairs, tmp_path):
    """Each image is the one of an even run; another segmenter's numbers are not mixed in."""
    torch.manual_seed(0)
    segmenter = tmp_path / "seg.ckpt"
    save_segmenter(segmenter, build_segmenter(3), {})
    words = ["--gate_segmenter", segmenter, "--gate_pairs", pairs / "images", pairs / "masks"]
    folder = run(*words, "--resample", "--n_augmentations_per_mask", 3)
    copies = json.loads((folder / "generate_state.json").read_text())["copies"]
    number = len(list((pairs / "masks").iterdir()))
    assert len(copies) == number and min(copies) == 1 and max(copies) == 3
    found = pictures(folder)
    assert len(found) == sum(copies) < 3 * number
    even = pictures(run("--n_augmentations_per_mask", 3, output="even"))
    assert found.items() <= even.items()
    (status,) = generation_statuses(folder, time.time(), 60)
    assert (status.done, status.planned) == (sum(copies), sum(copies))
    # The images that are lost are made again, and nothing else
    lost = folder / "images" / sorted(found)[0]
    lost.unlink()
    run("--resume_run", folder, masks=None)
    assert pictures(folder) == found
    state = json.loads((folder / "generate_state.json").read_text())
    state["copies"] = copies[::-1]
    (folder / "generate_state.json").write_text(json.dumps(state))
    with pytest.raises(ValueError, match="numbers of images are not .* --resample"):
        run("--resume_run", folder, masks=None)


def test_a_picture_that_is_not_finite_stops_the_run_unwritten(run, monkeypatch, tmp_path):
    """The pictures before it stay, and the run can be resumed."""
    whole = ControlledDiffusionModel.decode_first_stage
    calls = []

    def third_is_nan(self, z):
        calls.append(z)
        return whole(self, z * torch.nan if len(calls) == 3 else z)

    monkeypatch.setattr(ControlledDiffusionModel, "decode_first_stage", third_is_nan)
    name = r"images/image_cond2_batch1_sample0.png: not written.*NaN.*--scale"
    with pytest.raises(RuntimeError, match=name):
        run()
    (folder,) = (tmp_path / "out").glob("run_*")
    before = pictures(folder)
    assert len(before) == 2 and not any("cond2" in path.name for path in folder.rglob("*.png"))
    run("--resume_run", folder)
    after = pictures(folder)
    assert len(after) == 6 and before.items() <= after.items()
    assert after == pictures(run())


def test_pictures_do_not_depend_on_batch_size_or_other_masks(run, pairs, tmp_path):
    one = pictures(run("--n_augmentations_per_mask", 2))
    assert pictures(run("--n_augmentations_per_mask", 2, "--batch_size_per_inference", 5)) == one
    assert len(set(one.values())) == 12  # copies of a mask differ, masks do not share their noise
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "cell_4.png").write_bytes((pairs / "masks" / "cell_4.png").read_bytes())
    alone = pictures(run(masks=tmp_path / "few"))
    assert alone["image_cond0_batch1_sample0.png"] == one["image_cond4_batch1_sample0.png"]


def test_seed_and_strength_change_the_picture(run):
    reference = pictures(run())
    assert pictures(run()) == reference
    for change in (
        ("--seed", 8),
        ("--strength", 0),
        ("--scale", 1),
        ("--eta", 0),
        ("--guess_mode",),
        ("--sampler", "dpmpp"),
    ):
        assert pictures(run(*change)) != reference


def test_saving_memory_changes_no_picture(run, monkeypatch):
    folder = run("--save_memory")
    assert json.loads((folder / "args.json").read_text())["args"]["save_memory"] is True
    assert pictures(folder) == pictures(run())
    shifts = []
    monkeypatch.setattr(
        ControlledDiffusionModel,
        "low_vram_shift",
        lambda self, is_diffusing: shifts.append(is_diffusing),
    )
    run("--save_memory", "--batch_size_per_inference", 6)
    # On a CPU images are computed one at a time; texts follow where the decoder was.
    assert shifts == [False, *[True, False] * 6]
    run("--no-save_memory")
    assert len(shifts) == 13


def test_run_without_a_seed_records_the_one_it_drew(run):
    folder = run("--seed", -1)
    seed = json.loads((folder / "generate_state.json").read_text())["args"]["seed"]
    assert seed >= 0
    assert pictures(run("--seed", seed)) == pictures(folder)


def test_any_size_with_pad_else_an_error(run, tmp_path):
    (tmp_path / "odd").mkdir()
    write_png(tmp_path / "odd" / "m.png", np.zeros((50, 70), np.uint8))
    folder = run("--pad", masks=tmp_path / "odd")
    assert Image.open(folder / "images" / "image_cond0_batch1_sample0.png").size == (70, 50)
    with pytest.raises(ValueError, match=r"m.png: 70 x 50 pixels, expected multiples of 16.*--pad"):
        run(masks=tmp_path / "odd")


def test_control_only_weights_need_their_base(run, micro_weights, tmp_path):
    control = tmp_path / "control.safetensors"
    save_weights(subset(load_state_dict(micro_weights), ["control_model."]), control)
    with pytest.raises(ValueError, match="control.safetensors: holds no Stable Diffusion weights"):
        run("--model_weights_path", control)
    apart = run("--mask_model_path", control, "--base_weights_path", micro_weights)
    assert pictures(apart) == pictures(run())


def test_bad_input_is_one_line_before_the_model_loads(
    micro_yaml, micro_weights, pairs, tmp_path, error_line, monkeypatch
):
    monkeypatch.setattr(model, "build_model", lambda *_: pytest.fail("loaded"))
    common = ["--config_yaml_path", micro_yaml, "--output_base_dir", tmp_path / "out"]
    common += ["--device", "cpu"]
    masks = ["--mask_dir", pairs / "masks"]
    weights = ["--model_weights_path", micro_weights]

    def refused(*words):
        return error_line(generate.main, *common, *words)

    assert "none: no such folder" in refused(*weights, "--mask_dir", tmp_path / "none")
    no_weights = refused(*masks, "--model_weights_path", tmp_path / "none.ckpt")
    assert "none.ckpt: no such checkpoint" in no_weights
    assert "--ddim_steps" in refused(*masks, *weights, "--ddim_steps", 0)
    no_config = refused(*masks, *weights, "--config_yaml_path", tmp_path / "none.yaml")
    assert "none.yaml: no such configuration" in no_config
    write_png(pairs / "masks" / "cell_9.png", np.full((64, 64), 127, np.uint8))
    assert "cell_9.png: found value(s) 127" in refused(*masks, *weights)
    assert not (tmp_path / "out").exists()


def test_many_conditions_are_checked_in_several_processes(
    micro_yaml, micro_weights, pairs, error_line, monkeypatch
):
    monkeypatch.setattr(inputs, "CHECKED_BY_ONE", 2)
    monkeypatch.setattr(inputs.os, "sched_getaffinity", lambda pid: {0, 1})
    write_png(pairs / "masks" / "cell_4.png", np.full((64, 64), 9, np.uint8))
    words = ["--config_yaml_path", micro_yaml, "--model_weights_path", micro_weights]
    words += ["--mask_dir", pairs / "masks", "--device", "cpu"]
    message = f"{pairs / 'masks' / 'cell_4.png'}: found value(s) 9"
    assert message in error_line(generate.main, *words)


def test_masks_are_resampled_to_the_pixel_size_of_the_training(run, pairs, tmp_path, error_line):
    words = ("--pixel_size", 8, "--n_augmentations_per_mask", 1)
    line = error_line(lambda _: run(*words), "")
    assert "--pixel_size: " in line and "volume.json" in line and not (tmp_path / "out").exists()
    masks = pairs / "masks"
    write_json(masks / VOLUME, {"pixel_size_nm": [16, 16]})
    folder = run(*words)
    first = manifest(folder)[0]
    assert first["pixel_size_nm"] == [8, 8] and pixel_size_of_folder(folder / "images") == (8, 8)
    twice = read_labels(masks / "cell_0.png").repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(read_labels(folder / first["mask"]), twice)
    assert image_size(folder / first["image"]) == (128, 128)
    refused = ("--encode_ratio", 0.5, "--image_path", pairs / "images")
    assert "--encode_ratio" in error_line(lambda _: run(*words, *refused), "")
