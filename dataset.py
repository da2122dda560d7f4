"""Pairs of EM images and conditions as training samples: pairing, condition encoding, prompts, augmentation.

Everything that turns a condition file into a `hint` (Zhang et al. 2023, Sec. 3.2) stands here, and `train.py` and `generate.py`
both go through `read_hint`. A four-channel hint is never a Pillow RGBA picture: Pillow multiplies colours by alpha when it resizes.
"""

import json
import math
import re
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F
from tqdm import tqdm

from core.images import (
    IMAGE_SUFFIXES,
    check_image,
    list_images,
    read_four_channels,
    read_grey,
    read_image,
    read_labels,
)

CONDITION_TYPES = ("segmentation", "edge", "rgba")
RGBA_SUFFIXES = (".npz", *IMAGE_SUFFIXES)
MASK_CHANNELS_OF_RGBA = 3  # R, G, B are class planes, A is the edge map
RATIO = (3 / 4, 4 / 3)  # width : height of a random crop, as in Inception and torchvision
TOLERANCE = 1e-3  # rounding that the class planes of an .npz may show
SHOWN = 5  # file names or labels that an error message lists
BAR_FROM = 200  # pairs from which checking shows a progress bar

PROMPTS = (
    "a FIB-SEM slice of a cell with nucleus and cytoplasm",
    "a focused ion beam scanning electron microscopy image of a cell",
    "an electron micrograph of a whole cell",
    "a grayscale electron microscopy image of biological tissue",
    "a FIB-SEM section through the middle of a cell",
    "a volume electron microscopy slice with a dark cell nucleus",
    "an EM image that shows nucleus, cytoplasm and background",
    "a high-resolution electron micrograph of cell ultrastructure",
    "a FIB-SEM image of a cell embedded in resin",
    "a cell with mitochondria and endoplasmic reticulum under the electron microscope",
    "a scanning electron microscopy cross-section of a cultured cell",
    "a serial block-face image of cellular membranes",
    "an electron microscopy picture of a nucleus with its envelope",
    "a slice of a FIB-SEM stack with fine membrane detail",
    "a backscattered electron image of a stained cell",
    "a grainy electron micrograph of cytoplasm full of organelles",
    "an isotropic FIB-SEM slice of a mammalian cell",
    "heavy-metal stained cell, electron microscopy, black and white",
    "a monochrome microscopy image of a cell and its surroundings",
    "a FIB-SEM picture of a cell with a large round nucleus",
    "an electron microscopy view of chromatin inside a nucleus",
    "the cell body and its plasma membrane in electron microscopy",
    "a nanometre-scale image of a cell interior",
    "an ultrathin section of a cell imaged with electrons",
    "a FIB-SEM frame with shot noise and faint curtaining",
    "a biological specimen imaged by focused ion beam milling",
    "a detailed EM slice of cell compartments",
    "two-dimensional slice of a three-dimensional cell volume, FIB-SEM",
    "an electron micrograph with vesicles scattered in the cytoplasm",
    "neighbouring cells separated by membranes, electron microscopy",
    "a low-contrast FIB-SEM image of soft tissue",
    "a sharp electron microscopy image of organelles around a nucleus",
    "electron microscopy of a cell on an empty resin background",
    "a raw FIB-SEM acquisition of a single cell",
    "a realistic scanning electron micrograph of cell structure",
    "a grey-level section of a cell with clearly visible nucleus border",
    "a cellular electron microscopy image suited for segmentation",
)


def read_prompts(path: str | Path) -> tuple[str, ...]:
    """Prompts from a text file (UTF-8), one per line; blank lines and lines that start with # are skipped.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not text, or no prompt in it.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not UTF-8 text ({error.reason} at byte {error.start}), expected one prompt per line"
        ) from error
    prompts = tuple(
        line.strip() for line in lines if line.strip() and not line.strip().startswith("#")
    )
    if not prompts:
        raise ValueError(f"{path}: holds no prompt, expected one per line")
    return prompts


# Conditions


def hint_channels(condition_type: str, num_classes: int = 3) -> int:
    """Channels of a hint: one per class, three equal ones for edges, class planes and edges for `rgba`."""
    if condition_type not in CONDITION_TYPES:
        raise ValueError(
            f"condition type {condition_type!r}, expected one of {', '.join(CONDITION_TYPES)}"
        )
    return {"segmentation": num_classes, "edge": 3, "rgba": MASK_CHANNELS_OF_RGBA + 1}[
        condition_type
    ]


def read_mask(path: str | Path, num_classes: int) -> np.ndarray:
    """Class indices 0..num_classes-1 as int64 (H, W).

    Raises:
        FileNotFoundError: no such file.
        ValueError: unreadable, or a value that is no class index; the message says how to convert grey levels.
    """
    labels = read_labels(path)
    if labels.min() >= 0 and labels.max() < num_classes:
        return labels
    found = np.unique(labels).tolist()
    wrong = [label for label in found if not 0 <= label < num_classes]
    if 0 <= found[0] and found[-1] < 32:
        remedy = f"If the data have more classes, pass --num_classes {found[-1] + 1}; otherwise correct the mask."
    elif len(found) > 32:
        remedy = "That many values are a picture, or a mask stored with loss (JPEG): save class indices as PNG or TIFF."
    else:
        levels = (
            found
            if len(found) == num_classes
            else np.linspace(0, 255, num_classes).astype(int).tolist()
        )
        remedy = f"Convert grey levels to class indices, for example mask = numpy.searchsorted({levels}, mask)."
    values = ", ".join(map(str, wrong[:SHOWN])) + (", ..." if len(wrong) > SHOWN else "")
    raise ValueError(
        f"{path}: found value(s) {values}, expected 0..{num_classes - 1} (--num_classes {num_classes}). {remedy}"
    )


def mask_to_hint(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Class indices (H, W) as one-hot planes, float32 (H, W, num_classes)."""
    return (labels[..., None] == np.arange(num_classes)).astype(np.float32)


def read_edge(path: str | Path) -> np.ndarray:
    """Edge map as float32 (H, W, 3) in [0, 1], three equal channels; colours become their luma.

    Raises:
        FileNotFoundError: no such file.
        ValueError: unreadable, or stored as 0 and 1, which would be an all but black hint.
    """
    edges = read_grey(path)
    if 0 < edges.max() < 1.5 / 255:
        raise ValueError(
            f"{path}: the brightest edge is 1 of 255. Store edges as 0..255: multiply the picture by 255."
        )
    return np.repeat(edges[..., None], 3, axis=2)


def read_rgba(path: str | Path, alpha_scale: float = 1.0) -> np.ndarray:
    """Class planes and edges, float32 (H, W, 4) in [0, 1], from .npz or a four-channel picture (R, G, B, A in this order).

    An .npz holds `rgba` (H, W, 4) and, optionally, `meta`: JSON whose `value_range` is `neg_one_to_one` or `zero_one`.
    Without it negative values mean [-1, 1], values above 1 mean 0..255. Alpha is multiplied by `alpha_scale` and clipped.
    Raises:
        FileNotFoundError: no such file.
        ValueError: corrupt, pickled (never loaded), not four channels, or values outside the declared range.
    """
    path = Path(path)
    rgba = _read_npz(path) if path.suffix.lower() == ".npz" else read_four_channels(path)
    rgba[..., 3] = np.clip(rgba[..., 3] * alpha_scale, 0, 1)
    return rgba


def _read_npz(path: Path) -> np.ndarray:
    """`rgba` of an .npz as a new float32 array in [0, 1]."""
    remedy = "Build it again with utils/build_rgba_dataset.py."
    try:
        with np.load(path, allow_pickle=False) as archive:
            rgba = archive["rgba"]
            meta = json.loads(archive["meta"].item()) if "meta" in archive else {}
        value_range = meta.get("value_range")
    except FileNotFoundError:
        raise
    except (
        OSError,
        ValueError,
        RuntimeError,
        LookupError,
        EOFError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(
            f"{path}: not an archive of numbers with the key 'rgba' ({error}). {remedy}"
        ) from error
    if rgba.ndim != 3 or rgba.shape[2] != 4 or rgba.size == 0 or rgba.dtype.kind not in "buif":
        raise ValueError(
            f"{path}: 'rgba' is {rgba.dtype} {rgba.shape}, expected numbers (H, W, 4). {remedy}"
        )
    rgba = rgba.astype(np.float32)
    if value_range is None:
        if rgba.min() < -TOLERANCE:
            value_range = "neg_one_to_one"
        elif rgba.max() > 1 + TOLERANCE:
            rgba /= 255
    if value_range == "neg_one_to_one":
        rgba = (rgba + 1) / 2
    elif value_range not in (None, "zero_one"):
        raise ValueError(
            f"{path}: value_range {value_range!r}, expected neg_one_to_one or zero_one. {remedy}"
        )
    planes = rgba[..., :MASK_CHANNELS_OF_RGBA]
    if (
        not np.isfinite(rgba).all() or planes.min() < -TOLERANCE or planes.max() > 1 + TOLERANCE
    ):  # alpha may pass 1: beta_edge
        raise ValueError(
            f"{path}: values do not fit value_range {value_range or 'zero_one'}. {remedy}"
        )
    return rgba.clip(0, 1)


def read_hint(
    path: str | Path, condition_type: str, num_classes: int = 3, rgba_alpha_scale: float = 1.0
) -> np.ndarray:
    """The hint that a condition file stands for, float32 (H, W, `hint_channels`) in [0, 1]; raises like the three readers."""
    hint_channels(condition_type, num_classes)
    if condition_type == "segmentation":
        return mask_to_hint(read_mask(path, num_classes), num_classes)
    return read_edge(path) if condition_type == "edge" else read_rgba(path, rgba_alpha_scale)


def check_condition(path: str | Path, condition_type: str, num_classes: int = 3) -> tuple[int, int]:
    """(height, width) of a condition file, which is read in full; raises like `read_hint`."""
    if condition_type == "segmentation":
        return read_mask(path, num_classes).shape  # its planes would take as long again
    return read_hint(path, condition_type, num_classes).shape[:2]


# Pairing


class Pair(NamedTuple):
    """Files of one sample."""

    image: Path
    condition: Path


def _natural(path: Path) -> tuple:
    """Sort key that puts img_9 before img_10."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part)
        for part in re.split(r"(\d+)", path.stem)
    ], path.name


def _numbers(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", path.stem))


def _by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Files by stem.

    Raises:
        RuntimeError: two files share a stem.
    """
    found = {}
    for path in paths:
        if path.stem in found:
            raise RuntimeError(f"{found[path.stem]} and {path} share a stem: keep one of them")
        found[path.stem] = path
    return found


def _by_numbers(paths: Sequence[Path]) -> dict[tuple[int, ...], Path] | None:
    """Files by the numbers in their stems; None where a name has no number or two names have the same ones."""
    found = {_numbers(path): path for path in paths}
    return found if len(found) == len(paths) and () not in found else None


def _rgba_folder(folder: Path) -> Path:
    """Where the tensors are: in `folder`, or in the one folder of thresholds that `utils/build_rgba_dataset.py` made in it."""
    built = sorted(path for path in folder.glob("*_*") if re.fullmatch(r"\d+_\d+", path.name))
    if not built or any(path.suffix.lower() in RGBA_SUFFIXES for path in folder.iterdir()):
        return folder
    if len(built) > 1:
        raise FileNotFoundError(
            f"{folder}: holds {len(built)} folders of tensors ({', '.join(path.name for path in built)}). Name one of them."
        )
    return built[0]


def condition_paths(condition_dir: str | Path, condition_type: str = "segmentation") -> list[Path]:
    """Condition files in natural order; for `rgba` also .npz, which wins over a picture of the same stem (it is the exact one).

    The folder of an `rgba` data set may also be the one that `utils/build_rgba_dataset.py` was given, if it holds one pair of thresholds.
    Raises:
        FileNotFoundError: no such folder, or nothing in it.
        RuntimeError: two files share a stem.
    """
    hint_channels(condition_type, 1)
    if condition_type == "rgba":
        paths = list_images(_rgba_folder(Path(condition_dir)), RGBA_SUFFIXES)
    else:
        paths = list_images(condition_dir)
    exact = {path.stem for path in paths if path.suffix.lower() == ".npz"}
    paths = [path for path in paths if path.suffix.lower() == ".npz" or path.stem not in exact]
    return sorted(_by_stem(paths).values(), key=_natural)


def _listed(paths: Sequence[Path]) -> str:
    names = [path.name for path in sorted(paths, key=_natural)]
    dots = ", ..." if len(names) > SHOWN else ""
    return f"{len(names)} file(s)" + (f" ({', '.join(names[:SHOWN])}{dots})" if names else "")


def match_names(images: Sequence[Path], conditions: Sequence[Path]) -> list[Pair]:
    """Pair files by identical stem, else by the numbers in their names, decided once for all files and never by position.

    The published data name an image `Dataset 1_img_7.png` and its mask `Dataset 1_GTM_img_7.png`: here the numbers, (1, 7), tell.
    Returns:
        pairs in natural order of the image names.
    Raises:
        RuntimeError: a file has no partner, or two files of one side share a stem; the message lists the files of both sides.
    """
    keyings = [(_by_stem(images), _by_stem(conditions))]
    by_numbers = _by_numbers(images), _by_numbers(conditions)
    if None not in by_numbers:
        keyings.append(by_numbers)
    for left, right in keyings:
        if left.keys() == right.keys():
            pairs = [Pair(left[key], right[key]) for key in left]
            return sorted(pairs, key=lambda pair: _natural(pair.image))
    left, right = min(
        keyings, key=lambda keying: len(keying[0].keys() ^ keying[1].keys())
    )  # the nearest miss says most
    raise RuntimeError(
        f"{images[0].parent} and {conditions[0].parent} do not pair one to one: "
        f"{_listed([left[key] for key in left.keys() - right.keys()])} without a condition, "
        f"{_listed([right[key] for key in right.keys() - left.keys()])} without an image. "
        "Give both files of a pair the same stem, or the same numbers in the same order"
    )


def find_partners(leaders: Sequence[Path], others: Sequence[Path]) -> dict[Path, Path]:
    """For each of `leaders` its partner among `others`, where it has one: by stem, or by numbers if no stem agrees.

    Raises:
        RuntimeError: two files of one side share a stem.
    """
    by_stem = _by_stem(others)
    found = {path: by_stem[stem] for stem, path in _by_stem(leaders).items() if stem in by_stem}
    by_numbers = _by_numbers(others)
    if found or by_numbers is None or _by_numbers(leaders) is None:
        return found
    return {path: by_numbers[_numbers(path)] for path in leaders if _numbers(path) in by_numbers}


def find_pairs(
    image_dir: str | Path, condition_dir: str | Path, condition_type: str = "segmentation"
) -> list[Pair]:
    """Images of one folder with the conditions of another, in natural order of the image names; see `match_names`.

    Raises:
        FileNotFoundError: no such folder, or nothing in it.
        RuntimeError: the names do not pair one to one.
    """
    return match_names(list_images(image_dir), condition_paths(condition_dir, condition_type))


def _check_pair(pair: Pair, size: tuple[int, int], condition_size: tuple[int, int]) -> None:
    if size != condition_size:
        (h, w), (other_h, other_w) = size, condition_size
        raise RuntimeError(
            f"{pair.image} is {w} x {h} but {pair.condition} is {other_w} x {other_h} pixels (width x height)"
        )


def raise_first(problems: Sequence[Exception]) -> None:
    """Raise the first problem, if there is any, with the number of further ones."""
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise type(problems[0])(f"{problems[0]}{more}") from problems[0]


def check_pairs(
    pairs: Sequence[Pair], condition_type: str = "segmentation", num_classes: int = 3
) -> None:
    """Find bad files before a model loads: image headers and completeness, conditions in full, equal sizes within a pair.

    Raises:
        ValueError, RuntimeError, OSError: the first problem, with the number of further ones.
    """
    problems = []
    for pair in tqdm(pairs, desc="checking files", disable=len(pairs) <= BAR_FROM, leave=False):
        try:
            _check_pair(
                pair,
                check_image(pair.image),
                check_condition(pair.condition, condition_type, num_classes),
            )
        except (ValueError, RuntimeError, OSError) as error:
            problems.append(error)
    raise_first(problems)


# Augmentation. A layer is a float32 tensor (C, H, W); all layers of a sample see the same View.


class View(NamedTuple):
    """One random look at a picture: a box in its pixels, turned by `angle` degrees, perhaps mirrored."""

    top: int
    left: int
    height: int
    width: int
    angle: float
    flip_horizontal: bool
    flip_vertical: bool


def draw_view(
    height: int, width: int, scale: tuple[float, float], generator: torch.Generator
) -> View:
    """A box anywhere in the picture: `scale` is the range of its share of the area, `RATIO` of its width to its height.

    Differs from torchvision's RandomResizedCrop, which takes the centre of pictures too elongated for `scale`: the range ends
    at the largest box that fits, so the place stays random.
    """
    place_y, place_x, area, ratio, angle, horizontal, vertical = torch.rand(
        7, generator=generator, dtype=torch.float64
    ).tolist()
    ratio = RATIO[0] * (RATIO[1] / RATIO[0]) ** ratio
    fits = min(height * height * ratio, width * width / ratio)
    low, high = (min(share * height * width, fits) for share in scale)
    area = low + (high - low) * area
    box_h = min(max(round(math.sqrt(area / ratio)), 1), height)
    box_w = min(max(round(math.sqrt(area * ratio)), 1), width)
    top, left = int(place_y * (height - box_h + 1)), int(place_x * (width - box_w + 1))
    return View(top, left, box_h, box_w, 360 * angle, horizontal < 0.5, vertical < 0.5)


def _read_box(layer: torch.Tensor, top: int, left: int, bottom: int, right: int) -> torch.Tensor:
    """A copy of the box, mirrored at the borders of the picture where it leaves it, however small the picture is."""
    height, width = layer.shape[1:]
    padding = (
        (0, 0),
        (max(-top, 0), max(bottom - height, 0)),
        (max(-left, 0), max(right - width, 0)),
    )
    inside = layer[:, max(top, 0) : bottom, max(left, 0) : right].numpy()
    return torch.from_numpy(
        np.pad(inside, padding, mode="reflect")
    )  # torch refuses to mirror more than the side


def take_view(layer: torch.Tensor, view: View, size: int, smooth: bool) -> torch.Tensor:
    """What `view` shows, (C, size, size): bilinear and antialiased if `smooth`, else nearest neighbour (values stay what they are).

    The box is read with the margin that its rotation needs, mirrored only where that leaves the picture: no black corners.
    """
    resize = (
        InterpolationMode.BILINEAR if smooth else InterpolationMode.NEAREST_EXACT
    )  # NEAREST is off by half a pixel
    rotate = InterpolationMode.BILINEAR if smooth else InterpolationMode.NEAREST
    shrink = min(
        1.0, 1.5 * size / min(view.height, view.width)
    )  # what the result cannot show need not be rotated
    c, s = abs(math.cos(math.radians(view.angle))), abs(math.sin(math.radians(view.angle)))
    spare = math.ceil(2 / shrink)  # interpolation reads a pixel further
    pad_y = spare + max(0, math.ceil((view.height * c + view.width * s - view.height) / 2))
    pad_x = spare + max(0, math.ceil((view.width * c + view.height * s - view.width) / 2))
    bottom, right = view.top + view.height, view.left + view.width
    layer = _read_box(layer, view.top - pad_y, view.left - pad_x, bottom + pad_y, right + pad_x)
    if shrink < 1:
        layer = F.resize(
            layer, [round(side * shrink) for side in layer.shape[1:]], resize, antialias=smooth
        )
    layer = F.rotate(layer, view.angle, rotate)
    layer = F.center_crop(layer, [round(view.height * shrink), round(view.width * shrink)])
    layer = F.resize(layer, [size, size], resize, antialias=smooth)
    layer = F.horizontal_flip(layer) if view.flip_horizontal else layer
    return F.vertical_flip(layer) if view.flip_vertical else layer


def take_centre(layer: torch.Tensor, size: int, smooth: bool) -> torch.Tensor:
    """The central (C, size, size) at native resolution; a smaller picture is first enlarged until its shorter side is `size`."""
    height, width = layer.shape[1:]
    if min(height, width) < size:
        factor = size / min(height, width)
        target = [max(size, round(height * factor)), max(size, round(width * factor))]
        layer = F.resize(
            layer,
            target,
            InterpolationMode.BILINEAR if smooth else InterpolationMode.NEAREST_EXACT,
            antialias=smooth,
        )
    return F.center_crop(layer, [size, size])


class MyDataset(torch.utils.data.Dataset):
    """Training samples from a folder of images and a folder of conditions.

    `dataset[index]` draws from torch's global generator, which a DataLoader with workers seeds from its own `generator`;
    `dataset[index, seed]` depends on index and seed alone, whatever the process, and the sample holds `seed` too;
    `dataset[index, seed, view]` takes crop, rotation and flips from the seed `view` instead, and holds it beside `seed`.

    Attributes:
        pairs: list of Pair, in natural order of the image names.
    """

    def __init__(
        self,
        image_dir: str | Path,
        condition_dir: str | Path,
        augment: bool = False,
        condition_type: str = "segmentation",
        rgba_alpha_scale: float = 1.0,
        num_classes: int = 3,
        image_size: int = 512,
        prompts: Sequence[str] = PROMPTS,
        prompt_drop: float = 0.0,
        crop_scale: tuple[float, float] = (0.08, 1.0),
    ):
        """Pair the files; nothing is read yet (see `check_pairs`).

        Args:
            augment: random crop, rotation and flips; otherwise the centre at native resolution.
            image_size: height and width of a sample in pixels.
            prompts: one of them is drawn per sample.
            prompt_drop: probability of the empty prompt instead.
            crop_scale: smallest and largest share of the picture's area that a random crop takes.
        Raises:
            FileNotFoundError, RuntimeError: as `find_pairs`.
        """
        self.pairs = find_pairs(image_dir, condition_dir, condition_type)
        self.augment = augment
        self.condition_type = condition_type
        self.rgba_alpha_scale = rgba_alpha_scale
        self.num_classes = num_classes
        self.image_size = image_size
        self.prompts = tuple(prompts)
        self.prompt_drop = prompt_drop
        self.crop_scale = crop_scale

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, item: int | tuple[int, int] | tuple[int, int, int]) -> dict:
        """One sample, torch tensors: `jpg` float32 (h, w, 3) in [-1, 1], `txt` str, `hint` float32 (h, w, c) in [0, 1]."""
        index, *seeds = item if isinstance(item, tuple) else (item,)
        pair = self.pairs[index]
        generator = self._generator(index, seeds[0] if seeds else int(torch.randint(2**63 - 1, ())))
        prompt, drop = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
        text = "" if drop < self.prompt_drop else self.prompts[int(prompt * len(self.prompts))]
        smooth, classes = self._read_layers(pair)
        if len(seeds) > 1:
            generator = self._generator(index, seeds[1])
        if self.augment:
            view = draw_view(*smooth.shape[1:], self.crop_scale, generator)
            smooth, classes = (
                take_view(layer, view, self.image_size, layer is smooth)
                for layer in (smooth, classes)
            )
        else:
            smooth, classes = (
                take_centre(layer, self.image_size, layer is smooth) for layer in (smooth, classes)
            )
        smooth = smooth.clamp(0, 1).permute(1, 2, 0)  # (h, w, 3 + k)
        sample = {
            "jpg": (smooth[..., :3] * 2 - 1).contiguous(),
            "txt": text,
            "hint": self._hint(smooth[..., 3:], classes),
        }
        return sample | dict(zip(("seed", "view"), map(int, seeds), strict=False))

    def _generator(self, index: int, seed: int) -> torch.Generator:
        """Equal seeds still differ between indices."""
        entropy = np.random.SeedSequence([index % len(self), int(seed) % 2**64])
        return torch.Generator().manual_seed(int(entropy.generate_state(1)[0]))

    def _read_layers(self, pair: Pair) -> tuple[torch.Tensor, torch.Tensor]:
        """What is interpolated, (3 + k, H, W): image and edges; what never is, (m, H, W): class indices or class planes."""
        layers = [read_image(pair.image)]
        if self.condition_type == "segmentation":
            classes = read_mask(pair.condition, self.num_classes)[..., None].astype(
                np.float32
            )  # one-hot after the crop: faster
        else:
            hint = read_hint(
                pair.condition, self.condition_type, self.num_classes, self.rgba_alpha_scale
            )
            num_planes = MASK_CHANNELS_OF_RGBA if self.condition_type == "rgba" else 0
            classes, edges = hint[..., :num_planes], hint[..., num_planes:]
            layers.append(edges)
        _check_pair(pair, layers[0].shape[:2], classes.shape[:2])
        smooth = np.concatenate(layers, axis=2) if len(layers) > 1 else layers[0]
        return torch.from_numpy(smooth).permute(2, 0, 1), torch.from_numpy(classes).permute(2, 0, 1)

    def _hint(self, edges: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        """Put the hint together again: edges (h, w, k) and classes (m, h, w) to (h, w, c)."""
        classes = classes.permute(1, 2, 0)
        if self.condition_type == "segmentation":
            return torch.from_numpy(mask_to_hint(classes[..., 0].numpy(), self.num_classes))
        return torch.cat([classes, edges], dim=2).contiguous()


class ValidationSet(torch.utils.data.Dataset):
    """The samples of a `MyDataset` in fixed order with fixed seeds, each with the hint of the next one as `other_hint`.

    A single sample has no other hint.
    """

    def __init__(self, dataset: MyDataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        sample = self.dataset[
            index, index, -1 - index
        ]  # below 0: never the seed of a training view
        if len(self) > 1:
            other = (index + 1) % len(self)
            sample["other_hint"] = self.dataset[other, other]["hint"]
        return sample
