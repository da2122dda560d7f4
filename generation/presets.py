"""Defaults that belong together, by the name that `--preset` gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.command_line.options import option

# Preset -> options of generate.py by name. docs/measurements.md has the table that decided.
PRESETS: dict[str, dict[str, Any]] = {
    "fast": {
        "sampler": "unipc",
        "ddim_steps": 12,
        "guidance_interval": [0.3, 5.0],
        "joint": True,
        "batch_size_per_inference": 8,
    },
}


def _words(values: Mapping[str, Any]) -> str:
    """Options as words of a command line."""
    parts = ((name, x if isinstance(x, list) else [x]) for name, x in values.items())
    return " ".join(f"--{name} {' '.join(map(str, part))}" for name, part in parts)


@dataclass(frozen=True)
class PresetOptions:
    """The preset."""

    preset: str | None = option(
        None,
        help="defaults for several options at once, which an option that is given overrides: "
        + "; ".join(f"{name} is {_words(values)}" for name, values in PRESETS.items()),
        choices=PRESETS,
    )


def with_preset(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options that the user gave, by name, and below them those of their preset."""
    return PRESETS.get(given.get("preset"), {}) | given
