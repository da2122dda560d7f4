"""HDF5 files that h5py wrote."""

import json

import numpy as np
import pytest

from tests.volumes.stacks import VOXEL, check_reads, voxels
from volumes import ArrayOptions, open_volume

h5py = pytest.importorskip("h5py")


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        raw = file.create_dataset("volumes/raw", data=voxels(np.uint16), chunks=(2, 8, 8))
        raw.attrs["resolution"] = VOXEL
        labels = file.create_dataset("volumes/labels", data=voxels(np.uint64), compression="gzip")
        labels.attrs["element_size_um"] = [side / 1e3 for side in VOXEL]
        file.create_dataset("notes", data=np.arange(4))
        file["text"] = "hello"
    return tmp_path / "a.h5"


def test_data_sets_by_name(path):
    volume = check_reads(path, voxels(np.uint16), VOXEL, dataset="/volumes/raw")
    assert volume.chunks == (2, 8, 8) and volume.source.endswith("a.h5:volumes/raw")
    check_reads(path, voxels(np.uint64), VOXEL, dataset="volumes/labels")
    with pytest.raises(ValueError, match="name one data set of volumes/labels, volumes/raw"):
        open_volume(path)
    with pytest.raises(ValueError, match="no data set raw"):
        open_volume(path, ArrayOptions(dataset="raw"))


@pytest.mark.parametrize("unit", ["um", np.bytes_("um"), ["um", "um", "micrometer"]])
def test_resolution_in_another_unit(tmp_path, unit):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = voxels()
        file["data"].attrs.update(resolution=[side / 1e3 for side in VOXEL], units=unit)
    check_reads(tmp_path / "a.h5", voxels(), VOXEL)


@pytest.mark.parametrize("unit", ["", " ", np.bytes_("")])
def test_resolution_without_a_unit_is_in_nm(tmp_path, unit):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = voxels()
        file["data"].attrs.update(resolution=VOXEL, units=unit)
    check_reads(tmp_path / "a.h5", voxels(), VOXEL)


def test_axes_of_labels_and_of_ilastik(tmp_path):
    array = voxels(np.uint8, (23, 31, 5, 2))  # y, x, z, c
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("data", data=array)
        for dimension, label in zip(data.dims, "yxzc", strict=True):
            dimension.label = label
    expected = array.transpose(2, 0, 1, 3)[..., 1]
    check_reads(tmp_path / "a.h5", np.ascontiguousarray(expected), at=("c=1",))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        data = file.create_dataset("exported_data", data=array[..., :1])
        data.attrs["axistags"] = json.dumps({"axes": [{"key": key} for key in "yxzc"]})
    check_reads(tmp_path / "b.h5", array[..., 0].transpose(2, 0, 1))


def test_imaris_fills_the_last_chunks_with_zeros(tmp_path):
    with h5py.File(tmp_path / "a.ims", "w") as file:
        channel = file.create_group("DataSet/ResolutionLevel 0/TimePoint 0/Channel 0")
        channel["Data"] = np.pad(voxels(), ((0, 3), (0, 9), (0, 1)))
        for axis, size in zip("ZYX", voxels().shape, strict=True):
            channel.attrs[f"ImageSize{axis}"] = np.array([*str(size)], "S1")
    check_reads(tmp_path / "a.ims", voxels())
    with h5py.File(tmp_path / "a.ims", "a") as file:  # damaged, or of another program
        file["DataSet/ResolutionLevel 0/TimePoint 0/Channel 0"].attrs["ImageSizeZ"] = 99
    check_reads(tmp_path / "a.ims", np.pad(voxels(), ((0, 3), (0, 9), (0, 1))))


def test_links_to_data_sets(tmp_path, path):
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["gone"] = h5py.ExternalLink("absent.h5", "/raw")
        file["dead"] = h5py.SoftLink("/absent")
        file["loop/up"] = h5py.SoftLink("/")
    with pytest.raises(ValueError, match=r"holds no data set, but links .* \(dead, gone\)"):
        open_volume(tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5", "a") as file:
        file["em"] = h5py.ExternalLink(path.name, "/volumes/raw")
    check_reads(tmp_path / "b.h5", voxels(np.uint16), VOXEL)
    with h5py.File(path, "a") as file:
        file["alias"] = h5py.SoftLink("/volumes/raw")
    with pytest.raises(ValueError, match="name one data set of volumes/labels, volumes/raw$"):
        open_volume(path)
    check_reads(path, voxels(np.uint16), VOXEL, dataset="alias")


def test_a_file_without_data_sets(tmp_path):
    h5py.File(tmp_path / "a.h5", "w").close()
    with pytest.raises(ValueError, match="a.h5: holds no data set of grey levels or labels"):
        open_volume(tmp_path / "a.h5")


def virtual(path, source, name="d"):
    """Write a virtual data set `v` of the voxels in data set `name` of a file."""
    layout = h5py.VirtualLayout((5, 23, 31), np.uint8)
    layout[:] = h5py.VirtualSource(source, name, (5, 23, 31))
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("v", layout)


def test_virtual_data_sets_need_their_sources(tmp_path):
    (tmp_path / "sub").mkdir()
    source = tmp_path / "sub/source.h5"
    with h5py.File(source, "w") as file:
        file["d"] = voxels()
    virtual(tmp_path / "a.h5", "sub/source.h5")
    virtual(tmp_path / "b.h5", "a.h5", "v")  # a virtual one of a virtual one
    virtual(source, ".")
    for path in (tmp_path / "a.h5", tmp_path / "b.h5", source):
        check_reads(path, voxels(), dataset="v")
    virtual(tmp_path / "c.h5", "sub/source.h5", "other")
    with pytest.raises(ValueError, match="source.h5: has no data set other, of which .*c.h5:/v is"):
        open_volume(tmp_path / "c.h5")
    source.rename(tmp_path / "moved.h5")
    for name in "ab":
        with pytest.raises(FileNotFoundError, match="a.h5: its voxels lie in sub/source.h5, which"):
            open_volume(tmp_path / f"{name}.h5")


def test_virtual_data_sets_of_counted_files(tmp_path):
    sides, endless = (23, 31), h5py.h5s.UNLIMITED
    space = h5py.h5s.create_simple((5, *sides), (endless, *sides))
    space.select_hyperslab((0, 0, 0), (endless, 1, 1), block=(1, *sides))  # a slice of each file
    kind = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    kind.set_virtual(space, b"%b.h5", b"d", h5py.h5s.create_simple((1, *sides)))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        h5py.h5d.create(file.id, b"v", h5py.h5t.NATIVE_UINT8, space, kind)
    with pytest.raises(FileNotFoundError, match="its voxels lie in 0.h5, which is not there"):
        open_volume(tmp_path / "a.h5")
    for i, plane in enumerate(voxels()):
        with h5py.File(tmp_path / f"{i}.h5", "w") as file:
            file["d"] = plane[None]
    check_reads(tmp_path / "a.h5", voxels())


def test_raw_files_of_voxels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    voxels().tofile("raw.bin")
    with h5py.File("a.h5", "w") as file:
        raw = [("raw.bin", 0, voxels().nbytes)]
        file.create_dataset("d", shape=voxels().shape, dtype=np.uint8, external=raw)
    path = tmp_path / "a.h5"
    check_reads(path, voxels())
    (tmp_path / "raw.bin").write_bytes(bytes(100))
    with pytest.raises(ValueError, match="raw.bin: has 100 bytes, but .*a.h5 speaks of 3565"):
        open_volume(path)
    (tmp_path / "raw.bin").unlink()
    with pytest.raises(FileNotFoundError, match="a.h5: its voxels lie in .*raw.bin, which is not"):
        open_volume(path)


def test_damaged_files(tmp_path, path):
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="cannot be read as HDF5"):
        open_volume(path)


@pytest.mark.parametrize(
    ("stored", "stated", "meant"),
    [
        ("<i2", None, "u2"),
        ("<i2", "uint16", "u2"),
        ("<i2", "int16", "i2"),
        ("<i2", np.bytes_(b"uint16"), "u2"),
        ("<i4", np.bytes_(b'"uint32"'), "u4"),
        ("<u2", None, "u2"),
        ("<i4", None, "i4"),
        ("<i1", "uint8", "u1"),
    ],
)
def test_big_data_viewer_stores_unsigned_numbers_as_signed(tmp_path, stored, stated, meant):
    array = voxels(meant) + voxels(meant).dtype.type(32000 if "2" in meant else 0)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["s00/resolutions"], file["s00/subdivisions"] = np.ones((1, 3)), np.ones((1, 3), "i4")
        if stated:
            file["s00"].attrs["dataType"] = stated
        numbers = array.view(array.dtype.str.replace("u", stored[1])).astype(stored)
        file["t00000/s00/0/cells"], file["other/cells"] = numbers, numbers
    check_reads(tmp_path / "a.h5", array, dataset="t00000/s00/0/cells")
    check_reads(
        tmp_path / "a.h5", numbers.astype(numbers.dtype.newbyteorder("=")), dataset="other/cells"
    )
