"""TIFF stacks that tifffile and Pillow wrote."""

import resource

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.volumes.stacks import SHAPE, VOXEL, check_reads, voxels
from volumes import ArrayOptions, open_volume

IMAGEJ = {"spacing": VOXEL[0], "unit": "nm"}
RESOLUTION = (1 / VOXEL[2], 1 / VOXEL[1])  # pixels per nm along x and y


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"compression": "zlib"},
        {"compression": "lzw", "rowsperstrip": 4, "predictor": True},
        {"compression": "zstd", "tile": (16, 16)},
        {"tile": (16, 32)},
    ],
    ids=lambda layout: " ".join(layout) or "plain",
)
def test_pages_of_every_layout(tmp_path, dtype, layout):
    tifffile.imwrite(tmp_path / "a.tif", voxels(dtype), photometric="minisblack", **layout)
    check_reads(tmp_path / "a.tif", voxels(dtype))


def test_pages_of_another_program(tmp_path):
    first, *others = [Image.fromarray(plane) for plane in voxels()]
    first.save(tmp_path / "a.tif", save_all=True, append_images=others, compression="tiff_lzw")
    check_reads(tmp_path / "a.tif", voxels())


def test_imagej_stack_behind_one_page(tmp_path):
    """ImageJ writes stacks above 4 GB so: the first page is followed by all voxels."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, voxels(), imagej=True, metadata=IMAGEJ, resolution=RESOLUTION)
    check_reads(path, voxels(), VOXEL)
    with tifffile.TiffFile(path) as tiff:
        first = tiff.pages.first
        end = first.offset + 2 + 12 * len(first.tags)  # where the second page is pointed to
    content = bytearray(path.read_bytes())
    content[end : end + 4] = bytes(4)
    path.write_bytes(content)
    with tifffile.TiffFile(path) as tiff:
        assert len(tiff.pages) == 1
    check_reads(path, voxels(), VOXEL)


def test_imagej_frames_count_as_slices_and_channels_need_a_choice(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, voxels(), imagej=True, metadata={"axes": "TYX"})
    check_reads(path, voxels())
    array = voxels(np.uint16, (5, 2, 23, 31))
    tifffile.imwrite(path, array, imagej=True, metadata={"axes": "ZCYX"})
    check_reads(path, array[:, 1], at=("c=1",))
    with pytest.raises(ValueError, match="c: 2"):
        open_volume(path)
    with pytest.raises(ValueError, match="has 0 to 1 there"):
        open_volume(path, ArrayOptions(at=("c=2",)))
    with pytest.raises(ValueError, match="q: .* has the axes z c y x"):
        open_volume(path, ArrayOptions(at=("c=0", "q=0")))


def test_ome_tiff_with_pyramid(tmp_path):
    path, array = tmp_path / "a.ome.tif", voxels(np.uint16, (3, 64, 96))
    metadata = {
        "axes": "ZYX",
        "PhysicalSizeX": VOXEL[2] / 1e3,
        "PhysicalSizeY": VOXEL[1],
        "PhysicalSizeYUnit": "nm",
        "PhysicalSizeZ": VOXEL[0] * 10,
        "PhysicalSizeZUnit": "Å",
    }
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(array, subifds=1, tile=(32, 32), compression="zlib", metadata=metadata)
        writer.write(array[:, ::2, ::2].copy(), subfiletype=1, tile=(32, 32))
    assert check_reads(path, array, VOXEL).format == "OME-TIFF"
    check_reads(path, array[:, ::2, ::2], (VOXEL[0], VOXEL[1] * 2, VOXEL[2] * 2), level=1)
    with pytest.raises(ValueError, match="level: 2: .* has 2 level"):
        open_volume(path, ArrayOptions(level=2))


def test_each_image_of_an_ome_tiff_has_its_voxels(tmp_path):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for nm in (32, 8):
            sizes = {f"PhysicalSize{axis}": nm / 1e3 for axis in "XYZ"}
            writer.write(voxels(), photometric="minisblack", metadata={"axes": "ZYX", **sizes})
    for series, nm in (("0", 32), ("1", 8)):
        check_reads(path, voxels(), (nm, nm, nm), dataset=series)


def test_slices_of_imagej_may_lie_in_another_unit(tmp_path):
    metadata = {"axes": "ZYX", "unit": "nm", "zunit": "um", "spacing": 0.04}
    tifffile.imwrite(
        tmp_path / "a.tif", voxels(), imagej=True, resolution=(1 / 4, 1 / 4), metadata=metadata
    )
    check_reads(tmp_path / "a.tif", voxels(), (40, 4, 4))


def test_one_picture_is_a_volume_of_one_slice(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", voxels()[0])
    check_reads(tmp_path / "a.tif", voxels()[:1])


def test_white_zeros_are_noted(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", voxels(), photometric="miniswhite")
    assert check_reads(tmp_path / "a.tif", voxels()).min_is_white


def test_several_series_need_a_choice(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(voxels(), photometric="minisblack")
        writer.write(voxels()[:, :8, :8], photometric="minisblack")
    with pytest.raises(ValueError, match="series of pages of 0, 1"):
        open_volume(tmp_path / "a.tif")
    check_reads(tmp_path / "a.tif", voxels()[:, :8, :8], dataset="1")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_cut_files_are_refused_when_they_are_opened(tmp_path, compression):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, voxels(), compression=compression, photometric="minisblack")
    with tifffile.TiffFile(path) as tiff:
        last = tiff.pages[-1].dataoffsets[-1]
    path.write_bytes(path.read_bytes()[: last + 5])
    with pytest.raises(ValueError, match="a.tif"):
        open_volume(path)


def test_cut_imagej_stack(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, voxels(), imagej=True)
    path.write_bytes(path.read_bytes()[: -SHAPE[1] * SHAPE[2]])
    with pytest.raises(ValueError, match="cut"):
        open_volume(path)


def test_damaged_page_names_it(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, voxels(), compression="zlib", photometric="minisblack")
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[2].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[offset : offset + 8] = bytes(8)
    path.write_bytes(content)
    volume = open_volume(path)
    with pytest.raises(ValueError, match="page 2 is damaged"):
        volume.slices(0, 2, 3)


def other_pages():
    """Options of `TiffWriter.write` for one page, and what the refusal says of it."""
    grey = voxels(shape=(16, 24))
    yield "type", grey.astype(np.uint16), {}, "bits per sample 16, but the first one has 8"
    yield "sign", grey.astype(np.int8), {}, "sample format INT"
    yield "shorter", grey[:-8], {}, r"\(8, 24\), but the first one has \(16, 24\)"
    yield "narrower", grey[:, :-8], {}, r"\(16, 16\), but the first one has \(16, 24\)"
    yield "packed", grey, {"compression": "lzw"}, "compression LZW"
    yield "predictor", grey, {"predictor": True}, "predictor HORIZONTAL"
    yield "white", grey, {"photometric": "miniswhite"}, "MINISWHITE, .* MINISBLACK"
    yield "mirrored", grey, {"extratags": [(274, 3, 1, 2, True)]}, "orientation 2, .* has 1"
    yield "strips", grey, {"rowsperstrip": 4}, r"strips or tiles of the size \(4, 24\)"
    yield "tiles", grey, {"tile": (16, 16)}, r"strips or tiles of the size \(16, 16\)"


@pytest.mark.parametrize(
    ("other", "options", "message"), [pytest.param(*rest, id=name) for name, *rest in other_pages()]
)
def test_one_page_that_is_stored_otherwise_is_refused(tmp_path, other, options, message):
    """Of twelve pages, tifffile itself compares the second, eighth and last with the first."""
    plain = {"photometric": "minisblack", "compression": "zlib", "metadata": None}
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for number in range(12):
            if number == 3:
                writer.write(other, **plain | options)
            else:
                writer.write(voxels(shape=(16, 24)), **plain)
    with pytest.raises(ValueError, match=f"a.tif: page 3 has .*{message}"):
        open_volume(tmp_path / "a.tif")


@pytest.mark.parametrize("imagej", [False, True])
def test_pages_of_voxels_in_a_row_are_compared_too(tmp_path, imagej):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, voxels(), photometric="minisblack", imagej=imagej)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[3].tags["PhotometricInterpretation"].overwrite(0)
    with pytest.raises(ValueError, match="page 3 has photometric interpretation MINISWHITE"):
        open_volume(path)


def test_equal_tags_may_be_stored_in_numbers_of_other_sizes(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, voxels(), compression="zlib", photometric="minisblack")
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        width = tiff.pages[2].tags["ImageWidth"]
        assert width.dtype == tifffile.DATATYPE.LONG
        content[width.offset + 2] = tifffile.DATATYPE.SHORT
    path.write_bytes(content)
    check_reads(path, voxels())


def ome_set(folder, array, together, **others):
    """Files of `together` slices each, with the description of all; the first one's path.

    Args:
        others: options of `TiffWriter.write` for the slice of a number, `z3`.
    """
    ids = [f"urn:uuid:00000000-0000-0000-0000-{i:012}" for i in range(len(array) // together)]
    planes = "".join(
        f'<TiffData FirstZ="{z}" IFD="{z % together}" PlaneCount="1">'
        f'<UUID FileName="{z // together}.ome.tif">{ids[z // together]}</UUID></TiffData>'
        for z in range(len(array))
    )
    z, y, x = array.shape
    for i, name in enumerate(ids):
        xml = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{name}">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" '
            f'SizeX="{x}" SizeY="{y}" SizeZ="{z}" SizeC="1" SizeT="1">{planes}</Pixels></Image>'
            "</OME>"
        )
        with tifffile.TiffWriter(folder / f"{i}.ome.tif") as writer:
            for number in range(together * i, together * (i + 1)):
                kind = {"photometric": "minisblack", "compression": "zlib", "metadata": None}
                kind |= others.get(f"z{number}", {})
                writer.write(array[number], description=None if number % together else xml, **kind)
    return folder / "0.ome.tif"


def test_a_set_of_ome_files(tmp_path):
    """Each file holds two slices, and the description of all four."""
    array = voxels(shape=(4, 16, 24))
    check_reads(ome_set(tmp_path, array, together=2), array)


def test_pages_of_a_set_of_ome_files_are_numbered_in_their_file(tmp_path):
    """Slice 3 is page 1 of the second file."""
    array = voxels(shape=(4, 16, 24))
    path = ome_set(tmp_path, array, together=2, z3={"photometric": "miniswhite"})
    with pytest.raises(ValueError, match=r"1.ome.tif: page 1 has .* MINISWHITE, but 0.ome.tif has"):
        open_volume(path)
    ome_set(tmp_path, array, together=2)
    with tifffile.TiffFile(tmp_path / "1.ome.tif", is_ome=False) as tiff:
        offset = tiff.pages[1].dataoffsets[0]
    with open(tmp_path / "1.ome.tif", "r+b") as file:
        file.seek(offset)
        file.write(bytes(8))
    with pytest.raises(ValueError, match="1.ome.tif: page 1 is damaged"):
        open_volume(path).slices(0, 3, 4)


def test_a_set_of_more_ome_files_than_may_be_open(tmp_path):
    array = voxels(shape=(60, 16, 24))
    path = ome_set(tmp_path, array, together=1)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(path) as file:  # its number tells how many are open
        resource.setrlimit(resource.RLIMIT_NOFILE, (file.fileno() + 30, before[1]))
    try:
        check_reads(path, array)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_a_file_that_is_cut_between_two_pages_is_refused(tmp_path, byteorder):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, voxels(), compression="zlib", photometric="minisblack", byteorder=byteorder
    )
    with tifffile.TiffFile(path) as tiff:
        end = tiff.pages[3].offset
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(ValueError, match="cut after 3 pages"):
        open_volume(path)


def test_colours_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 8, 8, 3), np.uint8), photometric="rgb")
    with pytest.raises(ValueError, match="grey"):
        open_volume(tmp_path / "a.tif")
    table = np.eye(3, 256, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "c.tif", voxels(), photometric="palette", colormap=table)
    with pytest.raises(ValueError, match="c.tif: colour tables, .* Save the numbers alone"):
        open_volume(tmp_path / "c.tif")
    (tmp_path / "b.tif").write_bytes(b"II*\0" + bytes(20))
    with pytest.raises(ValueError, match="b.tif"):
        open_volume(tmp_path / "b.tif")


def test_arrays_of_tifffile_without_names_of_axes(tmp_path):
    """tifffile calls each of these axes Q, and notes the shape alone."""
    path = tmp_path / "a.tif"
    for shape in ((1, 5, 23, 31), (5, 1, 23, 31)):
        tifffile.imwrite(path, voxels().reshape(shape), photometric="minisblack")
        check_reads(path, voxels())
    tifffile.imwrite(path, np.stack([voxels(), voxels()[::-1]]), photometric="minisblack")
    check_reads(path, voxels()[::-1], at=("c=1",))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_signed_numbers_of_imagej(tmp_path, compression):
    """ImageJ keeps a file of int16, such as MRC, as uint16 with an offset of 32768."""
    stored = voxels(np.int16) - 1000
    tifffile.imwrite(
        tmp_path / "a.tif",
        (stored.astype(int) + 2**15).astype(np.uint16),
        imagej=True,
        compression=compression,
        metadata={"cf": 0, "c0": -32768.0, "c1": 1.0, "vunit": "gray value"},
    )
    check_reads(tmp_path / "a.tif", stored)
