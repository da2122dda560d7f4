import hashlib
import json
import os
import signal

import numpy as np
import pytest
from PIL import Image

import generate
from annotator.canny import CannyDetector
from annotator.registry import DETECTORS
from core.checkpoints import load_state_dict, save_weights, subset
from core.images import read_labels, write_png
from core.prompts import PROMPTS
from dataset import find_pairs
from generation import drawing, inputs, model
from generation.run_folder import lock_images


@pytest.fixture
def run(micro_yaml, micro_weights, pairs, tmp_path):
    """Function that generates with further options and returns the run folder."""

    def run(*options, masks=pairs / "masks", output="out"):
        common = [
            "--config_yaml_path",
            micro_yaml,
            "--model_weights_path",
            micro_weights,
            "--output_base_dir",
            tmp_path / output,
        ]
        common += ["--mask_dir", masks] if masks else []
        fast = ["--ddim_steps", 2, "--seed", 7, "--device", "cpu"]
        before = set((tmp_path / output).glob("run_*"))
        generate.main([str(word) for word in [*common, *fast, *options]])
        (folder,) = set((tmp_path / output).glob("run_*")) - before
        return folder

    return run


def pictures(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "images").iterdir())}


def manifest(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def test_outputs_have_the_published_names(run, pairs):
    folder = run("--n_augmentations_per_mask", 2)
    names = [f"cond{i}_batch{b}_sample0.png" for i in range(6) for b in range(2)]
    assert sorted(pictures(folder)) == sorted(f"image_{name}" for name in names)
    assert sorted(path.name for path in (folder / "conditions" / "mask").iterdir()) == sorted(
        f"mask_{name}" for name in names
    )
    assert np.array_equal(
        read_labels(folder / "masks" / "image_cond3_batch1_sample0.png"),
        read_labels(pairs / "masks" / "cell_3.png"),
    )
    assert len(find_pairs(folder / "images", folder / "masks")) == 12  # trains a segmenter as it is


def test_state_and_manifest_tell_where_each_picture_comes_from(run, pairs, micro_weights):
    folder = run("--n_augmentations_per_mask", 2)
    state = json.loads((folder / "generate_state.json").read_text())
    assert {
        "args",
        "condition_paths",
        "primary_condition_key",
        "mask_paths",
        "condition_records",
        "config",
        "saved_at",
    } <= set(state)
    assert state["primary_condition_key"] == "mask" and state["args"]["seed"] == 7
    assert state["condition_records"][1] == {
        "condition": 1,
        "files": {"mask": str(pairs / "masks" / "cell_1.png")},
    }
    lines = manifest(folder)
    assert [line["image"] for line in lines] == [
        f"images/image_cond{i}_batch{b}_sample0.png" for i in range(6) for b in range(2)
    ]
    assert (
        lines[3]["sources"] == {"mask": str(pairs / "masks" / "cell_1.png")}
        and lines[3]["prompt"] in PROMPTS
    )
    assert lines[3]["weights"] == {"mask": hashlib.sha256(micro_weights.read_bytes()).hexdigest()}
    assert len({line["seed"] for line in lines}) == 12
    for line in lines:
        for path in (line["image"], line["mask"], *line["conditions"].values()):
            assert (folder / path).is_file()


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
    for change in (
        ("--seed", 8),
        ("--strength", 0),
        ("--scale", 1),
        ("--eta", 0),
        ("--guess_mode",),
        ("--sampler", "dpmpp"),
    ):
        assert pictures(run(*change)) != reference


def test_run_without_a_seed_records_the_one_it_drew(run):
    folder = run("--seed", -1)
    seed = json.loads((folder / "generate_state.json").read_text())["args"]["seed"]
    assert seed >= 0
    assert pictures(run("--seed", seed)) == pictures(folder)


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
    with pytest.raises(
        ValueError,
        match="control.safetensors: holds no Stable Diffusion weights.*--base_weights_path",
    ):
        run("--model_weights_path", control)
    assert pictures(
        run("--mask_model_path", control, "--base_weights_path", micro_weights)
    ) == pictures(run())


def test_interruption_leaves_whole_files_only(run, monkeypatch, tmp_path):
    real, calls = drawing.sample_images, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(drawing, "sample_images", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run()
    (folder,) = (tmp_path / "out").iterdir()
    assert sorted(pictures(folder)) == [
        "image_cond0_batch0_sample0.png",
        "image_cond1_batch0_sample0.png",
    ]
    for path in folder.rglob("*.png"):
        Image.open(path).load()
    assert not [path for path in folder.rglob(".*")]


def test_bad_input_is_one_line_before_the_model_loads(
    micro_yaml, micro_weights, pairs, tmp_path, error_line, monkeypatch
):
    monkeypatch.setattr(model, "create_model", lambda *_: pytest.fail("loaded"))
    common = [
        "--config_yaml_path",
        micro_yaml,
        "--output_base_dir",
        tmp_path / "out",
        "--device",
        "cpu",
    ]
    masks = ["--mask_dir", pairs / "masks"]
    weights = ["--model_weights_path", micro_weights]
    assert "none: no such folder" in error_line(
        generate.main, *common, *weights, "--mask_dir", tmp_path / "none"
    )
    assert "none.ckpt: no such checkpoint" in error_line(
        generate.main, *common, *masks, "--model_weights_path", tmp_path / "none.ckpt"
    )
    assert "--ddim_steps" in error_line(generate.main, *common, *masks, *weights, "--ddim_steps", 0)
    assert "none.yaml: no such configuration" in error_line(
        generate.main, *masks, *weights, "--config_yaml_path", tmp_path / "none.yaml"
    )
    write_png(pairs / "masks" / "cell_9.png", np.full((64, 64), 127, np.uint8))
    assert "cell_9.png: found value(s) 127" in error_line(generate.main, *common, *masks, *weights)
    assert not (tmp_path / "out").exists()


# Other conditions


def test_many_conditions_are_checked_in_several_processes(
    micro_yaml, micro_weights, pairs, error_line, monkeypatch
):
    monkeypatch.setattr(inputs, "CHECKED_BY_ONE", 2)
    monkeypatch.setattr(inputs.os, "sched_getaffinity", lambda pid: {0, 1})
    write_png(pairs / "masks" / "cell_4.png", np.full((64, 64), 9, np.uint8))
    common = [
        "--config_yaml_path",
        micro_yaml,
        "--model_weights_path",
        micro_weights,
        "--mask_dir",
        pairs / "masks",
        "--device",
        "cpu",
    ]
    assert f"{pairs / 'masks' / 'cell_4.png'}: found value(s) 9" in error_line(
        generate.main, *common
    )


@pytest.fixture
def edges(pairs):
    """Folders `membrane` and `outline` beside the pairs: an edge map of each mask."""
    for name, step in (("membrane", 8), ("outline", 20)):
        (pairs / name).mkdir()
        for i in range(6):
            picture = np.zeros((64, 64), np.uint8)
            picture[i::step] = 255
            write_png(pairs / name / f"cell_{i}.png", picture)
    return pairs


@pytest.fixture
def edge_options(edges, branch_weights):
    """Words that name two edge branches."""
    names = ("membrane", "outline")
    weights = [f"{name}={branch_weights(name, 3)}" for name in names]
    folders = [f"{name}={edges / name}" for name in names]
    return ["--edge_model_paths", *weights, "--edge_dirs", *folders]


def test_mask_and_edges(run, pairs, edge_options):
    folder = run(*edge_options)
    assert (
        json.loads((folder / "args.json").read_text())["args"]["generation_mode"] == "mask_and_edge"
    )
    for key in ("mask", "membrane", "outline"):
        assert len(list((folder / "conditions" / key).iterdir())) == 6
    assert (
        folder / "conditions" / "outline" / "outline_cond2_batch0_sample0.png"
    ).read_bytes() == (pairs / "outline" / "cell_2.png").read_bytes()
    assert set(manifest(folder)[0]["weights"]) == {"mask", "membrane", "outline"}
    reference = pictures(folder)
    assert pictures(run(*edge_options, "--edge_strengths", "outline=0.5")) != reference
    off = pictures(run(*edge_options, "--edge_strengths", "outline=0", "membrane=0"))
    assert off == pictures(run())  # branches at 0 leave no trace
    assert pictures(run(*edge_options, "--mask_strength", 0)) == pictures(
        run(*edge_options, masks=None)
    )  # edges alone; the mask's names are the edges'


def test_edge_only_has_no_masks(run, edge_options):
    folder = run(*edge_options, masks=None)
    assert len(pictures(folder)) == 6 and manifest(folder)[0]["mask"] is None
    assert not list((folder / "masks").iterdir())


def test_single_edge_options_name_the_branch_edge(run, edges, branch_weights):
    weights = branch_weights("membrane", 3)
    old = run("--edge_model_path", weights, "--edge_dir", edges / "membrane", masks=None)
    new = run(
        "--edge_model_paths",
        f"edge={weights}",
        "--edge_dirs",
        f"edge={edges / 'membrane'}",
        masks=None,
    )
    assert pictures(old) == pictures(new) and (old / "conditions" / "edge").is_dir()


def test_edges_drawn_on_the_fly_equal_edges_from_files(run, pairs, branch_weights, tmp_path):
    (tmp_path / "canny").mkdir()
    for path in (pairs / "images").iterdir():
        write_png(
            tmp_path / "canny" / path.name, CannyDetector()(np.asarray(Image.open(path)), 50, 120)
        )
    weights = ["--edge_model_paths", f"edge={branch_weights('membrane', 3)}"]
    drawn = run(
        *weights, "--edge_from_images", pairs / "images", "--canny_low", 50, "--canny_high", 120
    )
    assert (
        np.asarray(
            Image.open(drawn / "conditions" / "edge" / "edge_cond0_batch0_sample0.png")
        ).max()
        == 255
    )
    assert pictures(drawn) == pictures(run(*weights, "--edge_dirs", f"edge={tmp_path / 'canny'}"))


def test_rgba(run, pairs, branch_weights, tmp_path):
    (tmp_path / "rgba").mkdir()
    rng = np.random.default_rng(0)
    for i in range(2):
        planes = np.eye(3, dtype=np.float32)[read_labels(pairs / "masks" / f"cell_{i}.png")]
        alpha = (rng.random((64, 64, 1)) > 0.9).astype(np.float32)
        np.savez(tmp_path / "rgba" / f"cell_{i}.npz", rgba=np.concatenate([planes, alpha], axis=2))
    folder = run(
        "--rgba_dir", tmp_path / "rgba", "--rgba_model_path", branch_weights("rgba", 4), masks=None
    )
    shown = np.asarray(
        Image.open(
            folder / "conditions" / "rgba_edge_vis" / "rgba_edge_vis_cond1_batch0_sample0.png"
        )
    )
    edge = alpha[..., 0] == 1
    assert (shown[~edge] == 255).all() and not (shown[edge] == 255).all(axis=1).any()
    for mask in (
        folder / "conditions" / "rgba_mask" / "rgba_mask_cond1_batch0_sample0.png",
        folder / "masks" / "image_cond1_batch0_sample0.png",
    ):
        assert np.array_equal(read_labels(mask), read_labels(pairs / "masks" / "cell_1.png"))
    assert len(pictures(folder)) == 2


@pytest.fixture
def maps(pairs):
    """Folders `depth` and `normal` beside the pairs."""
    for name in ("depth", "normal"):
        (pairs / name).mkdir()
    rows, columns = np.mgrid[:64, :64].astype(np.uint8)
    for i in range(6):
        write_png(pairs / "depth" / f"cell_{i}.png", rows * 3 + i)
        colours = np.dstack([np.full_like(rows, 255), rows * 2, columns * 2 + i])
        write_png(pairs / "normal" / f"cell_{i}.png", colours)
    return pairs


@pytest.mark.parametrize("condition", ["depth", "normal"])
def test_any_condition_alone_and_beside_masks(run, maps, branch_weights, condition):
    general = ["--branches", f"extra={condition}:{maps / condition}"]
    general += ["--branch_weights", f"extra={branch_weights('membrane', 3)}"]
    alone, both = run(*general, masks=None), run(*general)
    stored = "conditions/extra/extra_cond3_batch0_sample0.png"
    source = np.asarray(Image.open(maps / condition / "cell_3.png"))
    for folder in (alone, both):
        assert len(pictures(folder)) == len(manifest(folder)) == 6
        assert np.array_equal(np.asarray(Image.open(folder / stored)), source)
    line = manifest(both)[3]
    assert line["sources"]["extra"] == str(maps / condition / "cell_3.png")
    assert list(line["weights"]) == ["mask", "extra"] and line["mask"]
    assert manifest(alone)[3]["mask"] is None and not list((alone / "masks").iterdir())
    assert "mask_only" not in (alone / "report.html").read_text()
    assert pictures(alone) != pictures(both)
    off = run(*general, "--branch_strengths", "extra=0")
    assert pictures(off) == pictures(run())


def test_branches_of_the_general_form_equal_the_published_ones(run, edges, edge_options):
    _, *weights, _, first, second = edge_options
    folders = [word.replace("=", "=edge:") for word in (first, second)]
    general = ["--branches", f"mask=segmentation:{edges / 'masks'}", *folders]
    general += ["--branch_weights", *weights, "--branch_strengths", "mask=0.5", "outline=2"]
    named = run(*general, masks=None)
    published = run(*edge_options, "--mask_strength", 0.5, "--edge_strengths", "outline=2")
    assert pictures(named) == pictures(published)
    assert (named / "manifest.jsonl").read_bytes() == (published / "manifest.jsonl").read_bytes()
    assert (named / "overview.png").read_bytes() == (published / "overview.png").read_bytes()


def test_membranes_drawn_on_the_fly(run, pairs, branch_weights, tmp_path):
    detector = DETECTORS["membrane"]
    draw = detector.build(detector.options(membrane_scale=1.5, membrane_min_length=2))
    (tmp_path / "membranes").mkdir()
    for path in (pairs / "images").iterdir():
        (edges,) = draw([np.asarray(Image.open(path))])
        write_png(tmp_path / "membranes" / path.name, edges)
    weights = ["--edge_model_path", branch_weights("membrane", 3)]
    drawn = run(
        *weights,
        *("--edge_from_images", pairs / "images", "--edge_detector", "membrane"),
        *("--membrane_scale", 1.5, "--membrane_min_length", 2),
    )
    assert pictures(drawn) == pictures(run(*weights, "--edge_dir", tmp_path / "membranes"))


def test_options_that_a_mode_ignores_are_named(run, edges, capsys):
    run(
        "--edge_dir",
        edges / "membrane",
        "--generation_mode",
        "mask_only",
        "--rgba_model_path",
        "x.ckpt",
    )
    shown = capsys.readouterr().out
    assert (
        "--edge_dir is ignored in mode mask_only" in shown
        and "--rgba_model_path is ignored" in shown
    )
    run("--sampler", "dpmpp", "--eta", 0.5)
    shown = capsys.readouterr().out
    assert "--eta is ignored by --sampler dpmpp\n" in shown


def test_options_of_drawn_edges_and_of_classes(pairs, capsys):
    drawn, models = (
        ["--edge_detector", "canny", "--canny_low", "100"],
        ["--edge_model_path", "e.ckpt", "--device", "cpu"],
    )

    def ignored(*words):
        generate.parse_args([*words, *models, *drawn, "--num_classes", "3"])
        return capsys.readouterr().out.splitlines()

    without = [
        f"warning: {name} is ignored without --edge_from_images"
        for name in ("--edge_detector", "--canny_low")
    ]
    assert ignored("--mask_dir", "m", "--edge_dir", "e") == without
    assert ignored("--edge_dir", "e") == [
        "warning: --num_classes is ignored in mode edge_only",
        *without,
    ]
    assert ignored("--mask_dir", "m", "--edge_from_images", "i") == []
    assert "warning: --edge_detector is ignored in mode mask_only" in ignored("--mask_dir", "m")


def test_bad_branches(
    micro_yaml, pairs, edges, edge_options, branch_weights, tmp_path, error_line, monkeypatch
):
    monkeypatch.setattr(model, "create_model", lambda *_: pytest.fail("loaded"))
    common = [
        "--config_yaml_path",
        micro_yaml,
        "--output_base_dir",
        tmp_path / "out",
        "--device",
        "cpu",
        "--model_weights_path",
        branch_weights("membrane", 3),
    ]
    masks, models = ["--mask_dir", pairs / "masks"], edge_options[:3]

    def line(*words):
        return error_line(generate.main, *common, *words)

    assert "no condition is given" in line()
    assert "--mask_dir is needed" in line("--generation_mode", "mask_only")
    assert "--edge_model_paths names membrane, outline, but the edges are membrane" in line(
        *models, "--edge_dirs", f"membrane={edges / 'membrane'}"
    )
    assert "two branches are named a" in line("--edge_dirs", "a=x", "a=y")
    assert "two branches are named edge" in line("--edge_dirs", "edge=x", "--edge_dir", "y")
    assert "expected name=value" in line("--edge_dirs", "x")
    assert "none of mask" in line("--edge_dirs", "mask=x")
    assert "none of mask" in line("--edge_dirs", "../up=x")
    assert "--edge_strengths other: no such branch, expected one of membrane, outline" in line(
        *masks, *edge_options, "--edge_strengths", "other=1"
    )
    assert "outline=much: not a number" in line(
        *masks, *edge_options, "--edge_strengths", "outline=much"
    )
    assert "--rgba_dir beside" in line(*masks, "--rgba_dir", "x")
    (edges / "outline" / "cell_3.png").unlink()
    assert "outline: no file for 1 of 6 conditions" in line(*masks, *edge_options)
    write_png(edges / "outline" / "cell_3.png", np.zeros((64, 32), np.uint8))
    assert "cell_3.png: 32 x 64 pixels, but" in line(*masks, *edge_options)
    assert "--num_classes 4: an RGBA tensor has 3 class planes" in line(
        "--rgba_dir", tmp_path / "rgba", "--num_classes", 4
    )
    (tmp_path / "rgba").mkdir()
    np.savez(tmp_path / "rgba" / "a.npz", rgba=np.zeros((64, 64, 3), np.float32))
    assert "a.npz: 'rgba' is float32 (64, 64, 3)" in line("--rgba_dir", tmp_path / "rgba")
    np.savez(tmp_path / "rgba" / "a.npz", rgba=np.array([print], dtype=object))
    assert "a.npz: not an archive of numbers" in line("--rgba_dir", tmp_path / "rgba")
    (tmp_path / "rgba" / "a.npz").write_bytes(b"PK broken")
    assert "a.npz: not an archive of numbers" in line("--rgba_dir", tmp_path / "rgba")
    assert not (tmp_path / "out").exists()


def test_a_branch_of_other_channels_is_refused(run, edges, branch_weights, error_line):
    with pytest.raises(
        RuntimeError, match="rgba.safetensors: made for another architecture.*input_hint_block"
    ):
        run("--edge_model_path", branch_weights("rgba", 4), "--edge_dir", edges / "membrane")


# What is asked before anything happens


def test_dry_run_says_what_would_be_done_and_writes_nothing(
    run, maps, pairs, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(model, "create_model", lambda *_: pytest.fail("loaded"))
    options = ["--n_augmentations_per_mask", 2, "--branches", f"d=depth:{maps / 'depth'}"]
    options += ["--ddim_steps", 70]
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError):  # the fixture finds no new folder
        run(*options, "--dry_run", "--export_dataset", tmp_path / "set")
    assert sorted(tmp_path.rglob("*")) == before
    shown = " ".join(capsys.readouterr().out.split())
    for words in (
        "conditions: 6 images: 12, 2 for each condition",
        "sampling: ddim, 70 steps, 72 evaluations of the U-Net",
        f"mask segmentation 6 1 {pairs / 'masks'}",
        f"d depth 6 1 {maps / 'depth'}",
        f"{tmp_path / 'out'}/run_<time>, new",
        "images/ 12 0 masks/ 12 0 conditions/mask/ 12 0 conditions/d/ 12 0 args.json 1 0",
        f"data set: {tmp_path / 'set'}, 12 pairs, 0 real",
        "dry run: nothing was written",
    ):
        assert words in shown


def test_dry_run_of_a_run_that_is_there(run, capsys):
    folder = run("--n_augmentations_per_mask", 2)
    (folder / "images" / "image_cond4_batch0_sample0.png").unlink()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    capsys.readouterr()
    generate.main(["--resume_run", str(folder), "--dry_run"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{folder}, there already" in shown and "images/ 1 11 masks/ 1 11" in shown
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_dry_run_still_checks(run, pairs, tmp_path):
    write_png(pairs / "masks" / "cell_4.png", np.full((64, 64), 9, np.uint8))
    with pytest.raises(ValueError, match=r"cell_4.png: found value\(s\) 9"):
        run("--dry_run")
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        run("--dry_run", "--model_weights_path", tmp_path / "none.ckpt")


def test_options_come_from_a_file_and_the_command_line_wins(
    run, pairs, maps, branch_weights, tmp_path, error_line
):
    file = tmp_path / "run.yaml"
    file.write_text(
        f"mask_dir: {pairs / 'masks'}\nstrength: 1.5\nguess_mode: true\nscale: 3\n"
        f"branches: [d=depth:{maps / 'depth'}]\n"
        f"branch_weights: [d={branch_weights('membrane', 3)}]\n"
    )
    folder = run("--options_file", file, "--scale", 4, masks=None)
    args = json.loads((folder / "args.json").read_text())["args"]
    assert (args["strength"], args["scale"], args["guess_mode"]) == (1.5, 4.0, True)
    assert set(manifest(folder)[0]["weights"]) == {"mask", "d"}
    words = ["--options_file", file, "--mask_dir", pairs / "masks"]
    file.write_text("strenght: 1\n")
    assert "no option is named strenght" in error_line(generate.main, *words)
    file.write_text("strength: -1\n")
    assert "strength: -1 is not a number of at least 0" in error_line(generate.main, *words)


def test_the_options_of_a_dry_run_are_an_options_file(run, tmp_path, capsys):
    with pytest.raises(ValueError):  # the fixture finds no new folder
        run("--dry_run", "--guess_mode", "--scale", 3, "--run_id", "again")
    shown = capsys.readouterr().out
    options = shown.split("\n\n")[1]
    (tmp_path / "run.yaml").write_text(options)
    generate.main(["--options_file", str(tmp_path / "run.yaml")])
    assert pictures(tmp_path / "out" / "run_again") == pictures(run("--guess_mode", "--scale", 3))


# Sets that several processes make, or one after an interruption


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
    real, calls = drawing.sample_images, []

    def interrupted(*arguments):
        calls.append(len(arguments[2]))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(drawing, "sample_images", interrupted)
    base = ["--output_base_dir", tmp_path / "shards"]
    with pytest.raises(KeyboardInterrupt):
        generate.main(
            [str(word) for word in ["--resume_run", folder, "--batch_size_per_inference", 4]]
        )
    assert calls == [4, 4] and len(pictures(folder)) == 10 and len(manifest(folder)) == 10
    monkeypatch.setattr(drawing, "sample_images", real)
    generate.main([str(word) for word in ["--resume_run", folder, *base]])
    assert files(folder) == files(whole)


def test_nothing_is_made_twice(run, monkeypatch, capsys):
    folder = run("--run_id", "one")
    before = {path: path.stat().st_mtime_ns for path in (folder / "images").iterdir()}
    monkeypatch.setattr(model, "create_model", lambda *_: pytest.fail("loaded"))
    generate.main(["--resume_run", str(folder)])
    assert {path: path.stat().st_mtime_ns for path in (folder / "images").iterdir()} == before
    assert "6 there already" in capsys.readouterr().out


def test_leftovers_of_killed_processes_go_when_the_set_is_complete(run):
    folder = run()
    picture = folder / "images" / "image_cond4_batch0_sample0.png"
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
    (folder / "images" / "image_cond4_batch0_sample0.png").unlink()
    generate.main(["--resume_run", str(folder)])
    assert pictures(folder) == before


def test_a_task_of_a_slurm_array_finds_its_part(monkeypatch):
    for name, value in {"TASK_ID": 2, "TASK_COUNT": 4, "JOB_ID": 31}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_{name}", str(value))
    words = ["--mask_dir", "m", "--device", "cpu"]
    _, settings = generate.parse_args(words)
    assert settings.shard == (2, 4) and settings.run_name == "slurm_31"


def test_another_run_is_not_joined(run, pairs, tmp_path, error_line, branch_weights):
    folder = run("--run_id", "one")
    with pytest.raises(ValueError, match=r"was started with another --strength \(2.0\)"):
        run("--run_id", "one", "--strength", 1)
    assert "--strength differs from the run that --resume_run names (2.0)" in error_line(
        generate.main, "--resume_run", folder, "--strength", 1
    )
    assert "none/args.json: not there" in error_line(
        generate.main, "--resume_run", tmp_path / "none"
    )
    (pairs / "masks" / "cell_9.png").write_bytes((pairs / "masks" / "cell_0.png").read_bytes())
    assert "condition files are not those" in error_line(generate.main, "--resume_run", folder)
    (pairs / "masks" / "cell_9.png").unlink()
    assert "--run_id is needed with --num_shards" in error_line(
        generate.main, "--mask_dir", pairs / "masks", "--num_shards", 2, "--shard_index", 0
    )
    assert "--shard_index 2: expected 0..1" in error_line(
        generate.main, "--mask_dir", pairs / "masks", "--num_shards", 2, "--shard_index", 2
    )


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
    (folder / "images" / "image_cond2_batch0_sample0.png").unlink()
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


def test_a_stop_request_ends_after_the_batch_in_hand(run, monkeypatch, tmp_path):
    real = drawing.sample_images

    def signalled(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr(drawing, "sample_images", signalled)
    with pytest.raises(KeyboardInterrupt):
        run("--batch_size_per_inference", 2)
    (folder,) = (tmp_path / "out").iterdir()
    assert len(pictures(folder)) == len(manifest(folder)) == 2


# What a run shows and hands on


def test_overview_and_report_are_made_again_without_the_model(run, monkeypatch, capsys):
    folder = run("--n_augmentations_per_mask", 2)
    made = {name: (folder / name).read_bytes() for name in ("overview.png", "report.html")}
    assert (
        made["report.html"].count(b"<img ") == 6 * 3 and b"still missing" not in made["report.html"]
    )
    for name in made:
        (folder / name).write_text("half")
    monkeypatch.setattr(model, "create_model", lambda *_: pytest.fail("loaded"))
    generate.main(["--resume_run", str(folder)])
    assert {name: (folder / name).read_bytes() for name in made} == made
    assert str(folder / "report.html") in capsys.readouterr().out


def test_report_of_a_part_says_what_is_missing(run):
    folder = run("--run_id", "set", "--num_shards", 2, "--shard_index", 1)
    assert "3 images are still missing" in (folder / "report.html").read_text()
    with pytest.raises(ValueError):  # the fixture finds no new folder
        run("--run_id", "set", "--num_shards", 2, "--shard_index", 0)
    assert "still missing" not in (folder / "report.html").read_text()


def test_export_at_the_end_and_of_a_finished_run(
    run, pairs, tmp_path, error_line, monkeypatch, capsys
):
    real = ["--include_real", pairs / "images", pairs / "masks"]
    folder = run("--export_dataset", tmp_path / "set", *real)
    assert len(list((tmp_path / "set" / "images").iterdir())) == 12
    monkeypatch.setattr(model, "create_model", lambda *_: pytest.fail("loaded"))
    generate.main([str(word) for word in ("--resume_run", folder)])  # the target is not handed on
    generate.main(
        [
            str(word)
            for word in ("--resume_run", folder, "--export_dataset", tmp_path / "again", *real)
        ]
    )
    assert (tmp_path / "again" / "splits.csv").read_bytes() == (
        tmp_path / "set" / "splits.csv"
    ).read_bytes()
    capsys.readouterr()  # progress bars
    assert "exists and is not an empty folder" in error_line(
        generate.main, "--resume_run", folder, "--export_dataset", tmp_path / "set"
    )
    assert "--include_real: needs --export_dataset" in error_line(
        generate.main, "--resume_run", folder, *real
    )
    shard = ("--num_shards", 2, "--shard_index", 0)
    assert "when all shards are done" in error_line(
        generate.main, "--resume_run", folder, "--export_dataset", tmp_path / "new", *shard
    )
    edges = (
        "--edge_dirs",
        "a=x",
        "--edge_model_paths",
        "a=y",
        "--export_dataset",
        tmp_path / "new",
    )
    assert "have no masks" in error_line(generate.main, *edges)
