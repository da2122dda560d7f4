"""Sets that several processes make, or one after an interruption."""

import json
import os
import signal

import pytest
import torch
from PIL import Image

import generate
from core.files import write_json
from core.imaging.known_sizes import VOLUME
from core.recording.records import RECORD, write_run_record
from core.weights.checkpoints import load_state_dict, save_weights
from generation import making
from generation.drawing import loop, model
from generation.folder.run_folder import lock_images
from tests.generated import manifest, pictures


def test_any_sharding_or_interruption_gives_the_same_set(run, tmp_path, monkeypatch):
    """Pictures, masks, conditions and manifest, byte by byte."""
    whole = run("--n_augmentations_per_mask", 3)

    def files(folder):
        return {
            path.relative_to(folder): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.suffix in (".png", ".jsonl")
        }

    options = ["--n_augmentations_per_mask", 3, "--run_id", "set"]

    def shard(i, *more):
        return run(*options, "--num_shards", 3, "--shard_index", i, *more, output="shards")

    folder = shard(2)
    assert len(pictures(folder)) == 6
    real, calls = loop.sample_images, []

    def interrupted(*arguments, **keywords):
        calls.append(len(arguments[2]))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **keywords)

    monkeypatch.setattr(loop, "sample_images", interrupted)
    base = ["--output_base_dir", tmp_path / "shards"]
    with pytest.raises(KeyboardInterrupt):
        generate.main(["--resume_run", str(folder), "--batch_size_per_inference", "4"])
    assert calls == [4, 4] and len(pictures(folder)) == 10 and len(manifest(folder)) == 10
    monkeypatch.setattr(loop, "sample_images", real)
    generate.main([str(word) for word in ["--resume_run", folder, *base]])
    assert files(folder) == files(whole)


def test_a_joint_run_says_so_and_is_resumed_as_one(run, monkeypatch):
    folder = run("--joint", "--batch_size_per_inference", 3)
    assert all(line["options"]["joint"] is True for line in manifest(folder))
    before = pictures(folder)
    (folder / "images" / "image_cond4_batch1_sample0.png").unlink()
    with pytest.raises(ValueError, match=r"--joint differs from the run .* \(True\)"):
        run("--resume_run", folder, "--no-joint", masks=None)
    run("--resume_run", folder, masks=None)
    assert pictures(folder).keys() == before.keys()


def test_interruption_leaves_whole_files_only(run, monkeypatch, tmp_path):
    real, calls = loop.sample_images, []

    def interrupted(*arguments, **keywords):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **keywords)

    monkeypatch.setattr(loop, "sample_images", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run()
    (folder,) = (tmp_path / "out").iterdir()
    assert sorted(pictures(folder)) == [f"image_cond{i}_batch1_sample0.png" for i in range(2)]
    for path in folder.rglob("*.png"):
        Image.open(path).load()
    assert not [path for path in folder.rglob(".*")]


def test_a_stop_request_ends_after_the_batch_in_hand(run, monkeypatch, tmp_path):
    real = loop.sample_images

    def signalled(*arguments, **keywords):
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments, **keywords)

    monkeypatch.setattr(loop, "sample_images", signalled)
    with pytest.raises(KeyboardInterrupt):
        run("--batch_size_per_inference", 2)
    (folder,) = (tmp_path / "out").iterdir()
    assert len(pictures(folder)) == len(manifest(folder)) == 2


def test_nothing_is_made_twice(run, monkeypatch, capsys):
    folder = run("--run_id", "one")
    before = {path: path.stat().st_mtime_ns for path in (folder / "images").iterdir()}
    monkeypatch.setattr(model, "build_model", lambda *_: pytest.fail("loaded"))
    generate.main(["--resume_run", str(folder)])
    assert {path: path.stat().st_mtime_ns for path in (folder / "images").iterdir()} == before
    assert "6 there already" in capsys.readouterr().out


def test_leftovers_of_killed_processes_go_when_the_set_is_complete(run):
    folder = run()
    picture = folder / "images" / "image_cond4_batch1_sample0.png"
    leftovers = [
        folder / name / ".image_cond1.x1.tmp.png" for name in ("images", "masks", "conditions/mask")
    ]
    for path in leftovers:
        path.touch()
    with lock_images(folder):  # another process
        generate.main(["--resume_run", str(folder)])
    assert all(path.exists() for path in leftovers)
    picture.unlink()
    generate.main(["--resume_run", str(folder)])
    assert picture.exists() and not any(path.exists() for path in leftovers)


def test_a_lost_picture_is_made_again(run):
    folder = run()
    before = pictures(folder)
    (folder / "images" / "image_cond4_batch1_sample0.png").unlink()
    generate.main(["--resume_run", str(folder)])
    assert pictures(folder) == before


def test_damaged_pictures_are_made_again_and_exported(run, tmp_path, capsys):
    folder = run()
    before, lines = pictures(folder), manifest(folder)
    names = [f"image_cond{i}_batch1_sample0.png" for i in range(6)]
    (folder / "images" / names[1]).write_bytes(b"")
    (folder / "images" / names[4]).write_bytes(before[names[3]])
    masks = {name: (folder / "masks" / name).read_bytes() for name in names}
    (folder / "masks" / names[2]).unlink()
    (folder / "masks" / names[5]).write_bytes(masks[names[0]])
    capsys.readouterr()
    generate.main(["--resume_run", str(folder), "--dry_run"])
    printed = capsys.readouterr().out
    assert f"4 images are damaged and are made again, the first: {folder}" in printed
    assert "2 there already" in printed and (folder / "images" / names[1]).read_bytes() == b""
    words = ["--resume_run", folder, "--export_dataset", tmp_path / "set"]
    generate.main([str(word) for word in words])
    assert pictures(folder) == before and manifest(folder) == lines
    assert {name: (folder / "masks" / name).read_bytes() for name in names} == masks
    exported = {path.name: path.read_bytes() for path in (tmp_path / "set" / "images").iterdir()}
    assert exported == {name.replace("image_", "synth_"): data for name, data in before.items()}


def test_weights_that_are_overwritten_while_images_are_drawn(
    run, micro_weights, tmp_path, monkeypatch
):
    """In place, as `cp` does: the model draws with what its mapped file holds."""
    copy = tmp_path / "weights.safetensors"
    copy.write_bytes(micro_weights.read_bytes())
    real, before = loop.sample_images, copy.read_bytes()

    def overwritten(*arguments, **keywords):
        with open(copy, "r+b") as file:
            file.seek(-4, os.SEEK_END)
            file.write(b"1234")
        return real(*arguments, **keywords)

    reference = pictures(run("--run_id", "reference"))
    monkeypatch.setattr(loop, "sample_images", overwritten)
    with pytest.raises(RuntimeError, match="was overwritten while images were drawn"):
        run("--model_weights_path", copy, "--run_id", "x")
    folder = tmp_path / "out" / "run_x"
    assert [line["weights_changed"] for line in manifest(folder)] == [[str(copy)]] * 6
    monkeypatch.setattr(loop, "sample_images", real)
    with pytest.raises(ValueError, match="the weights are not those"):
        generate.main(["--resume_run", str(folder)])
    copy.write_bytes(before)
    generate.main(["--resume_run", str(folder)])
    assert pictures(folder) == reference
    assert not any("weights_changed" in line for line in manifest(folder))


def test_weights_that_change_while_they_are_read(run, micro_weights, tmp_path, monkeypatch):
    copy = tmp_path / "weights.safetensors"
    copy.write_bytes(micro_weights.read_bytes())
    monkeypatch.setattr(making, "load_model", lambda *_: copy.write_bytes(b"1"))
    with pytest.raises(RuntimeError, match="weights.safetensors: has changed while it was read"):
        run("--model_weights_path", copy)
    assert not (tmp_path / "out").exists()


def test_a_task_of_a_slurm_array_finds_its_part(monkeypatch):
    for name, value in {"TASK_ID": 2, "TASK_COUNT": 4, "JOB_ID": 31}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_{name}", str(value))
    words = ["--mask_dir", "m", "--device", "cpu"]
    settings = generate.parse_args(words)
    assert settings.shard == (2, 4) and settings.run_name == "slurm_31"


def test_another_run_is_not_joined(run, pairs, tmp_path, error_line):
    folder = run("--run_id", "one")
    with pytest.raises(ValueError, match=r"was started with another --strength \(2.0\)"):
        run("--run_id", "one", "--strength", 1)

    def refused(*words):
        return error_line(generate.main, *words)

    changed = refused("--resume_run", folder, "--strength", 1)
    assert "--strength differs from the run that --resume_run names (2.0)" in changed
    assert "none/args.json: not there" in refused("--resume_run", tmp_path / "none")
    (pairs / "masks" / "cell_9.png").write_bytes((pairs / "masks" / "cell_0.png").read_bytes())
    assert "condition files are not those" in refused("--resume_run", folder)
    (pairs / "masks" / "cell_9.png").unlink()
    shards = ("--mask_dir", pairs / "masks", "--num_shards", 2, "--shard_index")
    assert "--run_id is needed with --num_shards" in refused(*shards, 0)
    assert "--shard_index 2: expected 0..1" in refused(*shards, 2)


@pytest.mark.parametrize("words", [(), ("--pixel_size", 8)])
def test_a_run_whose_masks_have_another_pixel_size_now_does_not_go_on(
    run, pairs, error_line, words
):
    sizes = pairs / "masks" / VOLUME
    write_json(sizes, {"pixel_size_nm": [8, 8]})
    folder = run(*words)
    before, lines = pictures(folder), manifest(folder)
    (folder / "images" / "image_cond4_batch1_sample0.png").unlink()
    write_json(sizes, {"pixel_size_nm": [16, 16]})
    line = error_line(generate.main, "--resume_run", folder)
    assert "the pixel size of mask was changed from 8 nm to 16 nm" in line
    assert manifest(folder) == lines
    write_json(sizes, {"pixel_size_nm": [8, 8]})
    generate.main(["--resume_run", str(folder)])
    assert pictures(folder) == before


@pytest.mark.parametrize(
    ("name", "value", "before"), [("ddim_steps", 3, 2), ("seed", 8, 7), ("pad", True, False)]
)
def test_an_edited_option_of_the_record_does_not_mix_images(run, error_line, name, value, before):
    folder = run()
    lines, record = manifest(folder), json.loads((folder / RECORD).read_text())
    (folder / "images" / "image_cond4_batch1_sample0.png").unlink()
    record["args"][name] = value
    (folder / RECORD).write_text(json.dumps(record))
    line = error_line(generate.main, "--resume_run", folder)
    assert f"{folder / RECORD}: edited" in line and f"another --{name} ({before})" in line
    assert manifest(folder) == lines


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("--mask_dir {pairs}/masks", "model_weights_path"),
        ("--branches m=segmentation:{pairs}/masks --branch_weights m={weights}", "branch_weights"),
        ("--edge_dir {pairs}/outline --edge_model_path {weights}", "edge_model_path"),
        ("--edge_dirs o={pairs}/outline --edge_model_paths o={weights}", "edge_model_paths"),
    ],
)
def test_a_run_whose_weights_have_moved_goes_on(
    run, edges, micro_weights, tmp_path, error_line, words, option
):
    words = words.format(pairs=edges, weights=micro_weights).split()
    folder, moved = run(*words, masks=None), tmp_path / "moved.safetensors"
    before = pictures(folder)
    record = json.loads((folder / RECORD).read_text())
    value = json.dumps(record["args"][option]).replace(str(micro_weights), str(moved))
    record["args"][option] = json.loads(value)
    (folder / RECORD).write_text(json.dumps(record))
    (folder / "images" / "image_cond4_batch1_sample0.png").unlink()
    weights = load_state_dict(micro_weights)
    save_weights(weights | {"logvar": torch.ones(3)}, moved)
    line = error_line(generate.main, "--resume_run", folder)
    assert "generate_state.json: the weights are not those that the run was started with" in line
    moved.write_bytes(micro_weights.read_bytes())
    generate.main(["--resume_run", str(folder)])
    assert pictures(folder) == before


@pytest.mark.parametrize(
    "name", ["mask_dir", "model_weights_path", "config_yaml_path", "prompts_file", "grain"]
)
@pytest.mark.parametrize("value", [3, "/proc"])
def test_an_edited_path_of_the_record_is_blamed_on_the_record(
    pairs, micro_yaml, micro_weights, tmp_path, error_line, name, value
):
    words = ["--config_yaml_path", micro_yaml, "--model_weights_path", micro_weights]
    words += ["--mask_dir", pairs / "masks", "--device", "cpu"]
    values = generate.parse_args(map(str, words)).values
    folder = tmp_path / "run"
    folder.mkdir()
    write_run_record(folder / RECORD, values | {name: value}, "generation")
    line = error_line(generate.main, "--resume_run", folder, "--dry_run")
    assert f"{value}: " in line and line.endswith(f"(with the options in {folder}/args.json)")


def test_a_run_whose_record_lacks_newer_options_is_resumed(run):
    folder = run()
    reference = pictures(folder)
    for name in ("args.json", "generate_state.json"):
        record = json.loads((folder / name).read_text())
        for option in [*record["args"]]:
            if option.startswith(("branch", "membrane", "options_file", "dry_run")):
                del record["args"][option]
        record.pop("has_masks", None)
        (folder / name).write_text(json.dumps(record))
    (folder / "images" / "image_cond2_batch1_sample0.png").unlink()
    generate.main(["--resume_run", str(folder)])
    assert pictures(folder) == reference


def test_changed_weights_are_noticed(run, micro_weights, tmp_path):
    copy = tmp_path / "weights.safetensors"
    copy.write_bytes(micro_weights.read_bytes())
    folder = run("--model_weights_path", copy)
    state_dict = load_state_dict(copy)
    key = next(key for key in state_dict if key.startswith("control_model."))
    save_weights({**state_dict, key: state_dict[key] + 1}, copy)
    with pytest.raises(ValueError, match="the weights are not those"):
        generate.main(["--resume_run", str(folder)])
