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
IGNORE = 255  # label of pixels that neither loss nor score counts
LIKELY_CLASSES = 32  # numbers below are taken for classes where nothing else tells, not for greys
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


def read_labels(path: str | Path) -> np.ndarray:
    """Class indices, int64 (H, W), exactly as stored.

    An RGB file is taken where its three channels are equal, and whole numbers that are stored as
    floats are taken too. Files in which 0 is white are not inverted.

    The indices of a palette file are its classes, with one exception: a colour table that itself
    holds class numbers, as `quantize` of Pillow writes it for a mask. Such a table consists of
    greys alone, those in use are below 32, and at least one entry lies in 1..31. Then the greys are
    the classes. A table of black, grey and white does not qualify: its 0 is a brightness. Where
    greys do not rise with the index, as in pictures that were stored with few colours, neither
    tells the classes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an image, truncated, a stack, a colour picture, or a palette of greys that
            do not rise.
    """
    path = Path(path)
    picture = decode(path)
    labels = picture.pixels
    if picture.table is not None:
        labels = _classes_of_table(path, picture)
    elif picture.header.colours == "RGB" and (labels[..., :3] != labels[..., :1]).any():
        raise ValueError(
            f"{path}: a colour picture, expected class indices 0, 1, 2, ... "
            "Save one grey value per class."
        )
    elif picture.header.colours == "grey" and picture.header.samples > 2:
        raise ValueError(
            f"{path}: {picture.header.samples} channels, expected class indices in one"
        )
    return _whole_numbers(path, labels[..., 0])


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
            f"{path}: pixels are {header.dtype}, expected 8- or 16-bit. Convert it to one of these."
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
        source = "its MaxSampleValue states" if bit_depth is None else "bit_depth is"
        raise ValueError(
            f"{path}: pixels reach {largest}, but {source} {bits} bits out of {stored}. "
            "Correct the number of bits."
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


def palette_in_use(path: str | Path) -> dict[tuple[int, ...], int]:
    """Class of each colour in a file whose palette numbers them; empty for other files.

    Left out are IGNORE, colours that the palette names twice, and tables that hold the classes.

    Raises:
        FileNotFoundError, ValueError: as `read_labels`.
    """
    path = Path(path)
    if path.suffix.lower() not in IMAGE_SUFFIXES or read_header(path).colours != "palette":
        return {}
    picture = decode(path)
    used = np.unique(picture.pixels)
    if _holds_classes(picture.table, used):
        return {}
    colours = [tuple(colour) for colour in picture.table.tolist()]
    shown = {colours[i]: i for i in used.tolist() if i < len(colours) and i != IGNORE}
    return {colour: i for colour, i in shown.items() if colours.count(colour) == 1}


def _is_grey(table: np.ndarray, used: np.ndarray) -> bool:
    """Tell whether a colour table holds 8-bit greys alone, and all entries in use."""
    return (table == table[:, :1]).all() and table.dtype == np.uint8 and used[-1] < len(table)


def _holds_classes(table: np.ndarray, used: np.ndarray) -> bool:
    """Tell whether the greys of a table are classes, by the rule of `read_labels`.

    Args:
        used: indices that the pixels hold, sorted.
    """
    likely = table[:, 0] < LIKELY_CLASSES
    return _is_grey(table, used) and likely[used].all() and (likely & (table[:, 0] > 0)).any()


def _classes_of_table(path: Path, picture: Picture) -> np.ndarray:
    """Classes (H, W, 1) of a palette file, by the rule of `read_labels`."""
    table, indices = picture.table, picture.pixels
    used = np.unique(indices)
    if _holds_classes(table, used):
        return table[:, 0][indices]
    shown = used[used != IGNORE]
    greys = table[shown, 0].astype(int) if _is_grey(table, used) else shown
    if (np.diff(greys) < 0).any():
        raise ValueError(
            f"{path}: a palette in which the indices {_few(shown)} show the greys {_few(greys)}, "
            "so neither tells the classes. Save one whole number per class: 0, 1, 2 and so on, in "
            "a grey file."
        )
    return indices


def _few(values: np.ndarray) -> str:
    """The first numbers, for messages."""
    return ", ".join(map(str, values[:5])) + (", ..." if len(values) > 5 else "")


def _whole_numbers(path: Path, labels: np.ndarray) -> np.ndarray:
    """Labels as int64; refuses fractions and numbers that int64 cannot hold."""
    limits = np.iinfo(np.int64)
    if labels.dtype.kind == "f":
        # 2**63 is a float and one too many; no float lies between it and the largest int64
        numbers = labels.astype(np.float64)  # half floats end below 2**63
        whole = (np.rint(numbers) == numbers) & (np.abs(numbers) < 2.0**63)
    elif labels.dtype.kind in "bui":
        whole = labels <= limits.max
    else:
        whole = np.zeros(labels.shape, bool)
    if not whole.all():
        first = labels[~whole][0]
        raise ValueError(
            f"{path}: pixels are {labels.dtype} and one is {first}, expected whole numbers "
            "(class indices)"
        )
    return labels.astype(np.int64)


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
