"""Grey levels of fewer bits than their type has, as the program cuts them out of volumes."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from core.imaging.labels import read_labels
from tests.core.imaging.file_cells import png
from tests.volumes.stacks import cut, voxels
from utils import slices


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("min_is_white", [False, True])
def test_levels_of_few_bits_are_stretched_in_images_alone(tmp_path, bits, min_is_white):
    """As the readers of ordinary images do: 15 of 4 bits is white, but label 15 stays 15."""
    folder, out = tmp_path / "slices", tmp_path / "out"
    stored = np.arange(2 * 8 * 16).reshape(2, 8, 16) % 2**bits
    if min_is_white:
        folder = tmp_path / "slices.tif"
        tifffile.imwrite(
            folder, stored.astype(np.uint8), bitspersample=bits, photometric="miniswhite"
        )
    else:
        folder.mkdir()
        for i, plane in enumerate(stored):
            (folder / f"{i}.png").write_bytes(png(plane[..., None], bits, 0))
    cut(folder, out, "--labels", folder)
    with Image.open(out / "images/slices_z1.png") as written:
        levels = stored[1] * 255 // (2**bits - 1)
        np.testing.assert_array_equal(np.array(written), 255 - levels if min_is_white else levels)
    np.testing.assert_array_equal(read_labels(out / "masks/slices_z1.png"), stored[1])


def of_12_bits(kind, stack, levels):
    """A volume of levels that use 12 bits of 16, and the option that its reading wants."""
    tags = {"extratags": [(281, 3, 1, 4095, kind == "tag of the first page")], "metadata": None}
    if kind == "folder":
        stack.mkdir()
        for i, plane in enumerate(levels):
            tifffile.imwrite(stack / f"{i}.tif", plane, photometric="minisblack", **tags)
    elif kind == "packed":
        tifffile.imwrite(stack, levels, photometric="minisblack", bitspersample=12)
    elif kind == "OME":
        tags = {"ome": True, "metadata": {"axes": "ZYX", "SignificantBits": 12}}
        tifffile.imwrite(stack, levels, photometric="minisblack", **tags)
    elif kind == "option":
        tifffile.imwrite(stack, levels, photometric="minisblack")
        return ("--bit_depth", "12")
    else:
        photometric = "miniswhite" if kind == "white zeros" else "minisblack"
        tifffile.imwrite(stack, levels, photometric=photometric, **tags)
    return ()


@pytest.mark.parametrize(
    "kind", ["tag", "tag of the first page", "white zeros", "packed", "OME", "folder", "option"]
)
def test_levels_of_12_bits_are_stretched_in_images_alone(tmp_path, capsys, kind):
    stack, out = tmp_path / "stack.tif", tmp_path / "out"
    stored = np.arange(2 * 12).reshape(2, 4, 3).astype(np.uint16)
    levels = np.where(stored == 23, 4095, stored * 8)
    words = of_12_bits(kind, stack, levels)
    classes = ("--map", *(f"{level}={i}" for i, level in enumerate(np.unique(levels))))
    cut(stack, out, "--labels", stack, *classes, *words)
    assert "grey levels of 12 bits stretched to 16" in capsys.readouterr().out
    expected = np.rint(levels[1] * (65535 / 4095))
    with Image.open(out / "images/stack_z1.png") as written:
        np.testing.assert_array_equal(
            np.array(written), 65535 - expected if kind == "white zeros" else expected
        )
    np.testing.assert_array_equal(read_labels(out / "masks/stack_z1.png"), stored[1])


def test_stated_bits_that_do_not_hold(tmp_path):
    """Some programs note the brightest pixel of each page; others are wrong."""
    stack, out = tmp_path / "a.tif", tmp_path / "out"
    levels = np.full((4, 4), 5000, np.uint16)
    with tifffile.TiffWriter(stack) as writer:
        for largest in (4095, 5000):
            tags = [(281, 3, 1, largest, False)]
            writer.write(levels, photometric="minisblack", extratags=tags, metadata=None)
    cut(stack, out)
    with Image.open(out / "images/a_z0.png") as written:
        assert (np.array(written) == levels).all()
    with pytest.raises(ValueError, match="a.tif, slice 0 across z: pixels reach 5000, but 12 bits"):
        cut(stack, tmp_path / "b", "--bit_depth", "12")


def test_slices_of_unlike_bits_are_labels_alone(tmp_path, error_line):
    folder, stack = tmp_path / "slices", tmp_path / "a.tif"
    folder.mkdir()
    for i, bits in enumerate((4, 8)):
        (folder / f"{i}.png").write_bytes(png(np.arange(16).reshape(4, 4, 1), bits, 0))
    tifffile.imwrite(stack, voxels(shape=(2, 4, 4)), photometric="minisblack")
    cut(stack, tmp_path / "out", "--labels", folder)
    for z in range(2):
        assert read_labels(tmp_path / f"out/masks/a_z{z}.png").ravel().tolist() == list(range(16))
    line = error_line(slices.main, folder, tmp_path / "b")
    assert f"{folder}: its pictures store grey levels in [4, 8] bits" in line
