"""Options files, dry runs, and options that a run does not read."""

import json
import warnings

import numpy as np
import pytest

import generate
from core.imaging.images import write_png
from core.notices import Notice
from generation.drawing import model
from tests.generated import manifest, pictures


def notices(make) -> list[str]:
    """What `make` warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make()
    return [str(one.message) for one in caught if issubclass(one.category, Notice)]


def test_options_that_a_mode_ignores_are_named(run, edges):
    unread = ["--edge_dir", edges / "membrane", "--rgba_model_path", "x.ckpt"]
    shown = notices(lambda: run(*unread, "--generation_mode", "mask_only"))
    assert "--edge_dir is ignored in mode mask_only" in shown
    assert any(line.startswith("--rgba_model_path is ignored") for line in shown)
    shown = notices(lambda: run("--sampler", "dpmpp", "--eta", 0.5))
    assert "--eta is ignored by --sampler dpmpp" in shown


def test_options_of_drawn_edges_and_of_classes():
    drawn = ["--edge_detector", "canny", "--canny_low", "100"]
    models = ["--edge_model_path", "e.ckpt", "--device", "cpu"]

    def ignored(*words):
        options = [*words, *models, *drawn, "--num_classes", "3"]
        return notices(lambda: generate.parse_args(options))

    without = [
        f"{name} is ignored without --edge_from_images"
        for name in ("--edge_detector", "--canny_low")
    ]
    assert ignored("--mask_dir", "m", "--edge_dir", "e") == without
    classes = "--num_classes is ignored in mode edge_only"
    assert ignored("--edge_dir", "e") == [classes, *without]
    assert ignored("--mask_dir", "m", "--edge_from_images", "i") == []
    assert "--edge_detector is ignored in mode mask_only" in ignored("--mask_dir", "m")


def test_dry_run_says_what_would_be_done_and_writes_nothing(
    run, maps, pairs, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(model, "build_model", lambda *_: pytest.fail("loaded"))
    options = ["--n_augmentations_per_mask", 2, "--branches", f"d=depth:{maps / 'depth'}"]
    options += ["--ddim_steps", 70]
    before = sorted(tmp_path.rglob("*"))
    assert run(*options, "--dry_run", "--export_dataset", tmp_path / "set") is None
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
    (folder / "images" / "image_cond4_batch1_sample0.png").unlink()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    capsys.readouterr()
    generate.main(["--resume_run", str(folder), "--dry_run"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{folder}, there already" in shown and "images/ 1 11 masks/ 1 11" in shown
    assert "args.json 0 1" in shown and "manifest.jsonl 1 1" in shown
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_dry_run_still_checks(run, pairs, tmp_path):
    write_png(pairs / "masks" / "cell_4.png", np.full((64, 64), 9, np.uint8))
    with pytest.raises(ValueError, match=r"cell_4.png: found value\(s\) 9"):
        run("--dry_run")
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        run("--dry_run", "--model_weights_path", tmp_path / "none.ckpt")


def test_masks_of_one_class_are_warned_of_in_every_shard(run, pairs):
    for i in range(6):
        write_png(pairs / "masks" / f"cell_{i}.png", np.full((64, 64), 1, np.uint8))
    shard = ["--run_id", "one", "--num_shards", 6, "--shard_index"]
    with pytest.warns(Notice, match=f"{pairs}/masks: all 6 masks hold class 1 alone"):
        run("--dry_run", *shard, 4)
    write_png(pairs / "masks" / "cell_5.png", np.zeros((64, 64), np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run("--dry_run", *shard, 4)


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
    run("--dry_run", "--guess_mode", "--scale", 3, "--run_id", "again")
    _, options, _ = capsys.readouterr().out.split("\n\n")
    (tmp_path / "run.yaml").write_text(options)
    generate.main(["--options_file", str(tmp_path / "run.yaml")])
    assert pictures(tmp_path / "out" / "run_again") == pictures(run("--guess_mode", "--scale", 3))
