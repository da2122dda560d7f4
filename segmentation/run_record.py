"""The part of a generation's record that data of a segmenter depend on."""

from pathlib import Path

from pydantic import PositiveInt

from core.recording.records import STATE, Record, read_checked


class GeneratedFrom(Record):
    """The part of a generation's `STATE` that tells where its pairs come from.

    Attributes:
        encoded_images: real images that the generated ones begin with, in the order of the masks.
        condition_checksums: SHA-256 by file, of masks and of these images; empty in runs of older
            versions.
        variation_sources: of those files that `utils/vary_masks.py` made, SHA-256 of the mask and
            of the image that each was made from; None in runs of older versions.
        copies: images of each mask; empty in runs of older versions, which had as many of each.
    """

    encoded_images: list[str] = []
    condition_checksums: dict[str, str] = {}
    variation_sources: dict[str, list[str]] | None = None
    copies: list[PositiveInt] = []


def read_run(folder: Path) -> GeneratedFrom | None:
    """The record of the run that made a folder of pairs; None where none did.

    Raises:
        ValueError: the record is damaged.
    """
    path = folder / STATE
    return read_checked(path, GeneratedFrom) if path.exists() else None
