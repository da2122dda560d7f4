"""Voxels that lie one after the other in a file, uncompressed."""

from pathlib import Path

import numpy as np

from volumes.axes import Box

READ_BYTES = 2**26  # of whole rows that are read at once, before columns are cut out of them


class RawVoxels:
    """A volume (Z, Y, X) at an offset of a file.

    Ordinary reads, no memory map: a map of a volume larger than the memory allowed is refused.

    Args:
        dtype: of the voxels, with their byte order.
        offset: of the first voxel, in bytes.
    Raises:
        ValueError: the file ends before the last voxel.
    """

    def __init__(self, path: Path, dtype: np.dtype, shape: tuple[int, int, int], offset: int):
        self.path, self.dtype, self.shape, self.offset = path, dtype, shape, offset
        expected = offset + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        found = path.stat().st_size
        if found < expected:
            raise ValueError(
                f"{path}: has {found} bytes, but its header speaks of {expected}: it is cut. "
                "Copy it again."
            )

    def read(self, box: Box) -> np.ndarray:
        """The voxels of a box, (z, y, x), in the machine's byte order."""
        planes, rows, columns = box
        _, height, width = self.shape
        sizes = tuple(part.stop - part.start for part in box)
        result = np.empty(sizes, self.dtype.newbyteorder("="))
        step = max(1, READ_BYTES // (width * self.dtype.itemsize))
        for i, plane in enumerate(range(planes.start, planes.stop)):
            for start in range(rows.start, rows.stop, step):
                stop = min(start + step, rows.stop)
                place = (plane * height + start) * width
                read = np.fromfile(
                    self.path,
                    self.dtype,
                    (stop - start) * width,
                    offset=self.offset + place * self.dtype.itemsize,
                ).reshape(stop - start, width)
                result[i, start - rows.start : stop - rows.start] = read[:, columns]
        return result
