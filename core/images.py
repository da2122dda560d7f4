"""Image files: the one place where pixels are read from disk and written to it."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from core.files import whole_file

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
TIFF_SUFFIXES = (".tif", ".tiff")
# Weights of R, G, B in a grey level.
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
GREY_MODES = ("1", "L", "I;16", "I;16B", "I")  # Pillow's names
STRETCHED = {"L;2": 85, "L;4": 17}  # factors by which Pillow multiplies 2- and 4-bit grey levels
# What Pillow, tifffile and imagecodecs raise for broken files. Their own classes derive from these.
DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    RuntimeError,
    IndexError,
    KeyError,
    EOFError,
    struct.error,
    zlib.error,
)
DECODER_ERRORS += (Image.DecompressionBombError,)  # a header that claims billions of pixels


def list_images(
    folder: str | Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES, recursive: bool = False
) -> list[Path]:
    """Image files in a folder, sorted by path. Files whose name begins with a dot are left out.

    Args:
        suffixes: of the files that count, in lower case.
        recursive: search sub-folders too.
    Raises:
        FileNotFoundError: `folder` does not exist or holds no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    inside = folder.rglob("*") if recursive else folder.iterdir()
    paths = sorted(
        p
        for p in inside
        # Names with a dot in front: half-written files, and the `._*` files of macOS.
        if p.suffix.lower() in suffixes and not p.name.startswith(".") and p.is_file()
    )
    if not paths:
        raise FileNotFoundError(f"{folder}: holds no image ({', '.join(suffixes)})")
    return paths


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what decoders raise in the block into a ValueError that names `path`."""
    try:
        yield
    except FileNotFoundError:  # an OSError too, but no broken file
        raise
    except DECODER_ERRORS as error:
        raise ValueError(
            f"{path}: cannot be read as an image ({error}). Replace or remove the file."
        ) from error


def _read_tiff(path: Path, as_stored: bool) -> np.ndarray:
    """The one page of a TIFF, (H, W) or (H, W, channels).

    Args:
        as_stored: apply neither colour table nor inversion of white-is-zero files: for class
            indices, which are numbers and no colours.
    """
    with _naming(path), tifffile.TiffFile(path) as tiff:
        num_pages, page = len(tiff.pages), tiff.pages[0]
        pixels = page.asarray() if num_pages == 1 else None
        colours = None if as_stored else page.colormap  # (3, 256) uint16
    if pixels is None:
        raise ValueError(
            f"{path}: a stack of {num_pages} pages, expected one image. Save one file per slice."
        )
    if page.axes == "SYX":  # planar colours
        pixels = np.moveaxis(pixels, 0, -1)  # (H, W, channels)
    if colours is not None:
        pixels = np.moveaxis(colours[:, pixels], 0, -1)  # (H, W, 3)
    elif not as_stored and page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        pixels = np.invert(pixels)
    return pixels


def _read_pixels(path: Path, modes: tuple[str, ...]) -> np.ndarray:
    """Pixels as stored, (H, W) or (H, W, channels).

    Args:
        modes: Pillow's modes that are kept; a picture of another mode becomes RGB.
    """
    if path.suffix.lower() in TIFF_SUFFIXES:
        return _read_tiff(path, as_stored="P" in modes)
    with _naming(path), Image.open(path) as image:
        # How the file itself stores pixels; to be read before `convert` and `array` decode them.
        raw_mode = image.tile[0].args if image.tile else None
        if image.mode not in modes:
            image = image.convert("RGB")  # alpha, CMYK and the like carry nothing that EM needs
        pixels = np.array(image)
    if "P" in modes and raw_mode in STRETCHED:
        pixels //= STRETCHED[raw_mode]  # class indices, which Pillow stretched to 0..255
    return pixels


def _to_unit(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Boolean, 8- or 16-bit pixels as float32 in [0, 1]."""
    if pixels.dtype == bool:
        return pixels.astype(np.float32)
    if pixels.dtype == np.int32:  # Pillow opens some 16-bit PNGs in its 32-bit mode
        pixels = pixels.astype(np.uint16)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"{path}: pixels are {pixels.dtype}, expected 8- or 16-bit. Convert it to one of these."
        )
    return pixels.astype(np.float32) / np.iinfo(pixels.dtype).max


def read_image(path: str | Path) -> np.ndarray:
    """A grey or RGB picture, float32 (H, W, 3) in [0, 1].

    Grey is copied to three channels. 8 bits are divided by 255, 16 bits by 65535. Alpha is dropped.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an image, truncated, a stack, or neither 8- nor 16-bit.
    """
    path = Path(path)
    pixels = _read_pixels(path, modes=(*GREY_MODES, "RGB"))
    if pixels.ndim == 2:
        pixels = pixels[..., None]  # (H, W, 1)
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 2, 3, 4):
        raise ValueError(f"{path}: shape {pixels.shape}, expected a grey or an RGB image")
    if pixels.shape[2] >= 3:
        return _to_unit(path, pixels[..., :3])
    grey = _to_unit(path, pixels[..., 0])  # (H, W); a second channel would be alpha
    return np.stack([grey, grey, grey], axis=-1)  # (H, W, 3)


def read_grey(path: str | Path) -> np.ndarray:
    """A grey or RGB picture, float32 (H, W) in [0, 1]; raises like `read_image`.

    Colours become their luma. Grey pictures come exactly as stored: a weighted sum of three equal
    channels would round.
    """
    picture = read_image(path)
    if (picture == picture[..., :1]).all():
        return picture[..., 0]
    return picture @ LUMA


def read_four_channels(path: str | Path) -> np.ndarray:
    """A four-channel picture, float32 (H, W, 4) in [0, 1], in the order R, G, B, A.

    Colours are not multiplied by alpha.

    Raises:
        FileNotFoundError: no such file.
        ValueError: as `read_image`, or not of four channels.
    """
    path = Path(path)
    pixels = _read_pixels(path, modes=("RGBA", "RGB", *GREY_MODES))
    if pixels.ndim != 3 or pixels.shape[2] != 4:
        channels = 1 if pixels.ndim == 2 else pixels.shape[2]
        raise ValueError(f"{path}: {channels} channel(s), expected four (R, G, B, A)")
    return _to_unit(path, pixels)


def read_labels(path: str | Path) -> np.ndarray:
    """Class indices, int64 (H, W), exactly as stored.

    An RGB file is taken where its three channels are equal.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an image, truncated, a stack, or a colour picture.
    """
    path = Path(path)
    labels = _read_pixels(path, modes=(*GREY_MODES, "P", "RGB"))
    if labels.ndim == 3:
        if labels.shape[2] >= 3 and (labels[..., :3] != labels[..., :1]).any():
            raise ValueError(
                f"{path}: a colour picture, expected class indices 0, 1, 2, ... "
                "Save one grey value per class."
            )
        labels = labels[..., 0]  # (H, W)
    if labels.dtype.kind not in "bui":
        raise ValueError(
            f"{path}: pixels are {labels.dtype}, expected whole numbers (class indices)"
        )
    return labels.astype(np.int64)


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) from the header, without decoding pixels; raises like `read_image`."""
    path = Path(path)
    if path.suffix.lower() in TIFF_SUFFIXES:
        with _naming(path), tifffile.TiffFile(path) as tiff:
            return tiff.pages[0].imagelength, tiff.pages[0].imagewidth
    with _naming(path), Image.open(path) as image:
        return image.height, image.width


def check_image(path: str | Path) -> tuple[int, int]:
    """Check that `read_image` will read a file, and return its (height, width).

    A truncated PNG or TIFF is found without decoding it.

    Raises:
        FileNotFoundError, ValueError: as `read_image`.
    """
    path = Path(path)
    if path.suffix.lower() not in TIFF_SUFFIXES:
        with _naming(path), Image.open(path) as image:
            size = image.height, image.width
            if image.format == "PNG":
                image.verify()  # checksums only
            else:
                image.load()
        return size
    with _naming(path), tifffile.TiffFile(path) as tiff:
        page, num_pages, num_bytes = tiff.pages[0], len(tiff.pages), tiff.filehandle.size
    # The last byte that the directory of the TIFF points to: a truncated file ends before it.
    stored = max(
        offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
    )
    if num_pages > 1 or stored > num_bytes or page.dtype not in (bool, np.uint8, np.uint16):
        read_image(path)  # raises the error that tells what is wrong
    return page.imagelength, page.imagewidth


def to_uint8(picture: np.ndarray) -> np.ndarray:
    """Pixels in [0, 1] as uint8 in 0..255, rounded to the nearest; values outside are clipped."""
    return (picture * 255).round().clip(0, 255).astype(np.uint8)


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
