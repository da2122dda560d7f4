"""Image files: the one place where pixels are read from disk and written to it."""

import os
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from core.files import whole_file
from core.imaging.image_files import check_whole, decode, format_of, read_header
from core.imaging.image_header import Header, Picture, stated_bit_depth
from core.notices import notify

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
# That file managers, network drives and archives add, with copies and thumbnails in them.
SERVICE_FOLDERS = {"__MACOSX", "@eaDir", "#recycle", "@Recycle", "$RECYCLE.BIN", "lost+found"}
SERVICE_FOLDERS |= {"System Volume Information", "#snapshot", "~snapshot"}
# Weights of R, G, B in a grey level.
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
CAMERA_BITS = (8, 10, 12, 14)  # that cameras put into 16-bit files
_warned_folders: set[Path] = set()


def list_images(
    folder: str | Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES, recursive: bool = False
) -> list[Path]:
    """Image files in a folder, sorted by path.

    Hidden files and folders are left out (half-written files, `._*` of macOS, `.Trash-1000`,
    `.ipynb_checkpoints`), and so are the folders that systems add (`SERVICE_FOLDERS`).

    Args:
        suffixes: of the files that count, in lower case.
        recursive: search sub-folders too.
    Raises:
        FileNotFoundError: `folder` does not exist or holds no image, or a link leads nowhere.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    paths = []
    for place, folders, names in os.walk(folder):
        # In place: `os.walk` goes into what stays in the list.
        folders[:] = [n for n in folders if recursive and n not in SERVICE_FOLDERS and n[0] != "."]
        files = (Path(place, name) for name in names if name[0] != ".")
        for path in (path for path in files if path.suffix.lower() in suffixes):
            if path.is_file():
                paths.append(path)
            elif path.is_symlink() and not path.exists():
                raise FileNotFoundError(
                    f"{path}: a link to {path.readlink()}, which is not there. Bring the file back "
                    "or remove the link."
                )
    paths.sort()
    if not paths:
        raise FileNotFoundError(f"{folder}: holds no image ({', '.join(suffixes)})")
    return paths


def read_image(path: str | Path, bit_depth: int | None = None) -> np.ndarray:
    """A grey or RGB picture, float32 (H, W, 3) in [0, 1], upright.

    Grey is copied to three channels. 8 bits are divided by 255, 16 bits by 65535, and n bits that
    the file states by 2**n - 1. Alpha is dropped.

    Args:
        bit_depth: bits that the data use, where fewer than the file states. When not given, 16-bit
            files follow the program's `core.imaging.image_options.ImageOptions`.
    Raises:
        FileNotFoundError: no such file.
        ValueError: not an image, truncated, a stack, of colours that are neither grey, RGB nor
            a palette, or neither 8- nor 16-bit; or a pixel that `bit_depth` cannot hold.
    """
    path = Path(path)
    picture = decode(path)
    _check_picture(path, picture.header)
    if picture.table is not None:
        return _colours_of(picture)
    if bit_depth is None and picture.pixels.dtype == np.uint16:
        bit_depth = stated_bit_depth()
    if picture.header.colours == "RGB":
        return _to_unit(path, picture, picture.pixels[..., :3], bit_depth)
    # (H, W); a second sample would be alpha
    grey = _to_unit(path, picture, picture.pixels[..., 0], bit_depth)
    return np.stack([grey, grey, grey], axis=-1)  # (H, W, 3)


def read_grey(path: str | Path, bit_depth: int | None = None) -> np.ndarray:
    """A grey or RGB picture, float32 (H, W) in [0, 1]; raises like `read_image`.

    Colours become their luma. Grey pictures come exactly as stored: a weighted sum of three equal
    channels would round.
    """
    picture = read_image(path, bit_depth)
    if (picture == picture[..., :1]).all():
        return picture[..., 0]
    return picture @ LUMA


def read_four_channels(path: str | Path, bit_depth: int | None = None) -> np.ndarray:
    """A four-channel picture, float32 (H, W, 4) in [0, 1], in the order R, G, B, A.

    Colours are not multiplied by alpha.

    Raises:
        FileNotFoundError: no such file.
        ValueError: as `read_image`, or not of four channels.
    """
    path = Path(path)
    picture = decode(path)
    _check_depth(path, picture.header)
    channels = 3 if picture.table is not None else picture.header.samples
    if channels != 4:
        raise ValueError(
            f"{path}: {channels} channel(s), expected four: class planes in R, G, B, edges in A"
        )
    return _to_unit(path, picture, picture.pixels, bit_depth)


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) from the header, without decoding pixels; raises like `read_image`."""
    return read_header(Path(path)).size


def check_image(path: str | Path) -> tuple[int, int]:
    """Check that `read_image` will read a file, and return its (height, width).

    A truncated PNG or TIFF is found without decoding it.

    Raises:
        FileNotFoundError, ValueError: as `read_image`.
    """
    path = Path(path)
    header = read_header(path)
    _check_picture(path, header)
    check_whole(path, header)
    return header.size


def _check_picture(path: Path, header: Header) -> None:
    """Refuse pixels that are no picture."""
    _check_depth(path, header)
    if header.colours == "grey" and header.samples > 2:
        raise ValueError(f"{path}: {header.samples} channels, expected a grey or an RGB image")


def _check_depth(path: Path, header: Header) -> None:
    """Refuse pixels whose full intensity is unknown."""
    if header.dtype not in (bool, np.uint8, np.uint16):
        raise ValueError(
            f"{path}: pixels are {header.dtype}, expected 8 or 16 bits without a sign. Convert it."
        )


def _to_unit(
    path: Path, picture: Picture, samples: np.ndarray, bit_depth: int | None
) -> np.ndarray:
    """Samples as float32 in [0, 1], 0 for black.

    Args:
        samples: those of the picture's pixels that are wanted.
        bit_depth: as the caller knows it; None trusts the file.
    """
    stored, stated = samples.dtype.itemsize * 8, picture.header.bits
    if samples.dtype == bool:
        return (samples != picture.header.min_is_white).astype(np.float32)
    largest = int(samples.max())
    bits = stated if bit_depth is None else bit_depth
    if not max(largest.bit_length(), 1) <= bits <= stored:
        source = "the file states" if bit_depth is None else "bit_depth is"
        raise ValueError(
            f"{path}: pixels reach {largest}, but {source} {bits} bits out of {stored}. "
            f"Correct the number of bits, or give --bit_depth {stored}."
        )
    if bit_depth is None and bits == 16:
        _warn_of_fewer_bits(path, largest)
    full = 2**bits - 1
    if picture.header.min_is_white:
        samples = full - samples
    return np.divide(samples, full, dtype=np.float32)


def _warn_of_fewer_bits(path: Path, largest: int) -> None:
    """Warn, once for a folder, of 16-bit pixels that look like those of a camera with fewer."""
    bits = next((bits for bits in CAMERA_BITS if 0 < largest < 2**bits), None)
    if bits is None or path.parent in _warned_folders:
        return
    _warned_folders.add(path.parent)
    notify(
        f"{path}: no 16-bit pixel is above {largest}. If this is {bits}-bit data, this folder is "
        f"read with a fraction of its contrast: store it as TIFF with MaxSampleValue "
        f"{2**bits - 1}, scale it to 0..65535, or pass --bit_depth {bits}."
    )


def _colours_of(picture: Picture) -> np.ndarray:
    """Colours of a palette file, float32 (H, W, 3); entries that its table lacks are black."""
    table = np.zeros((2 ** (picture.pixels.dtype.itemsize * 8), 3), np.float32)
    table[: len(picture.table)] = picture.table
    return table[picture.pixels[..., 0]] / np.float32(np.iinfo(picture.table.dtype).max)


def to_uint8(picture: np.ndarray) -> np.ndarray:
    """Pixels in [0, 1] as uint8 in 0..255, rounded to the nearest; values outside are clipped."""
    return (picture * 255).round().clip(0, 255).astype(np.uint8)


def read_note(path: str | Path, keyword: str) -> str | None:
    """A note in a PNG that `write_png` stored, None where there is none; raises like `check_image`.

    Files of other formats have no notes.
    """
    path = Path(path)
    check_image(path)
    if format_of(path) != "PNG":
        return None
    with PngImageFile(path) as image:
        return image.info.get(keyword)


def write_png(path: str | Path, pixels: np.ndarray, text: dict[str, str] | None = None) -> None:
    """Write a PNG that is either whole or not there.

    Args:
        pixels: uint8, (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA.
        text: notes to store in the file, by keyword.
    """
    info = PngInfo()
    for keyword, note in (text or {}).items():
        info.add_text(keyword, note)
    with whole_file(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG", pnginfo=info)
