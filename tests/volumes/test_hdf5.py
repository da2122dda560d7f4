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


def test_damaged_files(tmp_path, path):
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="cannot be read as HDF5"):
        open_volume(path)
