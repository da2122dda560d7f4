"""Windows of grey levels."""

import numpy as np
import pytest
import tifffile

from core.command_line.options import OptionError
from volumes import open_volume
from volumes.grey import GreyOptions, Window, grey_picture


def volume_of(path, array):
    tifffile.imwrite(path, array, photometric="minisblack")
    return open_volume(path)


def test_percentiles_of_a_ramp(tmp_path):
    ramp = np.linspace(-50, 50, 4 * 50 * 50, dtype=np.float32).reshape(4, 50, 50)
    volume = volume_of(tmp_path / "a.tif", ramp)
    low, high = GreyOptions().window_of(volume)  # 0.1 and 99.9 percent
    assert low == pytest.approx(-49.9, abs=0.01) and high == pytest.approx(49.9, abs=0.01)
    assert GreyOptions(percentiles=(25, 50)).window_of(volume) == pytest.approx((-25, 0), abs=0.01)
    assert GreyOptions(window=(1, 2)).window_of(volume) == (1, 2)


def test_stored_levels_are_kept_but_where_a_window_is_asked_for(tmp_path):
    array = np.arange(2 * 16 * 16, dtype=np.uint16).reshape(2, 16, 16)
    volume = volume_of(tmp_path / "a.tif", array)
    assert GreyOptions().window_of(volume) is None
    assert GreyOptions(percentiles=(0, 100)).window_of(volume) == (0, 511)


def test_windows_of_odd_volumes(tmp_path):
    flat = np.full((2, 16, 16), 3, np.float32)
    with pytest.raises(ValueError, match="all voxels are equal"):
        GreyOptions().window_of(volume_of(tmp_path / "a.tif", flat))
    with pytest.raises(ValueError, match="complex64, expected grey levels"):
        volume_of(tmp_path / "c.tif", flat.astype(np.complex64))
    bits = volume_of(tmp_path / "d.tif", np.arange(128).reshape(2, 8, 8) % 3 == 0)
    window = GreyOptions().window_of(bits)
    picture = grey_picture(bits.slices(0, 0, 1)[0], window, False, "slice")
    assert window == (0, 1) and picture[0, :4].tolist() == [255, 0, 0, 255]
    flat[0, 0, 0], flat[0, 0, 1] = 9, np.nan
    assert GreyOptions(percentiles=(10, 90)).window_of(volume_of(tmp_path / "b.tif", flat)) == (
        3,
        9,
    )


def test_pictures():
    levels = np.array([[-1, 0, 5], [10, 11, 2]], np.float32)
    picture = grey_picture(levels, Window(0, 10), False, "slice")
    assert picture.dtype == np.uint8 and picture.tolist() == [[0, 0, 128], [255, 255, 51]]
    white = grey_picture(np.array([[0, 65535, 1]], np.uint16), None, True, "slice")
    assert white.dtype == np.uint16 and white.tolist() == [[65535, 0, 65534]]
    with pytest.raises(ValueError, match="slice 3: holds NaN"):
        grey_picture(np.full((2, 2), np.nan), Window(0, 1), False, "slice 3")


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.float64])
def test_levels_far_from_zero_keep_their_contrast(tmp_path, dtype):
    """float32 knows two of these 256 levels."""
    levels = 2**30 + np.arange(256, dtype=dtype).reshape(16, 16)
    window = GreyOptions(percentiles=(0, 100)).window_of(
        volume_of(tmp_path / "a.tif", np.stack([levels, levels]))
    )
    picture = grey_picture(levels, window, False, "slice")
    assert picture.ravel().tolist() == list(range(256))


def test_large_pictures_are_windowed_in_parts(monkeypatch):
    monkeypatch.setattr("volumes.grey.SHIFTED_PIXELS", 40)
    levels = np.arange(7 * 16).reshape(7, 16)
    assert (Window(0, 255).apply(levels) == levels).all()


@pytest.mark.parametrize(
    "options",
    [
        GreyOptions((2, 1)),
        GreyOptions((1, 2), (1, 2)),
        GreyOptions(percentiles=(5, 5)),
        GreyOptions(percentiles=(5, 101)),
    ],
)
def test_options_that_are_refused(options):
    with pytest.raises(OptionError):
        options.check()
