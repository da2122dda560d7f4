"""What a run shows of itself: `overview.png` and `report.html`, both of a sample of its conditions and pictures.

The page needs nothing beside itself: styles and thumbnails stand in it. Where it lies in the run's folder, thumbnails lead to the files.
"""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from core.files import whole_file
from core.images import read_image, read_labels, write_png
from core.pictures import COLOURS, class_colours, evenly, fit, tile, to_image
from generation.branches import LABEL_FOLDERS
from generation.run_folder import RECORD, STATE

OVERVIEW, REPORT = "overview.png", "report.html"
CONDITIONS, COPIES = 12, 4  # shown: conditions of a run, and pictures of each
CELL, OVERVIEW_WIDTH = (
    224,
    1600,
)  # pixels: longer side of a picture in the overview; about the width that rows are set side by side to
THUMBNAIL, QUALITY = (
    160,
    40,
)  # pixels and WebP quality; the grain of electron micrographs hardly compresses


@dataclass(frozen=True)
class Shown:
    """A picture of the sample: float (H, W, 3) in [0, 1], and its file relative to the run's folder."""

    file: str
    pixels: np.ndarray


@dataclass(frozen=True)
class Row:
    """One condition of the sample.

    Attributes:
        source: name of the condition's first file.
        conditions: its pictures by folder in `conditions/`.
        results: images made from it, with their lines of the manifest.
    """

    source: str
    conditions: dict[str, Shown]
    results: list[tuple[Shown, dict]]


def choose(done: Sequence[int], copies: int) -> list[list[int]]:
    """Numbers of the pictures to show, by condition, of the pictures that are there (in order)."""
    groups = [list(group) for _, group in groupby(done, key=lambda k: k // copies)]
    return [group[:COPIES] for group in evenly(groups, CONDITIONS)]


def read_rows(run_dir: Path, sample: list[list[dict]]) -> list[Row]:
    """The sample's pictures, from their lines in the manifest, grouped by condition.

    Raises:
        ValueError, FileNotFoundError: a picture is damaged or gone; the message names it.
    """

    def read(file, in_colours=False):
        path = run_dir / file
        return Shown(file, class_colours(read_labels(path)) if in_colours else read_image(path))

    rows = []
    for lines in sample:
        conditions = {
            folder: read(file, folder in LABEL_FOLDERS)
            for folder, file in lines[0]["conditions"].items()
        }
        source = Path(next(iter(lines[0]["sources"].values()))).name
        rows.append(Row(source, conditions, [(read(line["image"]), line) for line in lines]))
    return rows


def draw_overview(rows: list[Row], title: str) -> np.ndarray:
    """Conditions and results side by side, uint8 (H, W, 3); narrow rows stand in several columns."""
    table = [
        [
            fit(shown.pixels, CELL)
            for shown in (*row.conditions.values(), *(result for result, _ in row.results))
        ]
        for row in rows
    ]
    heads = [
        *rows[0].conditions,
        *(f"image {i + 1}" for i in range(max(len(row.results) for row in rows))),
    ]
    across = max(1, round(OVERVIEW_WIDTH / (CELL * len(heads))))
    height = -(-len(rows) // across)
    parts = [slice(i, i + height) for i in range(0, len(rows), height)]
    blocks = [
        tile(table[part], heads[: max(map(len, table[part]))], [row.source for row in rows[part]])
        / np.float32(255)
        for part in parts
    ]  # a column of an unfinished run may hold fewer images than another
    return tile([blocks], titles=[title])


def thumbnail(shown: Shown) -> dict:
    """Attributes of a picture's <img>."""
    small = to_image(fit(shown.pixels, THUMBNAIL))
    buffer = io.BytesIO()
    small.save(buffer, format="WEBP", quality=QUALITY)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return {
        "file": shown.file,
        "src": f"data:image/webp;base64,{encoded}",
        "width": small.width,
        "height": small.height,
    }


def read_scores(run_dir: Path, pictures: int) -> list[dict]:
    """What the scripts in fid/ wrote into the run's folder (`--output-json RUN/...`), as the page shows it; other files are left out.

    Args:
        pictures: in the run by now; a score of another number says so.
    """
    found = []
    for path in sorted(run_dir.glob("*.json")):
        if path.name in (RECORD, STATE):
            continue
        try:
            score = json.loads(path.read_text())
            kid = None
            if score.get("kid") is not None:
                kid = f"{score['kid']:.4f}" + (
                    f" ± {score['kid_std']:.2g}" if score.get("kid_std") is not None else ""
                )
            notes = []
            if score.get("scarce"):
                notes.append("too few images for an FID: judge by KID")
            if score["num_generated"] != pictures:
                notes.append(f"of {score['num_generated']:,} of the run's {pictures:,} images")
            if Path(score["gen_dir"]).parts[-2:] != (run_dir.resolve().name, "images"):
                notes.append(f"of {score['gen_dir']}")
            interval = (
                "{:.2f} to {:.2f}".format(*score["fid_interval"])
                if score.get("fid_interval")
                else None
            )
            found.append({
                "file": path.name, "network": score["backbone"], "size": score["image_size"], "fid": f"{score['fid']:.2f}", "interval": interval,
                "kid": kid, "real": score["num_real"], "generated": score["num_generated"], "real_dir": score["real_dir"], "notes": notes,
            })  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError):  # not JSON, or not a score
            continue
    return found


def write_report(
    run_dir: Path,
    sample: list[list[dict]],
    *,
    pictures: int,
    planned: int,
    conditions: int,
    prompts: Sequence[str],
) -> None:
    """Write the overview and the page, each whole.

    Args:
        sample: lines of the manifest of the pictures to show, by condition (`choose`); at least one.
        pictures, planned, conditions: numbers of those that are there, and of the whole run.
        prompts: that pictures drew theirs from.
    """
    rows = read_rows(run_dir, sample)
    record = json.loads((run_dir / RECORD).read_text())
    title = (
        f"{len(rows)} of {conditions:,} conditions; {pictures:,} of {planned:,} images are there"
    )
    write_png(run_dir / OVERVIEW, draw_overview(rows, title))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.jinja").render(
        run=run_dir.resolve().name,
        rows=rows,
        pictures=pictures,
        planned=planned,
        conditions=conditions,
        copies=COPIES,
        args=record["args"],
        record=record,
        classes=[
            "#{:02x}{:02x}{:02x}".format(*(colour * 255).round().astype(int))
            for colour in COLOURS[: record["args"]["num_classes"]]
        ],
        label_folders=LABEL_FOLDERS,
        weights=sample[0][0]["weights"],
        strengths=sample[0][0]["options"]["strengths"],
        prompts=prompts,
        scores=read_scores(run_dir, pictures),
        thumbnail=thumbnail,
    )
    with whole_file(run_dir / REPORT) as temporary:
        temporary.write_text(page, encoding="utf-8")
