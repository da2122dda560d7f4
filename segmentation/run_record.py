"""What a generation notes of its pairs, as far as the data of a segmenter depend on it."""

from pathlib import Path

from core.recording.records import STATE, Record, read_checked


class GeneratedFrom(Record):
    """The part of a generation's `STATE` that tells where its pairs come from.

    Attributes:
        condition_checksums: SHA-256 by file, of masks and of real images that drawing began with.
        copies: images of each mask. Runs of older versions have neither.
    """

    condition_checksums: dict[str, str] = {}
    copies: list[int] = []


def read_run(folder: Path) -> GeneratedFrom | None:
    """What a folder of pairs notes of its run; None where no `generate.py` made it.

    Raises:
        ValueError: the record is damaged.
    """
    path = folder / STATE
    return read_checked(path, GeneratedFrom) if path.exists() else None
