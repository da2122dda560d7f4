"""Zarr and OME-Zarr that zarr and ome-zarr wrote, and N5 of tensorstore and of zarr 2."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.volumes.stacks import VOXEL, check_reads, voxels
from volumes import ArrayOptions, open_volume

tensorstore = pytest.importorskip("tensorstore")


def write_n5(path, array, attributes=None):
    """An N5 array of tensorstore; N5 counts axes from x on."""
    spec = {
        "driver": "n5",
        "kvstore": {"driver": "file", "path": str(path)},
        "metadata": {
            "dimensions": array.shape[::-1],
            "blockSize": [8, 8, 2],
            "dataType": array.dtype.name,
            "compression": {"type": "gzip"},
        },
        "create": True,
    }
    tensorstore.open(spec).result().write(array.T).result()
    note(path / "attributes.json", attributes or {})
    return path


def note(path, attributes):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | attributes))


@pytest.mark.parametrize("version", [2, 3])
def test_arrays_and_groups_of_zarr(tmp_path, version):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    raw = group.create_array("volumes/raw", shape=(5, 23, 31), chunks=(2, 8, 8), dtype="u2")
    raw[:] = voxels(np.uint16)
    volume = check_reads(tmp_path / "a.zarr", voxels(np.uint16))
    assert volume.chunks == (2, 8, 8) and volume.format == "Zarr"
    check_reads(tmp_path / "a.zarr" / "volumes", voxels(np.uint16), dataset="raw")
    group.create_array("other", shape=(5, 23, 31), dtype="f4")
    with pytest.raises(ValueError, match="dataset: .* name one data set of other, volumes/raw"):
        open_volume(tmp_path / "a.zarr")
    with pytest.raises(ValueError, match="none"):
        open_volume(tmp_path / "a.zarr", ArrayOptions(dataset="none"))
    with pytest.raises(ValueError, match="level"):
        open_volume(tmp_path / "a.zarr", ArrayOptions(dataset="other", level=1))


def test_sharded_zarr_is_read_by_its_inner_chunks(tmp_path):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(5, 23, 31), chunks=(1, 8, 8), shards=(2, 16, 16), dtype="u1"
    )
    array[:] = voxels()
    assert check_reads(tmp_path / "a.zarr", voxels()).chunks == (1, 8, 8)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_at_every_level(tmp_path, version):
    zarr, writer = pytest.importorskip("zarr"), pytest.importorskip("ome_zarr.writer")
    formats = pytest.importorskip("ome_zarr.format")
    path, array = tmp_path / "a.ome.zarr", voxels(np.uint16)
    levels = [array[None], array[None, :, ::2, ::2]]
    units = ("nanometer", "micrometer", "angstrom")
    own = (VOXEL[0], VOXEL[1] / 1e3, VOXEL[2] * 10)
    scales = [[1, *own], [1, own[0], own[1] * 2, own[2] * 2]]
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    writer.write_multiscale(
        levels,
        group,
        fmt=formats.format_from_version(version),
        axes=[
            {"name": "c", "type": "channel"},
            *(
                {"name": name, "type": "space", "unit": unit}
                for name, unit in zip("zyx", units, strict=True)
            ),
        ],
        coordinate_transformations=[[{"type": "scale", "scale": scale}] for scale in scales],
    )
    assert check_reads(path, array, VOXEL).format == "OME-Zarr"
    coarse = (VOXEL[0], VOXEL[1] * 2, VOXEL[2] * 2)
    check_reads(path, np.ascontiguousarray(array[:, ::2, ::2]), coarse, level=1)
    with pytest.raises(ValueError, match="level: 2: .* has 2"):
        open_volume(path, ArrayOptions(level=2))
    # A path to one array of the pyramid knows its size too.
    names = [p.name for p in sorted(path.iterdir()) if p.is_dir()]
    check_reads(path / names[1], np.ascontiguousarray(array[:, ::2, ::2]), coarse)


@pytest.mark.parametrize(
    "attributes",
    [
        {"pixelResolution": {"dimensions": [5, 4, 30], "unit": "nm"}},
        {"resolution": [5, 4, 30]},
        {"resolution": [5, 0.004, 300], "units": ["nm", "um", "angstrom"]},
        {
            "transform": {
                "axes": ["z", "y", "x"],
                "scale": [0.03, 0.004, 0.005],
                "units": ["um"] * 3,
            }
        },
    ],
    ids=lambda attributes: next(iter(attributes)),
)
def test_n5_and_its_dialects_of_voxel_sizes(tmp_path, attributes):
    write_n5(tmp_path / "a.n5" / "raw", voxels(np.uint64), attributes)
    assert check_reads(tmp_path / "a.n5", voxels(np.uint64), VOXEL).format == "N5"
    check_reads(tmp_path / "a.n5", voxels(np.uint64), VOXEL, dataset="raw")


def test_label_multisets_of_paintera_are_refused(tmp_path):
    write_n5(tmp_path / "a.n5" / "s0", voxels(np.uint8), {"isLabelMultiset": True})
    with pytest.raises(ValueError, match="s0: stores several labels for each voxel .label multi"):
        open_volume(tmp_path / "a.n5")


@pytest.mark.parametrize("version", [2, 3])
def test_axes_that_an_array_names(tmp_path, version):
    zarr = pytest.importorskip("zarr")
    for names, array in (("xyz", voxels().T), ("abc", voxels()), (None, voxels())):
        path = tmp_path / f"{names}.zarr"
        fields = {"shape": array.shape, "dtype": "u1", "zarr_format": version}
        if version == 3 and names:
            fields["dimension_names"] = list(names)
        stored = zarr.create_array(path, **fields)
        stored[:] = array
        if version == 2 and names:  # as xarray does
            stored.attrs["_ARRAY_DIMENSIONS"] = list(names)
        check_reads(path, voxels())


def test_n5_of_cosem_has_pyramids_without_axes(tmp_path):
    transform = {"axes": ["z", "y", "x"], "units": ["nm"] * 3, "scale": VOXEL}
    write_n5(tmp_path / "a.n5/em/s0", voxels(), {"transform": transform})
    note(tmp_path / "a.n5/em/attributes.json", {"multiscales": [{"datasets": [{"path": "s0"}]}]})
    for dataset in ("em", "em/s0"):
        check_reads(tmp_path / "a.n5", voxels(), VOXEL, dataset=dataset)


def test_a_pyramid_below_a_group_keeps_its_axes(tmp_path):
    axes = [{"name": axis, "unit": "nanometer"} for axis in "xyz"]
    scale = {"type": "scale", "scale": VOXEL[::-1]}
    level = {"path": "0", "coordinateTransformations": [scale]}
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "a.zarr/raw", mode="w", zarr_format=2)
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [level]}]
    group.create_array("0", shape=(31, 23, 5), dtype="u1")[:] = voxels().T
    note(tmp_path / "a.zarr/.zgroup", {"zarr_format": 2})
    check_reads(tmp_path / "a.zarr", voxels(), VOXEL)


def test_n5_pyramid(tmp_path):
    write_n5(tmp_path / "a.n5/s0", voxels())
    half = np.ascontiguousarray(voxels()[:, ::2, ::2])
    write_n5(tmp_path / "a.n5/s1", half, {"downsamplingFactors": [2, 2, 1]})
    note(tmp_path / "a.n5/attributes.json", {"resolution": [5, 4, 30]})
    check_reads(tmp_path / "a.n5", voxels(), VOXEL)
    check_reads(tmp_path / "a.n5", half, (30, 8, 10), level=1)


def test_n5_of_another_library():
    """Written by N5Store of zarr 2.18 (numcodecs 0.15): `zarr.open(N5Store(path))["raw"] = ...`."""
    path = Path(__file__).parents[1] / "fixtures" / "zarr2.n5"
    check_reads(path, voxels(np.uint16, (3, 4, 5)))


def test_damaged_containers(tmp_path):
    folder = tmp_path / "a.zarr"
    folder.mkdir()
    with pytest.raises(ValueError, match="no Zarr or N5 array"):
        open_volume(folder)
    (folder / "zarr.json").write_text("{")
    with pytest.raises(ValueError, match="zarr.json: damaged"):
        open_volume(folder)
    (folder / "zarr.json").write_text('{"node_type": "array"}')
    with pytest.raises(ValueError, match="a.zarr: cannot be read as zarr3"):
        open_volume(folder)
    write_n5(tmp_path / "b.n5", voxels())
    (tmp_path / "b.n5/0/0/0").write_bytes(b"no block")
    volume = open_volume(tmp_path / "b.n5")
    with pytest.raises(ValueError, match="b.n5: damaged"):
        volume.slices(0, 0, 1)
