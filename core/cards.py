"""Cards: README files in the form of the Hugging Face hub, a YAML block above Markdown.

The hub reads the block; people read the rest. A card must hold nothing private: paths of the
machine stay out of it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from core.files import whole_file

CARD = "README.md"  # the name that the hub shows
UNKNOWN_LICENCE = "unknown"  # as the hub writes it
UNKNOWN_SIZE = "not recorded. State it before you share this."
# Upper ends of the hub's categories of data sets, and their names.
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))


def size_category(count: int) -> str:
    """The hub's category of a data set of `count` samples."""
    return next((name for limit, name in SIZES if count < limit), "n>1M")


def as_code(value: object) -> str:
    """A value as Markdown that is shown as it stands."""
    text = " ".join(str(value).split()).replace("`", "'").replace("|", "/")
    return f"`{text}`"


def card_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table of values; their text is shown as it stands."""
    lines = [columns, ["---"] * len(columns)]
    lines += [[as_code(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def licence_text(licence: str | None, hint: str) -> str:
    """The section of the licence.

    Args:
        licence: as the hub names it.
        hint: what to think of where none is given.
    """
    if licence:
        return f"{as_code(licence)}, stated by who made this. {hint}"
    return f"Not stated. State it in the block above before you share this. {hint}"


def write_card(
    path: Path, metadata: Mapping[str, object], title: str, sections: Mapping[str, str]
) -> None:
    """Write a card, whole or not at all.

    Args:
        metadata: content of the YAML block; plain values.
        sections: Markdown by heading, in their order.
    Raises:
        OSError: as `whole_file`.
    """
    block = yaml.safe_dump(dict(metadata), sort_keys=False, allow_unicode=True)
    text = f"---\n{block}---\n\n# {title}\n"
    text += "".join(f"\n## {heading}\n\n{body}\n" for heading, body in sections.items())
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
