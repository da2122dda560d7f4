"""Labels: every way to store classes gives the same numbers; files that tell none are named."""

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from core.imaging.images import read_image, write_png
from core.imaging.labels import check_label_files, palette_in_use, read_labels
from core.notices import Notice
from tests.picture_files import blocks, write

RAMP = np.arange(12 * 20, dtype=np.uint8).reshape(12, 20)


def test_palettes_of_greys_that_do_not_rise_are_refused(tmp_path):
    """Pillow's `quantize` puts the brightest grey first; plain greys of 0, 127, 255 are refused."""
    for greys in ([255, 127, 0], [127, 0, 255]):
        picture = Image.new("P", (3, 1))
        picture.putdata([0, 1, 2])
        picture.putpalette(np.repeat(greys, 3).tolist())
        picture.save(tmp_path / "a.png")
        message = f"a.png: a palette in which the indices 0, 1, 2 show the greys {greys[0]}, "
        with pytest.raises(ValueError, match=message):
            read_labels(tmp_path / "a.png")
    assert palette_in_use(tmp_path / "a.png") == {(127,) * 3: 0, (0,) * 3: 1, (255,) * 3: 2}


def test_labels_of_a_colour_picture(tmp_path):
    labels = RAMP % 3
    write_png(tmp_path / "grey.png", np.repeat(labels[..., None], 3, axis=2))
    assert np.array_equal(read_labels(tmp_path / "grey.png"), labels)
    write_png(tmp_path / "colour.png", np.stack([labels, labels, 0 * labels], axis=-1))
    with pytest.raises(ValueError, match="colour.png: a colour picture"):
        read_labels(tmp_path / "colour.png")


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_whole_numbers_are_labels_in_every_type_and_nothing_else_is(tmp_path_factory, dtype, data):
    dtype = np.dtype(dtype)
    bits = dtype.itemsize * 8
    values = (
        st.integers(np.iinfo(dtype).min, np.iinfo(dtype).max)
        if dtype.kind in "ui"
        else st.one_of(st.integers(-2000, 2000).map(float), st.floats(width=bits))
    )
    numbers = np.array(data.draw(st.lists(values, min_size=6, max_size=6)), dtype).reshape(2, 3)
    path = tmp_path_factory.getbasetemp() / f"{dtype}.tif"
    tifffile.imwrite(path, numbers, photometric="minisblack", metadata=None)
    listed = numbers.flatten().tolist()
    are_labels = all(np.isfinite(n) and n == int(n) and -(2**63) <= n < 2**63 for n in listed)
    if are_labels:
        assert read_labels(path).flatten().tolist() == [int(n) for n in listed]
    else:
        with pytest.raises(ValueError, match="expected whole numbers"):
            read_labels(path)


@settings(max_examples=40, deadline=None)
@given(
    labels=arrays(np.uint8, (8, 8), elements=st.integers(0, 6)),
    order=st.permutations(range(7)),
    suffix=st.sampled_from([".png", ".tif", ".bmp"]),
)
def test_a_mask_reads_alike_as_grey_colour_or_palette(tmp_path_factory, labels, order, suffix):
    folder = tmp_path_factory.getbasetemp()
    table = np.repeat(np.array(order, np.uint8)[:, None], 3, axis=1)  # class of each index
    by_table = Image.fromarray(np.argsort(order)[labels].astype(np.uint8), mode="P")
    by_table.putpalette(table.tobytes())
    coloured = np.random.default_rng(0).permutation(256)[:21].astype(np.uint8)
    by_index = Image.fromarray(labels, mode="P")
    by_index.putpalette(coloured.tobytes())
    pictures = {
        "grey": Image.fromarray(labels),
        "colour": Image.fromarray(np.repeat(labels[..., None], 3, axis=2)),
        "table of classes": by_table,
        "table of colours": by_index,
        "quantised": Image.fromarray(np.repeat(labels[..., None], 3, axis=2)).quantize(7),
    }
    for name, picture in pictures.items():
        picture.save(folder / f"{name}{suffix}")
        assert np.array_equal(read_labels(folder / f"{name}{suffix}"), labels), name


def test_quantised_masks_keep_their_classes(tmp_path):
    labels = RAMP % 3
    picture = Image.fromarray(np.repeat(labels[..., None], 3, axis=2)).quantize(3)
    assert not np.array_equal(np.array(picture), labels)  # Pillow orders its table anew
    picture.save(tmp_path / "a.png")
    assert np.array_equal(read_labels(tmp_path / "a.png"), labels)


@pytest.mark.parametrize("shape", [(), (3,), (4,)])
def test_16_bit_colour_masks_of_opencv(tmp_path, shape):
    labels = (RAMP % 3).astype(np.uint16)
    pixels = np.broadcast_to(labels.reshape(*labels.shape, *(1 for _ in shape)), (12, 20, *shape))
    cv2.imwrite(str(tmp_path / "m.png"), np.ascontiguousarray(pixels))
    assert np.array_equal(read_labels(tmp_path / "m.png"), labels)


def test_each_folder_with_jpeg_is_warned_of_once(tmp_path, recwarn):
    """By content: a TIFF compressed as JPEG, and a JPEG that is named as a PNG."""
    labels = blocks((64, 64))
    paths = [write(tmp_path / "a" / f"{i}.{end}", labels) for i, end in enumerate(["png", "tif"])]
    paths.append(tmp_path / "a" / "packed.tif")
    tifffile.imwrite(paths[-1], labels, compression="zlib")
    paths.append(tmp_path / "a" / "planes.npz")
    np.savez(paths[-1], labels)
    check_label_files(paths)
    assert not recwarn
    paths += [write(tmp_path / "b" / name, labels) for name in ("0.jpg", "1.png")]
    for folder in "bc":
        paths.append(tmp_path / folder / "2.tif")
        paths[-1].parent.mkdir(exist_ok=True)
        tifffile.imwrite(paths[-1], labels, compression="jpeg")
    Image.fromarray(labels).save(tmp_path / "c" / "3.png", format="JPEG")
    check_label_files([*paths, *paths, tmp_path / "c" / "3.png"])
    messages = sorted(str(warning.message) for warning in recwarn)
    assert len(messages) == 2 and all(w.category is Notice for w in recwarn)
    words = "files of labels are compressed as JPEG, for example"
    assert messages[0].startswith(f"{tmp_path}/b: 2 of 3 {words} 0.jpg. JPEG changes classes")
    assert messages[1].startswith(f"{tmp_path}/c: 2 of 2 {words} 2.tif. ")


def test_labels_that_imagej_keeps_with_an_offset(tmp_path):
    labels = np.array([[0, 1], [2, 255]], np.uint16)
    line = {"cf": 0, "c0": -32768.0, "c1": 1.0}
    tifffile.imwrite(tmp_path / "a.tif", labels + np.uint16(2**15), imagej=True, metadata=line)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), labels)
    with pytest.raises(ValueError, match="a.tif: pixels are int16"):
        read_image(tmp_path / "a.tif")
