"""MRC files (CCP-EM's MRC2014 and its relatives), as tomography keeps them."""

from pathlib import Path

import numpy as np

from core.imaging.pixel_size import UNKNOWN, in_nm
from core.packages import optional_package
from volumes.axes import Box, place_axes
from volumes.base import REQUIREMENTS, ArrayOptions, Format, Volume, starts_with
from volumes.raw import RawVoxels

SUFFIXES = (".mrc", ".rec", ".map", ".st", ".ali")
HEADER_BYTES = 1024
IMOD, IMOD_PLACE, FLAGS_PLACE = 1146047817, 152, 156  # IMOD's stamp, and where it and its flags are
SIGNED = 1  # flag: bytes are signed
VOLUME_STACKS = range(401, 631)  # space groups (ISPG) of files that hold several volumes


class MrcVolume(Volume):
    """The volume of an uncompressed MRC file; several are places on an axis t."""

    format = "MRC"

    def __init__(self, path: Path, options: ArrayOptions):
        mrcfile = optional_package("mrcfile", "reading MRC files", REQUIREMENTS)
        self.source = str(path)
        try:
            with mrcfile.open(path, header_only=True, permissive=True) as mrc:
                header, size = mrc.header, mrc.voxel_size
            self.dtype = mrcfile.utils.data_dtype_from_header(header)
            if self.dtype == np.int8 and _has_unsigned_bytes(path, header):
                self.dtype = np.dtype(np.uint8)
        except (ValueError, OSError, AttributeError) as error:
            raise ValueError(f"{path}: cannot be read as MRC ({error})") from error
        order = tuple(int(header[name]) for name in ("mapc", "mapr", "maps"))
        if order not in ((1, 2, 3), (0, 0, 0)):  # zeros: programs that leave the field out
            raise ValueError(
                f"{path}: stores its axes in the order {order}, expected 1, 2, 3 (x fastest). "
                "Reorder them, for example with mrcfile or IMOD's `clip`"
            )
        depth, height, width = (int(header[name]) for name in ("nz", "ny", "nx"))
        each = int(header["mz"]) if int(header["ispg"]) in VOLUME_STACKS else depth
        if min(depth, height, width, each) <= 0 or depth % each:
            raise ValueError(
                f"{path}: its header is damaged, or holds no voxels (NX, NY, NZ: {width}, "
                f"{height}, {depth}; volumes of {each} slices)"
            )
        place = place_axes(
            "tzyx", (depth // each, each, height, width), options.places, self.source
        )
        self.shape, self._first = place.shape, place.fixed.get(0, 0) * each
        self.chunks = (1, *self.shape[1:])
        sides = [round(float(size[name]), 6) for name in "zyx"]
        # 1 angstrom in all directions is what programs write where they know nothing.
        if sides != [1.0, 1.0, 1.0]:
            self.voxel = tuple(in_nm(side, "angstrom") for side in sides)
        else:
            self.voxel = UNKNOWN
        shape, offset = (depth, height, width), HEADER_BYTES + int(header.nsymbt)
        self._voxels = RawVoxels(path, self.dtype, shape, offset)

    def read(self, box: Box) -> np.ndarray:
        z, rows, columns = box
        return self._voxels.read(
            (slice(z.start + self._first, z.stop + self._first), rows, columns)
        )


def _has_unsigned_bytes(path: Path, header: np.recarray) -> bool:
    """Tell whether a file of bytes counts from 0 to 255, as old ones of IMOD do.

    MRC2014 has signed bytes alone. IMOD says in a flag whether its are; others may still give a
    largest value above 127.
    """
    with open(path, "rb") as file:
        start = file.read(HEADER_BYTES)
    order = "<" if header.dtype["nx"].newbyteorder("=") == header.dtype["nx"] else ">"
    stamp, flags = (
        int(np.frombuffer(start, f"{order}i4", 1, place)[0]) for place in (IMOD_PLACE, FLAGS_PLACE)
    )
    return not flags & SIGNED if stamp == IMOD else float(header.dmax) > 127


def recognises(path: Path) -> bool:
    """Tell MRC files by their mark or, where old programs left it out, by their suffix."""
    return starts_with(path, b"MAP", offset=208) or (
        path.is_file() and path.suffix.lower() in SUFFIXES
    )


FORMAT = Format("MRC", recognises, MrcVolume, ("at",))
