"""Volumes of a finished stack, read by the libraries of their formats and by our own readers."""

import os
import signal

import numpy as np
import pytest
import tifffile

from core.imaging.images import read_grey, to_uint8
from core.imaging.labels import read_labels
from core.imaging.pixel_size import PixelSize
from generation.exporting import volume as module
from generation.exporting.volume import VolumeOptions, check_export_volume, export_volume, voxel_of
from volumes import open_volume


@pytest.fixture
def expected(run_dir):
    """Images and masks of the run, uint8 (4, 64, 64) each."""
    names = [f"image_cond{k // 2}_batch{k % 2 + 1}_sample0.png" for k in range(4)]
    images = [to_uint8(read_grey(run_dir / "images" / name)) for name in names]
    return np.stack(images), np.stack([read_labels(run_dir / "masks" / name) for name in names])


def test_tiff(run_dir, expected, tmp_path):
    options = VolumeOptions(tmp_path / "a.tif")
    check_export_volume(options)
    assert export_volume(options, run_dir, (40, 8, 4)) == 4
    for name, values in zip(("a.tif", "a_masks.tif"), expected, strict=True):
        assert (tifffile.imread(tmp_path / name) == values).all()
        volume = open_volume(tmp_path / name)
        assert tuple(volume.voxel) == (40, 8, 4)
        with tifffile.TiffFile(tmp_path / name) as file:
            is_mask = "255 marks pixels to be ignored" in file.ome_metadata
        assert is_mask == (name == "a_masks.tif")
    with pytest.raises(FileExistsError, match="a.tif"):
        check_export_volume(options)


def test_ome_zarr(run_dir, expected, tmp_path):
    pytest.importorskip("ome_zarr")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    path = tmp_path / "a.ome.zarr"
    options = VolumeOptions(path)
    check_export_volume(options)
    assert export_volume(options, run_dir, (8, 8, 4)) == 4
    nodes = list(Reader(parse_url(path))())  # the reader of napari's plug-in
    by_name = {node.metadata["name"]: node for node in nodes if node.data}
    for name, values in zip(("a", "masks"), expected, strict=True):
        assert (np.asarray(by_name[name].data[0]) == values).all()
        axes = [(axis["name"], axis["unit"]) for axis in by_name[name].metadata["axes"]]
        assert axes == [(axis, "nanometer") for axis in "zyx"]
        (transformations,) = by_name[name].metadata["coordinateTransformations"]  # of one level
        assert transformations[0]["scale"] == [8, 8, 4]
    assert by_name["masks"].metadata["properties"] == {255: {"class": "ignore"}}
    pytest.importorskip("tensorstore")
    assert tuple(open_volume(path).voxel) == (8, 8, 4)
    with pytest.raises(FileExistsError, match="a.ome.zarr"):
        check_export_volume(options)


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.tif"])
def test_a_volume_larger_than_the_memory(large_run, traced_peak, tmp_path, name):
    if name.endswith("zarr"):
        pytest.importorskip("ome_zarr")
    options = VolumeOptions(tmp_path / name)
    peak = traced_peak(lambda: export_volume(options, large_run, (8, 8, 8)))
    volume = open_volume(tmp_path / name)
    assert volume.shape == (48, 640, 640) and peak < np.prod(volume.shape)  # of the images alone
    assert (volume.slices(0, 47, 48) == 100).all()


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.tif"])
@pytest.mark.parametrize("read", [read_grey, read_labels])  # while images or masks are written
def test_a_scheduler_that_ends_the_export_leaves_nothing(
    run_dir, tmp_path, monkeypatch, name, read
):
    if name.endswith("zarr"):
        pytest.importorskip("ome_zarr")

    def read_and_stop(path):
        os.kill(os.getpid(), signal.SIGUSR1)
        return read(path)

    monkeypatch.setattr(module, read.__name__, read_and_stop)
    before = set(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        export_volume(VolumeOptions(tmp_path / name), run_dir, None)
    assert set(tmp_path.iterdir()) == before


def test_the_distance_of_slices(tmp_path):
    size = PixelSize(8, 4)
    given, left_out = VolumeOptions(slice_distance=30), VolumeOptions()
    assert voxel_of(left_out, tmp_path, size) == (8, 8, 4)
    # As utils/slices.py writes it
    (tmp_path / "volume.json").write_text('{"pixel_size_nm": [8, 4], "slice_distance_nm": 40}')
    assert voxel_of(left_out, tmp_path, size) == (40, 8, 4)
    assert voxel_of(given, tmp_path, size) == (30, 8, 4)
    assert voxel_of(left_out, tmp_path, None) is None
    with pytest.raises(ValueError, match="slice_distance: the pixel size of .* is unknown"):
        voxel_of(given, tmp_path, None)


def test_wrong_options_are_named(tmp_path):
    with pytest.raises(ValueError, match="export_volume: .*expected a name that ends in"):
        VolumeOptions(tmp_path / "a.nii").check()
    with pytest.raises(ValueError, match="slice_distance: needs --export_volume"):
        VolumeOptions(slice_distance=3).check()


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ome_zarr.writer", None)
    with pytest.raises(RuntimeError, match="pip install -r req-volumes.txt"):
        check_export_volume(VolumeOptions(tmp_path / "a.zarr"))
