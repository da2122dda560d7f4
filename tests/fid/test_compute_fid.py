"""Both published scripts, from options to result file, and what they say about bad input."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from core.imaging.images import list_images
from fid import compute_cem_fid, compute_normal_fid
from fid.backbones.inception_network import tensorflow_inception
from fid.backbones.loading import load_backbone
from fid.backbones.options import BackboneOptions
from fid.distances import frechet_distance
from fid.features import folder_statistics
from fid.results import summary_text, write_result


@pytest.fixture
def score(image_folders, cem_weights):
    """Function that runs a script on the image folders and returns the result, for any options."""

    def run(
        *options, main=compute_cem_fid.main, real="real", generated="generated", weights=cem_weights
    ):
        fixed = "--image-size 32 --num-workers 0 --device cpu --no-cache".split()
        files = "--weights-path", weights, "--output-json", image_folders / "out" / "result.json"
        words = image_folders / real, image_folders / generated, *fixed, *files, *options
        main([str(word) for word in words])
        (path,) = (image_folders / "out").iterdir()
        result = json.loads(path.read_text())
        path.unlink()
        return result | {"path": path.name}

    return run


def test_published_defaults():
    args = compute_cem_fid.parse_args(["a", "b"])
    published = {
        "backbone": "cem500k",
        "batch_size": 32,
        "num_workers": 4,
        "image_size": 224,
        "weights_path": None,
        "download_dir": None,
        "output_json": Path("cem_fid.json"),
        "data_volume": None,
        "compute_kid": False,
        "kid_subset_size": 1000,
        "kid_subset_count": 100,
        "seed": 42,
    }
    assert published.items() <= vars(args).items()
    args = compute_normal_fid.parse_args(["a", "b"])
    assert (args.image_size, args.output_json, args.standard) == (
        299,
        Path("inception_fid.json"),
        "torchvision",
    )


def test_result_holds_the_published_fields_and_what_they_rest_on(
    score, image_folders, cem_weights, capsys
):
    result = score("--data-volume", "a:b", "--compute-prdc")
    assert re.fullmatch(r"result_\d{8}_\d{4}\.json", result["path"])
    published = {
        "backbone": "cem500k",
        "weights": str(cem_weights),
        "num_real": 6,
        "num_generated": 5,
        "image_size": 32,
        "data_volume": "a:b",
    }
    assert published.items() <= result.items()
    assert (result["normalization_mean"], result["normalization_std"]) == (0.25, 0.5)
    assert result["real_dir"] == str(image_folders / "real") and result["timestamp_utc"].startswith(
        "20"
    )
    assert len(result["weights_sha256"]) == 64 and result["resize"].startswith("pillow-bilinear")
    backbone = load_backbone(BackboneOptions("cem500k", cem_weights, image_size=32, device="cpu"))
    expected = frechet_distance(
        *(
            folder_statistics(list_images(image_folders / name, recursive=True), backbone)
            for name in ("real", "generated")
        )
    )
    assert result["fid"] == pytest.approx(expected, rel=1e-6)
    assert (
        result["kid"] is not None and result["kid_std"] > 0
    )  # scarce: computed without being asked for
    low, high = result["fid_interval"]
    assert low < result["fid"] < high and result["floor_size"] == 3
    assert 0 <= result["precision"] <= 1 and "num_skipped" not in result
    printed = capsys.readouterr().out
    assert "Fewer than 2048 images (5)" in printed and "wrote" in printed


def test_a_folder_against_itself_is_zero(score):
    result = score(generated="real")
    assert abs(result["fid"]) < 1e-6


def test_darker_images_are_farther_than_the_floor(score):
    result = score("--bootstrap", "0")
    assert result["fid_interval"] is None
    assert result["generated_fid_at_floor_size"] > 1.5 * result["floor_fid"]


def test_inception_result_names_its_standard(score, tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "inception.pth"
    torch.save(tensorflow_inception().state_dict(), path)
    results = [
        score("--standard", name, "--image-size", "96", main=compute_normal_fid.main, weights=path)
        for name in ("clean-fid", "pytorch-fid")
    ]
    for result in results:
        assert result["backbone"] == "inception_v3" and len(result["normalization_mean"]) == 3
    assert results[0]["resize"] != results[1]["resize"] and results[0]["fid"] != results[1]["fid"]


def test_two_results_in_a_minute_are_both_kept(tmp_path):
    result = {"timestamp_utc": "2025-03-04T05:06:07+00:00"}
    names = [write_result(tmp_path / "r.json", result).name for _ in range(3)]
    assert names == ["r_20250304_0506.json", "r_20250304_0506_2.json", "r_20250304_0506_3.json"]


def test_enough_images_are_not_called_scarce():
    counts = {"num_real": 5000, "num_generated": 5000}
    text = summary_text(counts | {"fid": 1.0, "backbone": "cem500k", "image_size": 224})
    assert "\n" not in text


def test_skipped_images_are_counted(score, image_folders):
    (image_folders / "real" / "broken.png").write_bytes(b"x")
    result = score("--skip-corrupt")
    assert (result["num_real"], result["num_skipped"]) == (6, 1)


@pytest.mark.parametrize(
    ("prepare", "options", "message"),
    [
        (lambda f: [path.unlink() for path in (f / "real").iterdir()], (), "real: holds no image"),
        (
            lambda f: [path.unlink() for path in sorted((f / "generated").iterdir())[1:]],
            (),
            r"generated: 1 readable image\(s\), expected at least two",
        ),
        (
            lambda f: (f / "real/slice_1.png").write_bytes(b"x"),
            (),
            "slice_1.png: cannot be read as an image",
        ),
        (
            lambda f: (f / "generated").rename(f / "real/generated"),
            ("GEN", "real/generated"),
            "lies inside",
        ),
        (
            lambda f: None,
            ("--weights-path", "/absent.pth"),
            "--weights-path /absent.pth: no such file",
        ),
        (lambda f: None, ("--device", "abacus"), "device: abacus"),
        (lambda f: (f / "out").touch(), (), "--output-json .*: cannot be written"),
        (lambda f: (f / "out").touch(), ("--dry_run",), "--output-json .*: cannot be written"),
        (
            lambda f: None,
            ("--output-json", "/proc/result.json"),
            "--output-json /proc/result.json: cannot be written",
        ),
    ],
)
def test_bad_input_is_one_line(image_folders, cem_weights, error_line, prepare, options, message):
    prepare(image_folders)
    generated = image_folders / "generated"
    if options[:1] == ("GEN",):
        generated, options = image_folders / options[1], ()
    files = "--weights-path", cem_weights, "--output-json", image_folders / "out/r.json"
    fixed = *files, "--num-workers", 0, "--no-cache"
    assert re.search(
        message,
        error_line(compute_cem_fid.main, image_folders / "real", generated, *fixed, *options),
    )


def error_of_weights(error_line, folder, weights):
    """The line that a file of weights gives."""
    files = "--weights-path", weights, "--output-json", folder / "r.json"
    return error_line(compute_cem_fid.main, folder / "real", folder / "generated", *files)


def test_weights_of_another_network_are_one_line(image_folders, error_line):
    weights = image_folders / "w.pth"
    torch.save({"fc.weight": torch.zeros(3)}, weights)
    assert "w.pth: does not fit ResNet" in error_of_weights(error_line, image_folders, weights)


def test_a_pickle_that_runs_code_is_refused(image_folders, error_line):
    class Bomb:
        def __reduce__(self):
            return print, ("it ran",)

    weights = image_folders / "w.pth"
    torch.save({"state_dict": Bomb()}, weights)
    assert "would run code" in error_of_weights(error_line, image_folders, weights)


def test_mixed_bit_depths_score_as_one_set(score, image_folders):
    before = score("--bootstrap", "0")["fid"]
    for name in ("slice_0", "slice_3"):
        path = image_folders / "generated" / f"{name}.png"
        tifffile.imwrite(
            path.with_suffix(".tif"), np.asarray(Image.open(path)).astype(np.uint16) * 257
        )
        path.unlink()
    assert score("--bootstrap", "0")["fid"] == pytest.approx(before, rel=1e-6)


@pytest.mark.parametrize("script", ["compute_cem_fid.py", "compute_normal_fid.py"])
def test_help_from_any_folder(script, tmp_path):
    path = Path(compute_cem_fid.__file__).with_name(script)
    shown = subprocess.run(
        [sys.executable, path, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert "--compute-kid" in shown and "default:" in shown
