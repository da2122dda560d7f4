"""The record of a folder of slices: edited, damaged or of another call."""

import json

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, example, given, settings

from core.imaging.image_header import BIT_DEPTH_VARIABLE
from tests.edited import edits
from volumes import open_volume
from volumes.base import ArrayOptions
from volumes.slice_record import (
    SLICES,
    SlicesRecord,
    describe_volume,
    read_slices_record,
    write_slices_record,
)

OPTIONS = {"axis": "z", "step": 1}
VOLUMES = [{"name": "cell.tif", "shape": [12, 20, 30], "bytes": None}]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edit=edits())
@example(edit=lambda record: record | {"grey_window": [1.0, 2.0, 3.0]})
def test_an_edited_record_means_the_same_or_is_refused(tmp_path, edit):
    path = tmp_path / SLICES
    path.unlink(missing_ok=True)
    record = SlicesRecord(options=OPTIONS, volumes=VOLUMES, grey_window=[3.0, 250.0])
    write_slices_record(tmp_path, record)
    path.write_text(json.dumps(edit(json.loads(path.read_text()))))
    try:
        window = read_slices_record(tmp_path, OPTIONS, VOLUMES).window
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert window is None or len(window) == 2


@pytest.mark.parametrize("version", [2, 3])
def test_a_chunk_of_a_zarr_that_was_written_since_is_told(tmp_path, version):
    path = tmp_path / "cell.zarr"
    zarr = pytest.importorskip("zarr")
    fields = {"shape": (4, 8, 8), "chunks": (2, 8, 8), "dtype": "uint8", "zarr_format": version}
    array = zarr.create_array(str(path), **fields)
    array[:] = 1

    def described():
        return [describe_volume(path, open_volume(path, ArrayOptions()))]

    before = described()
    record = SlicesRecord(options=OPTIONS, volumes=before, grey_window=None)
    write_slices_record(tmp_path / "out", record)
    assert read_slices_record(tmp_path / "out", OPTIONS, described()) == record
    (path / "@eaDir").mkdir()  # what file managers and systems add
    for name in (".DS_Store", "._0.0.0", "Thumbs.db", "@eaDir/thumb.jpg"):
        (path / name).touch()
    assert read_slices_record(tmp_path / "out", OPTIONS, described()) == record
    array[3] = 2
    with pytest.raises(ValueError, match="slices.json: cell.zarr has changed since"):
        read_slices_record(tmp_path / "out", OPTIONS, described())


def test_bits_that_older_versions_did_not_note_count_where_levels_are_stored(tmp_path):
    image, labels = {"name": "a.tif"}, {"name": "b.tif"}
    for window, now, same in (
        ([0.0, 4095.0], [image | {"bits": 12}, labels], True),
        (None, [image, labels | {"bits": 12}], True),
        (None, [image | {"bits": 12}, labels], False),
    ):
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        record = SlicesRecord(options=OPTIONS, volumes=[image, labels], grey_window=window)
        write_slices_record(out, record)
        if same:
            assert read_slices_record(out, OPTIONS, now) == record
            continue
        with pytest.raises(ValueError, match="slices.json: a.tif has changed since"):
            read_slices_record(out, OPTIONS, now)


def test_bits_that_older_versions_did_not_stretch_are_noted(tmp_path):
    stack = tmp_path / "a.tif"
    for largest, noted in ((4095, 12), (255, 8), (65535, None)):
        tags = {"extratags": [(281, 3, 1, largest, False)], "metadata": None}
        tifffile.imwrite(stack, np.zeros((2, 8, 9), "u2"), photometric="minisblack", **tags)
        assert describe_volume(stack, open_volume(stack)).get("bits") == noted


def test_the_axes_of_a_zarr_that_were_named_since_are_told(tmp_path):
    """In Zarr 2, they stand in a hidden file."""
    path = tmp_path / "cell.zarr"
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(str(path), shape=(8, 8, 8), dtype="uint8", zarr_format=2)
    before = describe_volume(path, open_volume(path))
    array.attrs["_ARRAY_DIMENSIONS"] = ["x", "y", "z"]
    assert before != describe_volume(path, open_volume(path))


def test_bits_that_the_options_state_are_noted(tmp_path, monkeypatch):
    """Older versions took `--bit_depth` without effect, and their records do not hold it."""
    stack = tmp_path / "a.tif"
    tifffile.imwrite(stack, np.zeros((5, 8, 9), np.uint16))
    assert "bits" not in describe_volume(stack, open_volume(stack))
    monkeypatch.setenv(BIT_DEPTH_VARIABLE, "12")
    assert describe_volume(stack, open_volume(stack))["bits"] == 12
