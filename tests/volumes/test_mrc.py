"""MRC files that mrcfile wrote."""

import numpy as np
import pytest

from tests.volumes.stacks import VOXEL, check_reads, voxels
from volumes import open_volume

mrcfile = pytest.importorskip("mrcfile")


def write(path, array, voxel=None, extended=0):
    with mrcfile.new(path) as mrc:
        mrc.set_data(array)
        if voxel:
            mrc.voxel_size = tuple(side * 10 for side in voxel[::-1])  # x, y, z in angstrom
        if extended:
            mrc.set_extended_header(np.zeros(extended, "V1"))
    return path


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.float16, np.float32])
def test_types_and_voxel_size(tmp_path, dtype):
    check_reads(write(tmp_path / "a.mrc", voxels(dtype), VOXEL), voxels(dtype), VOXEL)


def test_extended_header_and_unknown_size(tmp_path):
    path = write(tmp_path / "a.rec", voxels(np.int16), extended=160)
    check_reads(path, voxels(np.int16))
    check_reads(write(tmp_path / "b.mrc", voxels(np.int16), (0.1, 0.1, 0.1)), voxels(np.int16))


@pytest.mark.parametrize(("stamp", "flags"), [(1146047817, 0), (0, 0)])
def test_unsigned_bytes_of_old_files(tmp_path, stamp, flags):
    """mrcfile writes mode 0 for int8 alone: these files come from other programs."""
    path = write(tmp_path / "a.rec", voxels(np.uint8).view(np.int8))
    content = bytearray(path.read_bytes())
    content[152:160] = np.array([stamp, flags], "<i4").tobytes()
    content[80:84] = np.array([255], "<f4").tobytes()  # the largest value
    path.write_bytes(content)
    check_reads(path, voxels(np.uint8))
    content[152:160] = np.array([1146047817, 1], "<i4").tobytes()  # IMOD says that they are signed
    path.write_bytes(content)
    check_reads(path, voxels(np.int8))


def test_another_order_of_axes_is_refused(tmp_path):
    path = write(tmp_path / "a.mrc", voxels(np.int16))
    content = bytearray(path.read_bytes())
    content[64:76] = np.array([3, 2, 1], "<i4").tobytes()
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a.mrc: stores its axes in the order \(3, 2, 1\)"):
        open_volume(path)


def test_cut_and_empty_files(tmp_path):
    path = write(tmp_path / "a.mrc", voxels(np.int16))
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ValueError, match="a.mrc: .*cut"):
        open_volume(path)
    (tmp_path / "b.mrc").write_bytes(b"")
    with pytest.raises(ValueError, match="b.mrc: cannot be read as MRC"):
        open_volume(tmp_path / "b.mrc")
    mrcfile.new(tmp_path / "c.mrc", np.zeros((2, 3, 4), np.complex64)).close()
    with pytest.raises(ValueError, match="complex64"):
        open_volume(tmp_path / "c.mrc")


def test_files_of_several_volumes(tmp_path):
    stack, path = np.stack([voxels(np.int16), voxels(np.int16)[::-1]]), tmp_path / "a.mrc"
    write(path, stack, VOXEL)  # mrcfile marks it by its space group, 401
    with pytest.raises(ValueError, match=r"at: .*a.mrc has further axes \(t: 2\): choose a place"):
        open_volume(path)
    for i, array in enumerate(stack):
        check_reads(path, array, VOXEL, at=(f"t={i}",))
    content = bytearray(path.read_bytes())
    content[36:40] = np.array([4], "<i4").tobytes()  # MZ: 10 slices are no volumes of 4
    path.write_bytes(content)
    with pytest.raises(ValueError, match="a.mrc: its header is damaged, .* volumes of 4 slices"):
        open_volume(path)


def test_negative_sizes_name_the_file(tmp_path):
    path = write(tmp_path / "a.mrc", voxels(np.int16))
    content = bytearray(path.read_bytes())
    content[:4] = np.array([-31], "<i4").tobytes()
    path.write_bytes(content)
    with pytest.raises(ValueError, match="a.mrc: its header is damaged, .* -31, 23, 5"):
        open_volume(path)
