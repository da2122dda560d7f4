"""The card of an exported data set, for people and for the Hugging Face hub."""

from collections.abc import Sequence
from pathlib import Path

from core.cards import (
    CARD,
    UNKNOWN_LICENCE,
    UNKNOWN_SIZE,
    card_table,
    licence_text,
    size_category,
    write_card,
)
from core.imaging.pixel_size import PixelSize
from generation.exporting.layouts import Case

TAGS = ["electron-microscopy", "synthetic", "segmentation", "natural2nanoscale"]
LICENCE_HINT = (
    "The licences of the real images, of the masks and of the weights that drew the images all "
    "matter."
)
LIMITS = (
    "Generated images are no observations: nothing about a specimen follows from them. They show "
    "their masks as well as the model obeys them, so small classes may be wrong. Nothing here is "
    "to be tested on. Keep a group together when you split the set: its pairs show one mask."
)


def _size_text(lines: Sequence[dict]) -> str:
    """The pixel size of the generated images."""
    sizes = {tuple(line.get("pixel_size_nm") or ()) for line in lines}
    if len(sizes) != 1 or () in sizes:
        return UNKNOWN_SIZE
    return f"{PixelSize(*sizes.pop())} (of the generated images)"


def write_data_card(
    folder: Path,
    cases: Sequence[Case],
    class_names: Sequence[str],
    lines: Sequence[dict],
    contents: str,
    licence: str | None,
) -> None:
    """Write `CARD` into a data set.

    Args:
        class_names: in the order of the class indices.
        lines: of the manifest, for the generated pairs.
        contents: a sentence on the folders and what they hold.
        licence: of the data set, as the hub names it.
    """
    real = sum(case.real for case in cases)
    sizes = sorted({case.size for case in cases})
    weights = sorted({pair for line in lines for pair in line["weights"].items()})
    options = dict(lines[0]["options"]) if lines else {}
    # Those that differ between images stand in the run's manifest.
    shared = {
        name: value
        for name, value in options.items()
        if all(line["options"].get(name) == value for line in lines)
    }
    sections = {
        "What it holds": f"{len(cases)} pairs of image and mask: {real} real, "
        f"{len(cases) - real} generated. {contents} `splits.csv` says of each pair what it is, and "
        "which pairs show one mask (`group`).\n\n"
        f"- Sizes (height, width): {', '.join(f'{h} x {w}' for h, w in sizes)} pixels\n"
        f"- Groups: {len({case.group for case in cases})}\n"
        f"- Pixel size: {_size_text(lines)}",
        "Classes": card_table(("index", "name"), list(enumerate(class_names))),
        "Weights that drew the images": card_table(("branch", "SHA-256"), weights),
        "Options": card_table(("option", "value"), sorted(shared.items())),
        "Intended use": "Meant for training segmentation networks, beside or in place of real "
        "pairs. Whether it helps shows on real images that neither training saw.",
        "Limits": LIMITS,
        "Licence": licence_text(licence, LICENCE_HINT),
    }
    metadata = {
        "license": licence or UNKNOWN_LICENCE,
        "task_categories": ["image-segmentation"],
        "tags": TAGS,
        "size_categories": [size_category(len(cases))],
    }
    write_card(folder / CARD, metadata, "Electron micrographs with masks", sections)
