"""Reports of a run for people: `overview.png` and `report.html`, with examples of its images.

The page needs no other file: styles and thumbnails are part of it. In the run's folder, thumbnails
link to the files.
"""

import base64
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from core.files import whole_file
from core.imaging.images import read_image, write_png
from core.imaging.labels import read_labels
from core.imaging.pictures import (
    COLOURS,
    OVERVIEW,
    class_colours,
    evenly,
    scale_longer_side,
    tile,
    to_image,
)
from core.recording.records import RECORD, RunRecord, read_checked
from generation.folder.manifest import leading_file
from generation.reporting.scores import read_scores

REPORT = "report.html"
EXAMPLE_CONDITIONS, EXAMPLE_IMAGES = 12, 4  # conditions that are shown, and images of each
CELL = 224  # pixels, the longer side of a picture in the overview
OVERVIEW_WIDTH = 1600  # pixels; narrow rows stand side by side up to about this width
THUMBNAIL = 160  # pixels
QUALITY = 40  # of WebP; the grain of electron micrographs hardly compresses


@dataclass(frozen=True)
class Picture:
    """A picture of the examples.

    Attributes:
        file: path relative to the run's folder.
        pixels: float (H, W, 3) in [0, 1].
    """

    file: str
    pixels: np.ndarray


@dataclass(frozen=True)
class Row:
    """The example of one condition set.

    Attributes:
        source: name of the set's first file.
        conditions: its pictures by folder in `conditions/`.
        images: those made from it, with their lines of the manifest.
    """

    source: str
    conditions: dict[str, Picture]
    images: list[tuple[Picture, dict]]


def examples_of(done: Sequence[int], set_number: Callable[[int], int]) -> list[list[int]]:
    """Numbers of the images to show, one list for each condition set.

    Args:
        done: numbers of the images that are there, in order.
        set_number: number of an image -> that of its condition set.
    """
    # Spread over the conditions that have images, since an unfinished run lacks many.
    groups = [list(group) for _, group in groupby(done, key=set_number)]
    return [group[:EXAMPLE_IMAGES] for group in evenly(groups, EXAMPLE_CONDITIONS)]


def read_rows(
    run_dir: Path, examples: Sequence[Sequence[dict]], label_folders: Collection[str]
) -> list[Row]:
    """The pictures of the examples.

    Args:
        examples: lines of the manifest, one list for each condition set.
        label_folders: folders in `conditions/` whose pictures hold class indices.
    Raises:
        ValueError, FileNotFoundError: a picture is damaged or gone; the message names it.
    """

    def read(file, holds_labels=False):
        path = run_dir / file
        pixels = class_colours(read_labels(path)) if holds_labels else read_image(path)
        return Picture(file, pixels)

    rows = []
    for lines in examples:
        conditions = {
            folder: read(file, folder in label_folders)
            for folder, file in lines[0]["conditions"].items()
        }
        images = [(read(line["image"]), line) for line in lines]
        rows.append(Row(leading_file(lines[0]).name, conditions, images))
    return rows


def draw_overview(rows: Sequence[Row], title: str) -> np.ndarray:
    """Conditions beside the images made from them, uint8 (H, W, 3).

    Each row is one condition set. Narrow rows stand in several columns.
    """
    table = []
    for row in rows:
        pictures = [*row.conditions.values(), *(image for image, _ in row.images)]
        table.append([scale_longer_side(picture.pixels, CELL) for picture in pictures])
    most_images = max(len(row.images) for row in rows)
    heads = [*rows[0].conditions, *(f"image {i + 1}" for i in range(most_images))]
    columns = max(1, round(OVERVIEW_WIDTH / (CELL * len(heads))))
    rows_of_column = -(-len(rows) // columns)  # rounded up
    blocks = []
    for start in range(0, len(rows), rows_of_column):
        part = slice(start, start + rows_of_column)
        # A column of an unfinished run may hold fewer images than another.
        own_heads = heads[: max(map(len, table[part]))]
        block = tile(table[part], own_heads, [row.source for row in rows[part]])
        blocks.append(block / np.float32(255))
    return tile([blocks], titles=[title])


def thumbnail(picture: Picture) -> dict:
    """Attributes of a picture's `<img>`."""
    small = to_image(scale_longer_side(picture.pixels, THUMBNAIL))
    buffer = io.BytesIO()  # part of the page, which is then one file that can be sent around
    small.save(buffer, format="WEBP", quality=QUALITY)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return {
        "file": picture.file,
        "src": f"data:image/webp;base64,{encoded}",
        "width": small.width,
        "height": small.height,
    }


def class_legend(num_classes: int) -> list[str]:
    """Colours of the classes as `#rrggbb`."""
    colours = (COLOURS[:num_classes] * 255).round().astype(int)
    return ["#{:02x}{:02x}{:02x}".format(*colour) for colour in colours]


def _template() -> Template:
    """The page, to be filled in."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # file names and prompts come from users
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja")


def write_report(
    run_dir: Path,
    examples: Sequence[Sequence[dict]],
    *,
    options: Mapping,
    done: int,
    planned: int,
    num_conditions: int,
    prompts: Sequence[str],
    label_folders: Collection[str],
) -> None:
    """Write the overview and the page, each whole.

    Args:
        examples: lines of the manifest of the images to show, one list for each condition set (see
            `examples_of`); at least one.
        options: of the run, by name.
        done, planned: numbers of images that are there and of the whole run.
        num_conditions: condition sets of the run.
        prompts: that images drew theirs from.
        label_folders: as in `read_rows`.
    """
    rows = read_rows(run_dir, examples, label_folders)
    title = (
        f"{len(rows)} of {num_conditions:,} conditions; {done:,} of {planned:,} images are there"
    )
    write_png(run_dir / OVERVIEW, draw_overview(rows, title))
    record = read_checked(run_dir / RECORD, RunRecord)
    first_line = examples[0][0]  # weights and strengths are those of the whole run
    page = _template().render(
        run=run_dir.resolve().name,
        rows=rows,
        done=done,
        planned=planned,
        num_conditions=num_conditions,
        images_of_each=EXAMPLE_IMAGES,
        args=options,
        record=record,
        classes=class_legend(options["num_classes"]),
        label_folders=label_folders,
        weights=first_line["weights"],
        strengths=first_line["options"]["strengths"],
        prompts=prompts,
        scores=read_scores(run_dir, done),
        thumbnail=thumbnail,
    )
    with whole_file(run_dir / REPORT) as temporary:
        temporary.write_text(page, encoding="utf-8")
