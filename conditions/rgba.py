"""Class planes and an edge map in one tensor: R, G, B are classes 0, 1, 2, and A is the edges.

A four-channel hint is never a Pillow RGBA picture: Pillow multiplies colours by alpha when it
resizes.
"""

import json
import re
from pathlib import Path

import numpy as np

from conditions.base import Condition, ConditionOptions, Layers
from core.arrays import read_arrays
from core.command_line.options import OptionError
from core.files import whole_file
from core.imaging.image_header import max_pixels
from core.imaging.images import (
    IMAGE_SUFFIXES,
    list_images,
    read_four_channels,
    read_note,
    to_uint8,
    write_png,
)
from core.imaging.pairing import in_natural_order, stem_of
from core.imaging.pictures import class_colours

CLASS_PLANES = 3  # R, G, B
DECLARED_RANGES = ("neg_one_to_one", "zero_one")  # what the `meta` of an .npz may say
TOLERANCE = 1e-3  # rounding that the class planes of an .npz may show
MOST_ODD = 0.05  # share of pixels whose planes may not add up to 1: classes that were left out
REMEDY = "Build it again from image and mask."
BYTES_PER_PIXEL = 16  # of four float32
MAX_NOTE = 2**20  # bytes


def read_rgba(path: str | Path, alpha_scale: float = 1.0) -> np.ndarray:
    """Class planes and edges, float32 (H, W, 4) in [0, 1], from .npz or a four-channel picture.

    An .npz holds `rgba` (H, W, 4) and, optionally, `meta`: JSON whose `value_range` is
    `neg_one_to_one` or `zero_one`. Without it negative values mean [-1, 1], values above 1 mean
    0..255.

    Args:
        alpha_scale: factor of A, which is then clipped to 1.
    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, pickled (never loaded), not four channels, values outside the range, or
            planes that hold no classes.
    """
    path = Path(path)
    rgba = _read_npz(path) if path.suffix.lower() == ".npz" else read_four_channels(path)
    odd = (np.abs(rgba[..., :CLASS_PLANES].sum(axis=2) - 1) > 0.1).mean()
    if odd > MOST_ODD:
        raise ValueError(
            f"{path}: R, G and B add up to something else than 1 in {odd:.0%} of the pixels, so "
            f"they are no class planes. {REMEDY}"
        )
    # `rgba` is a new array either way, so nothing of the caller's changes.
    rgba[..., 3] = np.clip(rgba[..., 3] * alpha_scale, 0, 1)
    return rgba


def _read_npz(path: Path) -> np.ndarray:
    """`rgba` of an .npz as a new float32 array in [0, 1]."""
    try:
        arrays = read_arrays(path, ("rgba", "meta"), BYTES_PER_PIXEL * max_pixels())
        rgba = arrays["rgba"]
        meta = json.loads(arrays["meta"].item()) if "meta" in arrays else {}
        value_range = meta.get("value_range")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path}: not an archive of numbers with the key 'rgba' ({error}). {REMEDY}"
        ) from error
    if rgba.ndim != 3 or rgba.shape[2] != 4 or rgba.size == 0 or rgba.dtype.kind not in "buif":
        raise ValueError(
            f"{path}: 'rgba' is {rgba.dtype} {rgba.shape}, expected numbers (H, W, 4). {REMEDY}"
        )
    if value_range not in (None, *DECLARED_RANGES):
        raise ValueError(
            f"{path}: value_range {value_range!r}, "
            f"expected {' or '.join(DECLARED_RANGES)}. {REMEDY}"
        )
    value_range = value_range or _guess_range(rgba)
    rgba = _to_unit_range(rgba.astype(np.float32, copy=False), value_range)
    # Without an array of truth values: large tensors fill memory.
    limits = rgba.min(axis=(0, 1)), rgba.max(axis=(0, 1))
    in_range = (limits[0] >= -TOLERANCE) & (limits[1] <= 1 + TOLERANCE)
    # alpha may pass 1, where edges were stored with a factor
    if not np.isfinite(limits).all() or not in_range[:CLASS_PLANES].all():
        raise ValueError(f"{path}: values do not fit value_range {value_range}. {REMEDY}")
    return rgba.clip(0, 1, out=rgba)


def _guess_range(rgba: np.ndarray) -> str:
    """The range of an archive that does not declare one."""
    # Planes hold 0 and 1 in every pixel, so the lowest and highest values tell the ranges apart.
    if rgba.min() < -TOLERANCE:
        return "neg_one_to_one"
    return "bytes" if rgba.max() > 1 + TOLERANCE else "zero_one"


def _to_unit_range(rgba: np.ndarray, value_range: str) -> np.ndarray:
    """Values of a declared or guessed range, brought to [0, 1] in place: large ones fill memory."""
    if value_range == "neg_one_to_one":
        rgba += 1
        rgba /= 2
    elif value_range == "bytes":
        rgba /= 255
    return rgba


def write_rgba(path: Path, rgba: np.ndarray, meta: str) -> None:
    """Write a tensor, (H, W, 4) in [0, 1], with a note: .npz in [-1, 1], or .png of 8 bits."""
    if path.suffix == ".png":
        write_png(path, to_uint8(rgba), {"meta": meta})
        return
    # [-1, 1] is the published range; `meta` says so.
    with whole_file(path) as temporary:
        np.savez_compressed(temporary, rgba=rgba * 2 - 1, meta=meta)


def read_meta(path: Path) -> str | None:
    """The note that `write_rgba` left; None where the file has none.

    Raises:
        FileNotFoundError, ValueError: as `core.imaging.images.read_note` and
            `core.arrays.read_arrays`.
    """
    if path.suffix == ".png":
        return read_note(path, "meta")
    found = read_arrays(path, ["meta"], MAX_NOTE)
    return str(found["meta"]) if "meta" in found else None


class RGBA(Condition):
    """Tensors of class planes and edges.

    Raises:
        OptionError: more classes than the tensor has planes.
    """

    name = "rgba"
    folder_option = "rgba_path"
    suffixes = (".npz", *IMAGE_SUFFIXES)
    carries_labels = True
    reads_options = ("num_classes", "rgba_alpha_scale")
    validation_needs_images = False  # as published: without images, such tensors are left unread

    def __init__(self, options: ConditionOptions = ConditionOptions()):
        super().__init__(options)
        if options.num_classes > CLASS_PLANES:
            raise OptionError(
                "num_classes",
                f"{options.num_classes}, but an RGBA tensor has {CLASS_PLANES} class planes",
            )

    @property
    def hint_channels(self):
        """4: always three class planes, whatever `num_classes`, and the edges."""
        return CLASS_PLANES + 1

    def list_files(self, folder):
        """List as `Condition.list_files`; an .npz, which is exact, wins over a picture of its stem.

        `folder` may also be the one that holds a single folder of tensors, named `<low>_<high>`.
        """
        paths = list_images(_tensor_folder(Path(folder)), self.suffixes)
        exact = {stem_of(path) for path in paths if path.suffix.lower() == ".npz"}
        kept = [p for p in paths if p.suffix.lower() == ".npz" or stem_of(p) not in exact]
        return in_natural_order(kept)

    def read(self, path):
        """Edges as the smooth layer, (H, W, 1), and class planes, (H, W, 3)."""
        rgba = read_rgba(path, self.options.rgba_alpha_scale)
        return Layers(rgba[..., CLASS_PLANES:], rgba[..., :CLASS_PLANES])

    def to_hint(self, layers):
        """Class planes, then edges: (H, W, 4), in the order R, G, B, A."""
        return np.concatenate([layers.classes, layers.smooth], axis=2)

    def labels(self, hint):
        """Class of each pixel, uint8 (H, W)."""
        return hint[..., :CLASS_PLANES].argmax(axis=2).astype(np.uint8)

    def folders(self, branch):
        """Two folders, whatever the branch's name."""
        return "rgba_edge_vis", "rgba_mask"  # the published names

    def label_folders(self, branch):
        """The second of `folders`."""
        return self.folders(branch)[1:]

    def pictures(self, branch, hint):
        """Edges in class colours on white, uint8 (H, W, 3), and class indices, uint8 (H, W)."""
        labels, edges = self.labels(hint), hint[..., CLASS_PLANES:]
        # Edges are (H, W, 1), colours (H, W, 3): white blended with the colour by the edge.
        on_white = 1 - edges + edges * class_colours(labels)
        return dict(zip(self.folders(branch), [to_uint8(on_white), labels], strict=True))

    def preview(self, hint):
        """Class colours, with edges in white."""
        picture = to_uint8(class_colours(self.labels(hint)))
        picture[hint[..., CLASS_PLANES] > 0.5] = 255
        return picture


def _tensor_folder(folder: Path) -> Path:
    """`folder`, or the one folder of tensors in it, which is named after two thresholds."""
    # The published builder writes to `<low>_<high>`, and people name the folder above it.
    built = sorted(path for path in folder.glob("*_*") if re.fullmatch(r"\d+_\d+", path.name))
    if not built or any(path.suffix.lower() in RGBA.suffixes for path in folder.iterdir()):
        return folder
    if len(built) > 1:
        names = ", ".join(path.name for path in built)
        raise FileNotFoundError(
            f"{folder}: holds {len(built)} folders of tensors ({names}). Name one of them."
        )
    return built[0]
