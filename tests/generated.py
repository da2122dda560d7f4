"""Files of a generation, as tests compare them."""

import json
from pathlib import Path


def pictures(folder: Path) -> dict[str, bytes]:
    """Images of a run by name."""
    return {path.name: path.read_bytes() for path in sorted((folder / "images").iterdir())}


def manifest(folder: Path) -> list[dict]:
    """Lines of a run's manifest."""
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
