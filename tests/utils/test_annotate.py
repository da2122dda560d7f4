import json
from dataclasses import dataclass
from unittest import mock

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import annotator.midas
import generate
import train
from annotator import folder
from annotator.canny import CannyDetector
from annotator.detector import EDGES, Detector
from annotator.folder import MAPS_RECORD
from annotator.mlsd import MLSDdetector
from annotator.mlsd.network import MLSDNetwork
from annotator.network_detectors import MLSD_WEIGHTS
from annotator.registry import DETECTORS, edge_detectors
from annotator.weights import CKPTS_VARIABLE
from conditions import create_condition
from conditions.pairs import find_pairs
from core.command_line.options import option
from core.imaging.images import write_png
from dataset import MyDataset
from tests.weights import fill_parameters
from utils import annotate

# Finds something in the grain.
FINE = ["--membrane_scale", 1, "--membrane_low", 0.2, "--membrane_high", 0.4]
FINE += ["--membrane_min_length", 5]


@pytest.fixture
def run(pairs, tmp_path):
    """Function that annotates the images of `pairs` with further options.

    It returns the output folder.
    """

    def run(*options, detector="canny", images=pairs / "images", output="edges"):
        words = ["--detector", detector, "--input", images, "--output", tmp_path / output]
        annotate.main([str(word) for word in (*words, "--device", "cpu", *options)])
        return tmp_path / output

    return run


@pytest.fixture(scope="module")
def mlsd_weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ckpts")
    torch.save(fill_parameters(MLSDNetwork()).state_dict(), folder / MLSD_WEIGHTS.name)
    return folder


def maps(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def pixels(path):
    return np.asarray(Image.open(path))


@pytest.mark.parametrize(("detector", "options"), [("canny", []), ("membrane", FINE)])
def test_workers_make_the_same_maps(run, detector, options):
    alone = maps(run(*options, detector=detector))
    assert len(set(alone.values())) == 6
    assert maps(run(*options, "--num_workers", 2, detector=detector, output="workers")) == alone


def test_maps_are_the_detectors(run, pairs):
    folder = run("--canny_low", 50, "--canny_high", 120)
    image = pixels(pairs / "images" / "cell_3.png")
    assert np.array_equal(pixels(folder / "cell_3.png"), CannyDetector()(image, 50, 120))
    assert Image.open(folder / "overview" / "overview.png").width > 2 * 64


def test_maps_feed_training_and_generation(
    run, pairs, micro_yaml, micro_weights, branch_weights, tmp_path
):
    folder = run(*FINE, detector="membrane")
    assert len(find_pairs(pairs / "images", folder, create_condition("edge"))) == 6
    options = {"augment": False, "condition_type": "edge", "image_size": 64}
    assert MyDataset(pairs / "images", folder, **options)[0]["hint"].shape == (64, 64, 3)
    words = ["--image_path", pairs / "images", "--edge_path", folder, "--condition_type", "edge"]
    words += ["--cldm_config_path", micro_yaml, "--resume_path", micro_weights]
    words += ["--output_root", tmp_path / "runs", "--max_steps", 1, "--gpus", 0]
    train.main([str(word) for word in (*words, "--image_size", 64)])
    assert list((tmp_path / "runs").glob("*/EM_best_results.ckpt"))
    words = ["--config_yaml_path", micro_yaml, "--base_weights_path", micro_weights]
    words += ["--output_base_dir", tmp_path / "out", "--edge_dirs", f"edge={folder}"]
    words += ["--edge_model_paths", f"edge={branch_weights('edge', 3)}", "--ddim_steps", 1]
    generate.main([str(word) for word in (*words, "--device", "cpu")])
    assert len(list((tmp_path / "out").glob("*/images/*.png"))) == 6


def test_goes_on_where_it_stopped(run, monkeypatch, capsys):
    whole = maps(run(output="whole"))
    real = folder.write_png

    def interrupted(path, picture):
        if path.stem == "cell_3":
            raise KeyboardInterrupt
        real(path, picture)

    monkeypatch.setattr(folder, "write_png", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run()
    monkeypatch.setattr(folder, "write_png", real)
    resumed = run("--num_workers", 1)
    assert "3 done already" in capsys.readouterr().out and maps(resumed) == whole
    monkeypatch.setattr(annotate, "draw_all", lambda *_: pytest.fail("drawn twice"))
    run()


def test_damaged_maps_are_drawn_again(run, capsys):
    output = run()
    whole = maps(output)
    (output / "cell_1.png").write_bytes(b"")
    (output / "cell_2.png").write_bytes(whole["cell_2.png"][:-30])
    write_png(output / "cell_3.png", np.zeros((64, 63), np.uint8))
    write_png(output / "cell_4.png", np.zeros((64, 64, 3), np.uint8))
    (output / "overview" / "overview.png").write_bytes(b"")
    run("--dry_run")
    assert (output / "cell_1.png").read_bytes() == b""
    run()
    printed = capsys.readouterr().out
    assert printed.count("2 done already; 4 maps are damaged and are drawn again, the first:") == 2
    assert maps(output) == whole
    assert Image.open(output / "overview" / "overview.png").width > 2 * 64
    (output / "cell_5.png").unlink()
    (output / "cell_5.png").mkdir()
    with pytest.raises(ValueError, match="cell_5.png: expected a picture, found no regular file"):
        run()


def test_maps_of_changed_images_are_drawn_again(run, pairs, monkeypatch, capsys):
    """Also where the run that found the change is stopped before it has drawn them all."""
    output = run()
    for name in ("cell_1.png", "cell_4.png"):
        write_png(pairs / "images" / name, np.full((64, 64), 90, np.uint8))
    whole = maps(run(output="new"))
    before = maps(output)
    run("--dry_run")
    assert maps(output) == before
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(annotate, "draw_all", mock.Mock(side_effect=KeyboardInterrupt))
        run()
    printed = capsys.readouterr().out
    words = f"2 images have changed since and are drawn again, such as {pairs}/images/cell_1.png"
    assert printed.count(f"4 done already; {words}") == 2
    run()
    assert maps(output) == whole != before
    record = json.loads((output / MAPS_RECORD).read_text())
    (output / MAPS_RECORD).write_text(json.dumps(record | {"images": {}}))  # an older version
    monkeypatch.setattr(annotate, "draw_all", lambda *_: pytest.fail("drawn twice"))
    run()


def test_other_options_are_refused(run, tmp_path):
    run()
    with pytest.raises(ValueError, match=r"another --canny_low \(100.0\)"):
        run("--canny_low", 50)
    with pytest.raises(ValueError, match="another --detector"):
        run(detector="membrane")
    with pytest.raises(ValueError, match="holds files but no annotate.json"):
        run(output="pairs/masks")
    (tmp_path / "edges" / MAPS_RECORD).write_text("{")
    with pytest.raises(ValueError, match="annotate.json: damaged"):
        run()


def test_networks_see_batches_of_one_size(run, pairs, mlsd_weights, monkeypatch):
    write_png(pairs / "images" / "wide.png", np.zeros((64, 96, 3), np.uint8))
    monkeypatch.setenv(CKPTS_VARIABLE, str(mlsd_weights))
    seen, real = [], MLSDdetector.detect

    def detect(self, images, **options):
        seen.append(len(images))
        return real(self, images, **options)

    monkeypatch.setattr(MLSDdetector, "detect", detect)
    output = run("--batch_size", 4, detector="mlsd")
    assert sorted(seen) == [1, 2, 4] and pixels(output / "wide.png").shape == (64, 96)
    record = json.loads((output / MAPS_RECORD).read_text())
    assert list(record["weights"]) == [MLSD_WEIGHTS.name]
    assert record["settings"]["mlsd_thr_v"] == 0.1 and "canny_low" not in record["settings"]
    one = run("--weights_path", mlsd_weights / MLSD_WEIGHTS.name, detector="mlsd", output="one")
    assert maps(one) == maps(output)


def test_midas_draws_depth_or_the_published_order_of_normals(run, monkeypatch):
    class Plane:
        def __init__(self, *_):
            pass

        def detect(self, images, a, bg_th):
            assert (a, bg_th) == (6.2, 0.4)
            depth = np.full(images[0].shape[:2], 7, np.uint8)
            normal = np.broadcast_to(np.array([1, 2, 3], np.uint8), images[0].shape)
            return [(depth, normal)] * len(images)

    monkeypatch.setattr(annotator.midas, "MidasDetector", Plane)
    monkeypatch.setattr(annotate, "find_all_weights", lambda *_: {})
    assert (pixels(run(detector="midas") / "cell_0.png") == 7).all()
    normals = run("--midas_output", "normal", detector="midas", output="normals")
    assert (pixels(normals / "cell_0.png") == [3, 2, 1]).all()


@dataclass(frozen=True)
class ThresholdOptions:
    threshold_level: int = option(128, int, "INT", "grey level")


def make_threshold(options):
    return lambda pictures: [
        np.where(picture[..., 0] > options.threshold_level, 255, 0).astype(np.uint8)
        for picture in pictures
    ]


def test_a_new_detector_is_one_entry(run, pairs, monkeypatch):
    new = Detector("threshold", ThresholdOptions, EDGES, make_threshold)
    monkeypatch.setitem(DETECTORS, "threshold", new)
    drawn = run("--threshold_level", 90, detector="threshold")
    image = pixels(pairs / "images" / "cell_0.png")
    assert np.array_equal(pixels(drawn / "cell_0.png") > 0, image.reshape(64, 64, -1)[..., 0] > 90)
    assert json.loads((drawn / MAPS_RECORD).read_text())["settings"]["threshold_level"] == 90
    assert edge_detectors()["threshold"] is new


def test_detect_resolution_keeps_the_size_of_the_image(run):
    folder = run("--detect_resolution", 128)
    assert pixels(folder / "cell_0.png").shape == (64, 64)
    assert set(np.unique(pixels(folder / "cell_0.png"))) <= {0, 255}
    assert maps(folder) != maps(run(output="plain"))


def test_bits_and_channels(run, tmp_path):
    """The same picture as 8 and 16 bits, RGB and RGBA gives the same map."""
    grey = (60 + 120 * (np.mgrid[:64, :64][1] > 30)).astype(np.uint8)
    folder = tmp_path / "kinds"
    folder.mkdir()
    write_png(folder / "grey.png", grey)
    tifffile.imwrite(folder / "deep.tif", grey.astype(np.uint16) * 257)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    write_png(folder / "rgb.png", rgb)
    write_png(folder / "rgba.png", np.dstack([rgb, np.full_like(grey, 255)]))
    found = maps(run(images=folder))
    assert len(found) == 4 and len(set(found.values())) == 1
    assert pixels(tmp_path / "edges" / "deep.png").any()


def test_bad_input_is_one_line(pairs, tmp_path, error_line, mlsd_weights, monkeypatch):
    def line(*words, detector="canny", images=pairs / "images"):
        files = ["--detector", detector, "--input", images, "--output", tmp_path / "out"]
        return error_line(annotate.main, *files, "--device", "cpu", *words)

    unknown = line(detector="sobel")
    assert all(name in unknown for name in ("sobel", *DETECTORS))
    (tmp_path / "empty").mkdir()
    assert "empty: holds no image" in line(images=tmp_path / "empty")
    assert "none: no such folder" in line(images=tmp_path / "none")
    assert "--canny_low: 300 is above the high threshold, 200" in line("--canny_low", 300)
    assert "--hed_scribble has no effect on --detector canny" in line("--hed_scribble")
    assert "canny needs no weights" in line("--weights_path", "x")
    assert "is the --input folder" in line("--output", pairs / "images")
    assert "--device: tpu9" in line("--device", "tpu9")
    wrong = tmp_path / "mlsd.pth"
    wrong.write_bytes((mlsd_weights / MLSD_WEIGHTS.name).read_bytes())
    assert "mlsd.pth, expected ControlNetHED.pth: does not fit HEDNetwork" in line(
        "--weights_path", wrong, detector="hed"
    )
    absent = line("--weights_path", tmp_path / "none.pth", detector="hed")
    assert f"--weights_path {tmp_path / 'none.pth'}: no such file" in absent
    monkeypatch.setattr(
        "core.fetching.downloads.download", mock.Mock(side_effect=TimeoutError("no network"))
    )
    missing = line("--weights_path", tmp_path / "empty", detector="openpose")
    for words in ("body_pose_model.pth", str(tmp_path / "empty"), "no network"):
        assert words in missing
    (pairs / "images" / "cell_7.png").write_text("text")
    assert "cell_7.png: cannot be read as an image" in line()
    (pairs / "images" / "cell_7.png").unlink()
    tifffile.imwrite(pairs / "images" / "real.tif", np.zeros((64, 64), np.float32))
    assert "real.tif: pixels are float32, expected 8 or 16 bits without a sign" in line()
    tifffile.imwrite(pairs / "images" / "cell_1.tif", np.zeros((64, 64), np.uint8))
    assert "share a stem" in line()
    assert not (tmp_path / "out").exists()
