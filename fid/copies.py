"""Near-copies: generated images closer to a training image than training images are to each other.

An image counts as a copy when its distance to the nearest training image is below the 1 % quantile
of the distances of training images to their own nearest. So about 1 % of fresh real images would
count.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from core.command_line.options import fraction, option, positive_int
from core.csv_files import write_csv
from core.imaging.images import read_image, to_uint8
from core.imaging.pictures import tile
from fid.distances import distances, require_spread
from fid.options import FeatureOptions

if TYPE_CHECKING:  # it takes seconds to load, and programs read their options before
    from fid.backbones.loading import Backbone

THUMBNAIL = 64  # pixels at which a pair's correlation is taken: structure counts, noise does not
SHOWN_SIZE = 224  # pixels of an image in the picture
GAP, WIDE_GAP = 4, 24  # pixels between the two images of a pair, and between pairs
COLUMNS = ("generated", "nearest training image", "feature distance", "copy", "correlation")


@dataclass(frozen=True)
class CopyOptions:
    """Definition of a near-copy, and the number of pairs that are shown."""

    held_out: Path | None = option(
        None,
        Path,
        "DIR",
        "real images that the generator never saw: their share is the level of chance",
        aliases=("--held_out",),
    )
    quantile: float = option(
        0.01, fraction, "FLOAT", "share of training images that are as close to another as a copy"
    )
    pairs: int = option(12, positive_int, "INT", "closest pairs in the picture")


class ImageFeatures(NamedTuple):
    """Image files and their features, (n, D), in one order."""

    paths: list[Path]
    features: np.ndarray


class Copies(NamedTuple):
    """Near-copies among generated images.

    Attributes:
        limit: feature distance below which an image counts as a copy.
        pairs: generated image, nearest training image, feature distance; the closest first.
        share: of the generated images that are copies, in [0, 1].
    """

    limit: float
    pairs: list[tuple[Path, Path, float]]
    share: float


def nearest(features: np.ndarray, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(index, distance) of each sample's nearest training sample, (n,) and (n,)."""
    apart = distances(features, training)  # (n, training)
    index = apart.argmin(axis=1)  # (n,)
    return index, apart[np.arange(len(features)), index]


def copy_distance(training: np.ndarray, quantile: float) -> float:
    """The distance below which a sample counts as a copy.

    It is that quantile of the training samples' distances to their nearest.

    Raises:
        ValueError: as `require_spread`.
    """
    require_spread(len(training), f"{len(training)} training image(s)")  # one has no nearest
    apart = distances(training, training)  # (n, n)
    np.fill_diagonal(apart, np.inf)  # the nearest other sample counts
    return float(np.quantile(apart.min(axis=1), quantile))


def find_copies(training: ImageFeatures, generated: ImageFeatures, quantile: float) -> Copies:
    """Near-copies of training images among generated ones.

    Args:
        quantile: share of training images that lie closer to another one than the limit.
    """
    limit = copy_distance(training.features, quantile)
    index, apart = nearest(generated.features, training.features)  # (n,) each
    # Closest first: those are the ones to look at.
    pairs = [
        (generated.paths[i], training.paths[index[i]], float(apart[i])) for i in apart.argsort()
    ]
    return Copies(limit, pairs, float((apart < limit).mean()))


def write_pairs(path: Path, copies: Copies) -> None:
    """Write a CSV of generated images, nearest training images and how alike they are."""

    def row(generated, training, distance):
        # A second opinion beside the features: pixels that agree, whatever the network saw.
        alike = correlation(read_image(generated), read_image(training))
        return generated, training, distance, int(distance < copies.limit), f"{alike:.3f}"

    write_csv(path, COLUMNS, (row(*pair) for pair in copies.pairs))


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Largest correlation of two pictures' thumbnails over the eight ways to turn and mirror one.

    Args:
        first, second: float (H, W, 3) in [0, 1].
    """
    a, b = _thumbnail(first), _thumbnail(second)
    # Training turns and mirrors images, so a copy may come back in any of these ways.
    return max(
        float((np.rot90(side, turns) * a).mean()) for side in (b, b[:, ::-1]) for turns in range(4)
    )


def _thumbnail(pixels):
    """Standardised grey levels, (THUMBNAIL, THUMBNAIL)."""
    grey = Image.fromarray(to_uint8(pixels)).convert("L")
    small = np.asarray(grey.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX), dtype=np.float64)
    return (small - small.mean()) / (small.std() + 1e-9)  # an even picture has no deviation


def draw_pairs(pairs: list[tuple[Path, Path]], columns: int = 4) -> np.ndarray:
    """Pairs of image files side by side, several in a row, as `tile` gives them."""
    thin, wide = (np.ones((SHOWN_SIZE, width, 3), np.float32) for width in (GAP, WIDE_GAP))
    cells = [
        np.concatenate([_shown(one), thin, _shown(other), wide], axis=1) for one, other in pairs
    ]
    return tile([cells[i : i + columns] for i in range(0, len(cells), columns)])


def _shown(path):
    """An image file as float32 (SHOWN_SIZE, SHOWN_SIZE, 3) in [0, 1]."""
    image = Image.fromarray(to_uint8(read_image(path)))
    resized = image.resize((SHOWN_SIZE, SHOWN_SIZE), Image.Resampling.BICUBIC)
    return np.asarray(resized) / np.float32(255)


def features_of(
    folder: Path,
    paths: list[Path],
    backbone: "Backbone",
    reading: FeatureOptions,
    cache: Path | None,
) -> ImageFeatures:
    """Features of the images `paths` of a folder.

    Args:
        cache: folder of cached statistics; None for no cache.
    """
    from fid.features import folder_statistics  # here, because it loads torch

    statistics = folder_statistics(
        paths,
        backbone,
        reading.batch_size,
        reading.num_workers,
        keep_features=True,  # distances between single images need them all
        cache_dir=cache,
        title=folder.name,
    )
    return ImageFeatures(paths, statistics.features)


def report_of(copies: Copies, sets: Mapping[str, ImageFeatures], quantile: float) -> dict:
    """The share of near-copies and what it was counted with.

    Args:
        sets: features of the `training` and `generated` images, and of `held_out` ones if given.
    """
    numbers = {f"num_{name}": len(images.paths) for name, images in sets.items()}
    report = {"copies": copies.share, "copy_distance": copies.limit, "quantile": quantile}
    if "held_out" in sets:  # what the same limit says of images that cannot be copies
        chance = find_copies(sets["training"], sets["held_out"], quantile).share
        report["held_out_copies"] = chance
    return report | numbers


def copy_lines(report: Mapping) -> str:
    """The shares of `report_of`, for people."""
    lines = [
        f"{report['copies']:.1%} of {report['num_generated']} generated images are near-copies "
        f"(feature distance below {report['copy_distance']:.4g})"
    ]
    if "held_out_copies" in report:
        lines.append(
            f"{report['held_out_copies']:.1%} of {report['num_held_out']} held-out real images "
            "would be called so"
        )
    return "\n".join(lines)
