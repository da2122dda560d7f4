"""CSV files: formulas are shown, numbers stay numbers, all else comes back as it was."""

import csv

from hypothesis import given
from hypothesis import strategies as st

from core.csv_files import FORMULA_SIGNS, shown_as_text, write_csv


def test_spreadsheets_compute_no_cell(tmp_path):
    rows = [["=1+1", "+cmd|' /C calc'!A0", "@SUM(A1)", "-2+3", "\t=1", "＝1"]]
    rows += [["a=1", 'a, "quoted" cell', "two\n=lines", "", "真", "'=1"]]
    rows += [[-1.5, "-1.5", "+2", 7, None, -3e-9]]
    written = [rows[0], [cell.replace("\n", "\r") for cell in rows[1]], rows[2]]
    write_csv(tmp_path / "t.csv", list("abcdef"), written)
    with open(tmp_path / "t.csv", newline="", encoding="utf-8") as file:
        header, formulas, texts, numbers = csv.reader(file)
    assert header == list("abcdef")
    assert formulas == [f"'{cell}" for cell in rows[0]]
    assert texts == rows[1]
    assert numbers == ["-1.5", "-1.5", "+2", "7", "", "-3e-09"]


@given(st.text(max_size=20))
def test_a_text_is_a_number_or_begins_like_a_text(text):
    shown = shown_as_text(text)
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    assert shown in (lines, f"'{lines}")
    if shown.startswith(FORMULA_SIGNS):
        float(shown)
