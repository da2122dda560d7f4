"""Conditions of all kinds, alone and together."""

import json

import numpy as np
import pytest
from PIL import Image

import generate
from annotator.canny import CannyDetector
from annotator.registry import DETECTORS
from core.imaging.images import write_png
from core.imaging.labels import read_labels
from generation.drawing import model
from tests.generated import manifest, pictures


def test_mask_and_edges(run, pairs, edge_options):
    folder = run(*edge_options)
    record = json.loads((folder / "args.json").read_text())
    assert record["args"]["generation_mode"] == "mask_and_edge"
    for key in ("mask", "membrane", "outline"):
        assert len(list((folder / "conditions" / key).iterdir())) == 6
    stored = folder / "conditions" / "outline" / "outline_cond2_batch1_sample0.png"
    assert stored.read_bytes() == (pairs / "outline" / "cell_2.png").read_bytes()
    assert set(manifest(folder)[0]["weights"]) == {"mask", "membrane", "outline"}
    reference = pictures(folder)
    assert pictures(run(*edge_options, "--edge_strengths", "outline=0.5")) != reference
    off = pictures(run(*edge_options, "--edge_strengths", "outline=0", "membrane=0"))
    assert off == pictures(run())  # branches at 0 leave no trace
    # Edges alone: masks and edge maps have the same names, on which seeds depend.
    without_masks = pictures(run(*edge_options, "--mask_strength", 0))
    assert without_masks == pictures(run(*edge_options, masks=None))


def test_edge_only_has_no_masks(run, edge_options):
    folder = run(*edge_options, masks=None)
    assert len(pictures(folder)) == 6 and manifest(folder)[0]["mask"] is None
    assert not list((folder / "masks").iterdir())


def test_single_edge_options_name_the_branch_edge(run, edges, branch_weights):
    weights = branch_weights("membrane", 3)
    old = run("--edge_model_path", weights, "--edge_dir", edges / "membrane", masks=None)
    folder = f"edge={edges / 'membrane'}"
    new = run("--edge_model_paths", f"edge={weights}", "--edge_dirs", folder, masks=None)
    assert pictures(old) == pictures(new) and (old / "conditions" / "edge").is_dir()


def test_edges_drawn_on_the_fly_equal_edges_from_files(run, pairs, branch_weights, tmp_path):
    (tmp_path / "canny").mkdir()
    for path in (pairs / "images").iterdir():
        edges = CannyDetector()(np.asarray(Image.open(path)), 50, 120)
        write_png(tmp_path / "canny" / path.name, edges)
    weights = ["--edge_model_paths", f"edge={branch_weights('membrane', 3)}"]
    drawn = run(
        *weights, "--edge_from_images", pairs / "images", "--canny_low", 50, "--canny_high", 120
    )
    stored = drawn / "conditions" / "edge" / "edge_cond0_batch1_sample0.png"
    assert np.asarray(Image.open(stored)).max() == 255
    assert pictures(drawn) == pictures(run(*weights, "--edge_dirs", f"edge={tmp_path / 'canny'}"))


def test_membranes_drawn_on_the_fly(run, pairs, branch_weights, tmp_path):
    detector = DETECTORS["membrane"]
    draw = detector.build(detector.options(membrane_low=0.01, membrane_high=0.05))
    (tmp_path / "membranes").mkdir()
    for path in (pairs / "images").iterdir():
        (edges,) = draw([np.asarray(Image.open(path))])
        assert edges.any()
        write_png(tmp_path / "membranes" / path.name, edges)
    weights = ["--edge_model_path", branch_weights("membrane", 3)]
    drawn = run(
        *weights,
        *("--edge_from_images", pairs / "images", "--edge_detector", "membrane"),
        *("--membrane_low", 0.01, "--membrane_high", 0.05),
    )
    assert pictures(drawn) == pictures(run(*weights, "--edge_dir", tmp_path / "membranes"))


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
    stored = folder / "conditions" / "rgba_edge_vis" / "rgba_edge_vis_cond1_batch1_sample0.png"
    shown = np.asarray(Image.open(stored))
    edge = alpha[..., 0] == 1
    assert (shown[~edge] == 255).all() and not (shown[edge] == 255).all(axis=1).any()
    for mask in (
        folder / "conditions" / "rgba_mask" / "rgba_mask_cond1_batch1_sample0.png",
        folder / "masks" / "image_cond1_batch1_sample0.png",
    ):
        assert np.array_equal(read_labels(mask), read_labels(pairs / "masks" / "cell_1.png"))
    assert len(pictures(folder)) == 2


@pytest.mark.parametrize("condition", ["depth", "normal"])
def test_any_condition_alone_and_beside_masks(run, maps, branch_weights, condition):
    general = ["--branches", f"extra={condition}:{maps / condition}"]
    general += ["--branch_weights", f"extra={branch_weights('membrane', 3)}"]
    alone, both = run(*general, masks=None), run(*general)
    stored = "conditions/extra/extra_cond3_batch1_sample0.png"
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


@pytest.fixture
def refused(micro_yaml, branch_weights, tmp_path, error_line, monkeypatch):
    """Function from further options to the error line; neither loads a model nor writes."""
    monkeypatch.setattr(model, "build_model", lambda *_: pytest.fail("loaded"))

    def refused(*words):
        common = ["--config_yaml_path", micro_yaml, "--device", "cpu"]
        common += ["--model_weights_path", branch_weights("membrane", 3)]
        line = error_line(generate.main, *common, "--output_base_dir", tmp_path / "out", *words)
        assert not (tmp_path / "out").exists()
        return line

    return refused


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "no condition is given"),
        ("--generation_mode mask_only", "--mask_dir is needed"),
        ("--edge_dirs a=x a=y", "two branches are named a"),
        ("--edge_dirs edge=x --edge_dir y", "two branches are named edge"),
        ("--edge_dirs x", "expected name=value"),
        ("--edge_dirs mask=x", "none of mask"),
        ("--edge_dirs ../up=x", "none of mask"),
        (
            "--edge_dirs a=x --edge_model_paths a=1 b=2",
            "--edge_model_paths names a, b, but the edges are a",
        ),
        (
            "--edge_dirs a=x --edge_model_paths a=1 --edge_strengths other=1",
            "--edge_strengths other: no such branch, expected one of a",
        ),
        (
            "--edge_dirs a=x --edge_model_paths a=1 --edge_strengths a=much",
            "a=much: not a number",
        ),
        ("--mask_dir m --rgba_dir x", "--rgba_dir beside"),
        ("--mask_dir m --branches mask=depth:x", "two branches are named mask"),
        ("--rgba_dir x --num_classes 4", "--num_classes: 4, but an RGBA tensor has 3 class planes"),
    ],
)
def test_branches_that_make_no_sense(refused, words, message):
    assert message in refused(*words.split())


def test_edge_maps_that_do_not_fit_the_masks(refused, edges, edge_options):
    words = ["--mask_dir", edges / "masks", *edge_options]
    (edges / "outline" / "cell_3.png").unlink()
    assert "outline: no file for 1 of 6 conditions" in refused(*words)
    write_png(edges / "outline" / "cell_3.png", np.zeros((64, 32), np.uint8))
    assert "cell_3.png: 32 x 64 pixels, but" in refused(*words)


def test_damaged_tensors(refused, tmp_path):
    file = tmp_path / "rgba" / "a.npz"
    file.parent.mkdir()
    np.savez(file, rgba=np.zeros((64, 64, 3), np.float32))
    assert "a.npz: 'rgba' is float32 (64, 64, 3)" in refused("--rgba_dir", file.parent)
    np.savez(file, rgba=np.array([print], dtype=object))
    assert "a.npz: not an archive of numbers" in refused("--rgba_dir", file.parent)
    file.write_bytes(b"PK broken")
    assert "a.npz: not an archive of numbers" in refused("--rgba_dir", file.parent)


def test_a_branch_of_other_channels_is_refused(run, edges, branch_weights):
    with pytest.raises(
        ValueError, match="rgba.safetensors: its control branch reads hints of . channels"
    ):
        run("--edge_model_path", branch_weights("rgba", 4), "--edge_dir", edges / "membrane")
