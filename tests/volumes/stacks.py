"""A small volume, and what readers of it must give."""

import numpy as np

from utils import slices
from volumes import ArrayOptions, open_volume

SHAPE = (5, 23, 31)
VOXEL = (30.0, 4.0, 5.0)  # nm


def voxels(dtype=np.uint8, shape=SHAPE):
    """Voxels that count from 0 on; those of 8 bits begin anew after 255."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def check_reads(path, expected, voxel=(None, None, None), **options):
    """Check shape, type, voxel size, whole slices along every axis, and a box in the middle."""
    volume = open_volume(path, ArrayOptions(**options))
    assert volume.shape == expected.shape and volume.dtype.newbyteorder("=") == expected.dtype
    np.testing.assert_allclose(
        [side or 0 for side in volume.voxel], [side or 0 for side in voxel], rtol=1e-5
    )
    for axis, length in enumerate(expected.shape):
        start, stop = length // 3, length
        read = volume.slices(axis, start, stop)
        wanted = np.moveaxis(expected, axis, 0)[start:stop]
        assert read.dtype == expected.dtype
        np.testing.assert_array_equal(read, wanted)
    box = tuple(slice(length // 4, length - length // 4) for length in expected.shape)
    np.testing.assert_array_equal(volume.read(box), expected[box])
    assert len(volume.chunks) == 3 and min(volume.chunks) >= 1
    return volume


def cut(*words):
    """Call `utils/slices.py`."""
    slices.main([str(word) for word in words])
