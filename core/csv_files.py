"""CSV files that spreadsheets show and never compute."""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from core.files import whole_file

# A cell that begins with one of these is a formula to Excel or LibreOffice, which can read other
# files and call web pages (OWASP, "CSV Injection").
FORMULA_SIGNS = tuple("=+-@\t\r\n＝＋－＠")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a table as UTF-8 with a header; the file is whole or as it was before.

    Texts that a spreadsheet would take for formulas get an apostrophe in front. Numbers stay as
    they are, negative ones and those given as texts too. All line breaks within a text become
    line feeds.
    """
    # newline="" as the csv module asks: it writes its own line ends.
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows([shown_as_text(value) for value in row] for row in rows)


def shown_as_text(value: object) -> object:
    """A cell as `write_csv` writes it."""
    if value is None or isinstance(value, (int, float)):
        return value
    # Up to Python 3.12 the csv module leaves a lone carriage return unquoted. Readers end the row
    # there, and what follows could begin with a formula.
    text = "\n".join(re.split("\r\n?", str(value)))
    return f"'{text}" if text.startswith(FORMULA_SIGNS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.strip() == text
