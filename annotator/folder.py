"""The maps of a whole folder of images: batches, progress, and a record for later runs.

The record holds the settings and the weights that drew the maps, and the checksums of the images. A
run that is started again goes on if settings and weights are unchanged, and otherwise names what
changed. Maps of images that have changed are drawn again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from annotator.detector import EDGES, Detector, DrawMaps
from annotator.util import resize_image
from annotator.weights import find_checkpoint, further_weights
from core.checks import bar_for_many, find_flaws, picture_flaw
from core.command_line.option_sources import changed_options, plain
from core.command_line.options import OptionError, non_negative_int, option, positive_int
from core.files import check_new_folder, sha256_of, write_json
from core.hardware.device_options import DeviceOptions
from core.hardware.workers import in_workers
from core.imaging.image_header import stated_bit_depth
from core.imaging.images import check_image, read_image, to_uint8, write_png
from core.imaging.pairing import stem_of
from core.imaging.pictures import evenly, scale_longer_side, tile
from core.recording.records import Record, read_checked

MAPS_RECORD = "annotate.json"
# In a folder of its own, so that no reader takes it for one of the maps.
OVERVIEW = Path("overview") / "overview.png"
OVERVIEW_ROWS, OVERVIEW_SIDE = 6, 384  # images; pixels of the longer side


@dataclass(frozen=True)
class AnnotationRunOptions(DeviceOptions):
    """Size at which maps are drawn, and the device and processes that draw them."""

    detect_resolution: int | None = option(
        None,
        positive_int,
        "PIXELS",
        "show the detector the images at this short side (multiples of 64) and bring its maps "
        "back; published: 512, midas 384; not given: no resizing",
    )
    num_workers: int = option(
        0,
        non_negative_int,
        "INT",
        "processes for detectors without a network; 0: this process does the work",
    )
    batch_size: int = option(
        4, positive_int, "INT", "images of equal size that a network sees at once"
    )


# What an earlier run drew


class MapSettings(Record):
    """Settings that drew the maps, with the options of the detector; see `settings_that_draw`."""

    detector: str
    input: str
    detect_resolution: int | None


class MapsRecord(Record):
    """Content of `MAPS_RECORD`; weights and images are the SHA-256 of their files by name."""

    settings: MapSettings
    weights: dict[str, str]
    images: dict[str, str] = {}  # older versions noted none


def map_path(output: Path, image: Path) -> Path:
    """File of an image's map."""
    return output / f"{stem_of(image)}.png"


def settings_that_draw(
    detector: Detector, options: Any, images: Path, detect_resolution: int | None
) -> dict:
    """Everything that decides how maps look, apart from the weights, as JSON stores it."""
    # Batch size, processes and device are left out: they may change between runs.
    shared = {
        "detector": detector.name,
        "input": images.resolve(),  # a relative path means another folder elsewhere
        "detect_resolution": detect_resolution,
        "bit_depth": stated_bit_depth(),
    }
    return plain(shared | asdict(options))


def recorded_maps(output: Path, settings: Mapping) -> MapsRecord | None:
    """The record of the maps in `output`; None if nothing is there yet.

    Args:
        settings: of this run, as `settings_that_draw` gives them.
    Raises:
        OptionError: `output` holds something else than maps that these settings drew.
    """
    record = output / MAPS_RECORD
    if not record.exists():
        # Files without a record may be anything, and maps of the same names would replace them.
        if output.is_dir() and any(output.iterdir()):
            raise OptionError(
                "output",
                f"{output}: holds files but no {MAPS_RECORD}, so they are not the maps of an "
                "earlier run. Name a new or an empty folder",
            )
        try:
            check_new_folder(output)
        except OSError as error:
            raise OptionError("output", str(error)) from error
        return None
    try:
        saved = read_checked(record, MapsRecord)
    except ValueError as error:
        raise OptionError("output", f"{error}. Name another folder") from error
    before = saved.settings.model_dump()
    # Maps of two settings in one folder could not be told apart.
    changed = changed_options(settings, before, set())
    if changed:
        value = before[changed[0].lstrip("-")]
        raise OptionError(
            "output",
            f"{record}: the maps were drawn with another {changed[0]} ({value}). "
            "Name another folder, or use that value",
        )
    return saved


def missing_maps(
    sizes: Mapping[Path, tuple[int, int]], output: Path, detector: Detector
) -> tuple[dict[Path, tuple[int, int]], list[str]]:
    """Images without a sound map, with their sizes; and what is wrong with maps that are there.

    Args:
        sizes: of all images, as `check_images` gives them.
    Raises:
        ValueError: a map's name belongs to something that is no file.
    """
    colours = "grey" if detector.draws == EDGES else None

    def flaw_of(image):
        return picture_flaw(map_path(output, image), sizes[image], colours)

    drawn = dict.fromkeys(image for image in sizes if map_path(output, image).exists())
    flaws = find_flaws(drawn, flaw_of, "checking maps")
    missing = {image: sizes[image] for image in sizes if image not in drawn or image in flaws}
    return missing, list(flaws.values())


def changed_images(sums: Mapping[Path, str], before: MapsRecord | None) -> list[Path]:
    """Images with other checksums than those that a record has; none where it has none."""
    if before is None or not before.images:
        return []
    return [path for path, total in sums.items() if before.images.get(path.name) != total]


def write_record(
    output: Path, settings: Mapping, weights: Mapping[str, str], images: Mapping[str, str]
) -> None:
    """Make the folder of the maps, and store in it what draws them; see `MapsRecord`."""
    output.mkdir(parents=True, exist_ok=True)
    content = {"settings": settings, "weights": weights, "images": images}
    write_json(output / MAPS_RECORD, content)


def find_all_weights(
    detector: Detector, options: Any, weights: Path | None, option: str = "argument weights"
) -> dict[str, str]:
    """SHA-256 of each file of weights that the detector will read, by the file's name.

    Files that are missing are downloaded.

    Args:
        options: of the detector.
        weights, option: as in `find_checkpoint`, for the main file; further ones lie in the same
            folder.
    Raises:
        FileNotFoundError: a file is missing and cannot be downloaded.
    """
    paths = []
    for file in detector.weights_files(options):
        # Only the first file can be the one that the user named.
        place = further_weights(weights) if paths else weights
        paths.append(find_checkpoint(file, place, option))
    return {path.name: sha256_of(path) for path in paths}


def check_images(paths: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    """Height and width of all files; raises ValueError at the first that cannot be read."""
    return {path: check_image(path) for path in bar_for_many(paths)}


# Drawing


def batches_of_one_size(
    sizes: Mapping[Path, tuple[int, int]], batch_size: int
) -> Iterator[list[Path]]:
    """Lists of at most `batch_size` files of equal size."""
    # The sort is stable: files of one size keep their order, whatever lies between them.
    for _, group in groupby(sorted(sizes, key=sizes.get), key=sizes.get):
        paths = list(group)
        for start in range(0, len(paths), batch_size):
            yield paths[start : start + batch_size]


def draw_batch(
    paths: list[Path], draw_maps: DrawMaps, interpolation: int, resolution: int | None
) -> list[tuple[Path, np.ndarray]]:
    """Images of one size, each with its map at the size of the image.

    Args:
        draw_maps, interpolation: of a `Detector`.
        resolution: short side at which the detector sees the images; None: as they are.
    """
    images = [to_uint8(read_image(path)) for path in paths]  # each (H, W, 3)
    height, width = images[0].shape[:2]
    shown = [resize_image(image, resolution) for image in images] if resolution else images
    maps = []
    for drawn in draw_maps(shown):  # (h, w) or (h, w, 3)
        if drawn.shape[:2] != (height, width):
            drawn = cv2.resize(drawn, (width, height), interpolation=interpolation)
        maps.append(drawn)  # (H, W) or (H, W, 3)
    return list(zip(paths, maps, strict=True))


def draw_all(
    sizes: Mapping[Path, tuple[int, int]],
    output: Path,
    detector: Detector,
    draw_maps: DrawMaps,
    run: AnnotationRunOptions,
) -> None:
    """Write the map of each file, with a progress bar.

    Args:
        sizes: height and width of the files, as `check_images` gives them.
        draw_maps: as `detector.build` returns it.
    """
    work = partial(
        draw_batch,
        draw_maps=draw_maps,
        interpolation=detector.interpolation,
        resolution=run.detect_resolution,
    )
    # A network gains from batches and holds its weights once; the others gain from processes.
    has_network = bool(detector.weights)
    batches = list(batches_of_one_size(sizes, run.batch_size if has_network else 1))
    num_workers = 0 if has_network else min(run.num_workers, len(batches))
    with tqdm(total=len(sizes), desc=detector.name, unit="image") as bar:
        for drawn in in_workers(work, batches, num_workers):
            # Each map is written at once, so a run that is stopped goes on behind the last one.
            for path, picture in drawn:
                write_png(map_path(output, path), picture)
                bar.update()


def draw_overview(paths: Sequence[Path], output: Path) -> None:
    """Write `OVERVIEW` into the folder of the maps: a few images, each beside its map."""

    def small(path):
        """The picture with at most `OVERVIEW_SIDE` pixels a side."""
        picture = read_image(path)  # (H, W, 3)
        # Small pictures keep their size: enlarged, they would show nothing more.
        return scale_longer_side(picture, min(OVERVIEW_SIDE, max(picture.shape[:2])))

    rows = [[small(path), small(map_path(output, path))] for path in evenly(paths, OVERVIEW_ROWS)]
    (output / OVERVIEW).parent.mkdir(exist_ok=True)
    write_png(output / OVERVIEW, tile(rows))
