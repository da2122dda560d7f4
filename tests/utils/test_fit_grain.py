"""The program that measures grain: files, table and refusals."""

import numpy as np
import pytest
from PIL import Image

from cldm.first_values import first_values
from cldm.model import load_autoencoder
from core.imaging.images import to_uint8, write_png
from microscope.grain import read_grain
from utils import fit_grain


@pytest.fixture
def images(tmp_path):
    """Three noisy pictures, one of them larger than the crop of the tests."""
    folder, rng = tmp_path / "images", np.random.default_rng(0)
    folder.mkdir()
    for i, side in enumerate((96, 100, 130)):
        noise = rng.normal(128, 20, (side, side)).clip(0, 255)
        write_png(folder / f"{i}.png", noise.astype(np.uint8))
    return folder


@pytest.fixture
def command(images, micro_yaml, micro_weights, tmp_path):
    """Words of the program's command line; it writes `new/grain.json`."""
    words = ["--image_path", images, "--config", micro_yaml, "--weights", micro_weights]
    words += ["--output", tmp_path / "new" / "grain.json", "--crop", 96, "--device", "cpu"]
    return [str(word) for word in words]


def test_grain_pictures_and_table(command, micro_weights, tmp_path, capsys, monkeypatch):
    def flat(model, pixels, device):
        return to_uint8(pixels), np.full_like(pixels, 128, dtype=np.uint8)

    monkeypatch.setattr("fid.reconstruction.reconstruct", flat)
    fit_grain.main([*command, "--pixel_size", "4.6"])
    grain = read_grain(tmp_path / "new" / "grain.json")
    assert (grain.images, grain.pixels, grain.pixel_size_nm) == (3, 3 * 96**2, [4.6, 4.6])
    assert grain.autoencoder == first_values(load_autoencoder(micro_weights)).tolist()
    noise = grain.add(np.full((128, 128, 3), 0.5), 0) - 0.5
    assert 255 * noise.std() == pytest.approx(20, rel=0.05)
    for name in ("grain.png", "grain_curves.png"):
        assert Image.open(tmp_path / "new" / name).width > 200
    out = capsys.readouterr().out
    rows = {line[:14].strip(): line[14:].split() for line in out.splitlines()[1:5]}
    real, with_grain = (np.array(rows[kind], float) for kind in ("real", "with grain"))
    np.testing.assert_allclose(with_grain[:3], real[:3], rtol=0.1)
    np.testing.assert_allclose(with_grain[3:], real[3:], atol=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "grain.npz"], "--output: grain.npz: expected a name that ends in .json"),
        (["--crop", "63"], "--crop: 63 is below 64"),
        (["--pixel_size", "0"], "--pixel_size: 0 is not a number above 0"),
        (["--max_images", "0"], "--max_images: 0 is below 1"),
        (["--weights", "none.ckpt"], "none.ckpt"),
        (["--config", "none.yaml"], "none.yaml"),
    ],
)
def test_wrong_options_are_one_line(command, tmp_path, error_line, options, message):
    assert message in error_line(fit_grain.main, *command, *options)
    assert not list(tmp_path.glob("new/*"))


def test_the_pixel_size_is_that_of_the_images_where_none_is_given(command, images, capsys):
    (images / "volume.json").write_text('{"pixel_size_nm": [8, 4]}')
    for options, shown in (([], "8 x 4 nm (height x width)"), (["--pixel_size", "5"], "5 nm")):
        fit_grain.main([*command, *options, "--dry_run"])
        assert f"3 images, pixel size {shown}\n" in capsys.readouterr().out


def test_nothing_is_overwritten(command, tmp_path, error_line):
    (tmp_path / "new").mkdir()
    for name in ("grain.json", "grain.png", "grain_curves.png"):
        path = tmp_path / "new" / name
        path.touch()
        assert f"{path}: exists already" in error_line(fit_grain.main, *command)
        path.unlink()


def test_small_and_damaged_images_are_refused(command, images, error_line):
    write_png(images / "small.png", np.zeros((63, 80), np.uint8))
    assert "small.png: 80 x 63 pixels, expected at least 64" in error_line(fit_grain.main, *command)
    (images / "small.png").write_bytes((images / "1.png").read_bytes()[:-100])
    assert "small.png" in error_line(fit_grain.main, *command)
