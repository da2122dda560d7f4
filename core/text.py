"""Numbers and tables as the scripts print them."""

from collections.abc import Sequence

UNITS = ((86400, "days"), (3600, "h"), (60, "min"), (1, "s"))  # seconds of each


def duration(seconds: float) -> str:
    """Three digits in the largest unit that fits at least twice: `0.042 s`, `90 s`, `13.1 h`."""
    size, unit = next(((size, unit) for size, unit in UNITS if seconds >= 2 * size), UNITS[-1])
    value = seconds / size
    # Three digits in all; below 1 s, milliseconds.
    digits = max(0, 3 - len(str(int(value)))) if value >= 1 else 3
    return f"{value:,.{digits}f} {unit}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines with aligned columns.

    Args:
        rows: of equal length, the header first. Columns that are empty below it are left out.
    """
    shown = [column for column in zip(*rows, strict=True) if any(column[1:])]
    padded = [[cell.ljust(max(map(len, column))) for cell in column] for column in shown]
    return "\n".join("  ".join(line).rstrip() for line in zip(*padded, strict=True))
