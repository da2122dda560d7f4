"""Checks that the pictures of an image are as they were written.

A crash of the machine, a full disk or another program can leave pictures that are there and
damaged. They would count as made, and be exported.
"""

from collections.abc import Mapping
from pathlib import Path

from core.checks import picture_flaw
from core.files import sha256_of
from core.imaging.images import image_size
from generation.folder.manifest import OTHERS_SHA256, SHA256, WEIGHTS_CHANGED, files_of


def image_flaw(run_dir: Path, line: Mapping, recorded: Mapping, gated: bool = False) -> str | None:
    """Flaw of a run's image, or of the pictures that belong to it.

    Args:
        line: of the manifest.
        recorded: what was noted of the image when it was written, by `SHA256`, `OTHERS_SHA256` and
            `WEIGHTS_CHANGED`; empty where nothing was.
        gated: whether a quality gate chose the image: then only its note tells the seed.
    Raises:
        ValueError: as `picture_flaw`.
    """
    image = run_dir / line["image"]
    if recorded.get(WEIGHTS_CHANGED):
        return f"{image}: the weights changed while it was drawn"
    if gated and not recorded:
        return f"{image}: nothing tells with which seed it was drawn"
    if flaw := picture_flaw(image, colours="RGB"):
        return flaw
    if recorded.get(SHA256) not in (None, sha256_of(image)):
        return f"{image}: not the picture that was written"
    size = image_size(image)
    if line["mask"] and (flaw := picture_flaw(run_dir / line["mask"], size, "grey")):
        return flaw
    flaws = (picture_flaw(run_dir / file, size) for file in line["conditions"].values())
    if flaw := next(filter(None, flaws), None):
        return flaw
    # A sound picture of another image, which the checks above let pass
    others = recorded.get(OTHERS_SHA256, {})
    for file in files_of(line):
        if others.get(file) not in (None, sha256_of(run_dir / file)):
            return f"{run_dir / file}: not the picture that was written"
    return None
