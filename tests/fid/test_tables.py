"""Tables of results: names, and values by hand."""

import json
import math
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.command_line.options import OptionError
from fid.tables import (
    COLUMNS,
    TableOptions,
    names_of,
    read_results,
    row_of,
    write_markdown,
)
from tests.edited import edits


def test_names_are_what_tells_folders_apart():
    assert names_of([Path("/a/run_1/images"), Path("/a/run_2/images")]) == ["run_1", "run_2"]
    assert names_of([Path("/a/b"), Path("/a/c/d")]) == ["b", "c/d"]
    assert names_of([Path("/a/b"), Path("/a/b/c")]) == ["b", "b/c"]
    assert names_of([Path("/x/only")]) == ["only"]
    assert names_of([Path("/a/b"), Path("/a/c/b"), Path("/a/b/b")]) == ["b", "c/b", "b/b"]


@given(st.sets(st.sampled_from(["/".join(p) for n in (1, 2, 3) for p in product("ab", repeat=n)])))
def test_no_two_folders_share_a_name(folders):
    names = names_of([Path("/x") / folder for folder in folders])
    assert len(set(names)) == len(folders) and all(names)


def test_no_row_takes_the_place_of_another():
    twice = (Path("a"), Path("b/../a"))
    for rows in ({"generated": twice}, {"results": twice}):
        with pytest.raises(OptionError, match="a path twice"):
            TableOptions(**rows).check()
    named = TableOptions(generated=(Path("x"), Path("y")), names=("a/b", "a_b"))
    with pytest.raises(ValueError, match="of a/b and a_b would both be fid_table/a_b.json"):
        named.result_files()


def test_a_row_holds_what_was_computed(tmp_path):
    bare = {"num_generated": 5000, "fid": 12.5}
    assert row_of("a", bare) == dict.fromkeys(COLUMNS, "") | {"name": "a", "n": 5000, "FID": 12.5}
    full = row_of("b", bare | {"kid": 0.5, "kid_std": 0.1, "fid_interval": [12.0, 13.0]})
    assert (full["KID low"], full["KID high"]) == (0.5 - 0.196, 0.5 + 0.196)
    assert (full["FID low"], full["FID high"]) == (12.0, 13.0)
    made = {"num_real": 7, "real_dir": "/real", "backbone": "cem500k", "weights_sha256": "f" * 64}
    write_markdown(tmp_path / "t.md", [full], made | {"image_size": 224, "resize": "none"})
    lines = (tmp_path / "t.md").read_text().splitlines()
    assert "| b | 5000 | 12.500 | 12.000 | 13.000 | 0.50000 | 0.30400 | 0.69600 |" in lines[2]
    assert "7 real images of `/real`; cem500k, weights ffffffffffff, 224 px" in lines[4]
    assert list(full) == list(COLUMNS)  # so its values are the cells of a table's row


def test_a_name_is_one_cell_of_the_markdown_table(tmp_path):
    made = {"num_real": 7, "real_dir": "/real", "backbone": "x", "weights_sha256": "f"}
    row = row_of("a|b\nc", {"num_generated": 5, "fid": 1.0})
    write_markdown(tmp_path / "t.md", [row], made | {"image_size": 224, "resize": "none"})
    assert (tmp_path / "t.md").read_text().splitlines()[2].startswith(r"| a\|b c | 5 | 1.000 |")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edit=edits())
def test_an_edited_result_is_a_row_or_refused(tmp_path, edit):
    result = {"fid": 1.5, "kid": 0.5, "kid_std": 0.1, "num_real": 9, "num_generated": 7}
    result |= {"real_dir": "r", "backbone": "b", "weights_sha256": "f", "image_size": 224}
    result |= {"resize": "r", "normalization_mean": 0.5, "normalization_std": [0.5]}
    result |= {"scarce": True, "fid_interval": [1.0, 2.0], "fid_infinity": 1.0, "floor_fid": 1.0}
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(edit(result)))
    try:
        (read,) = read_results([path], "--results").values()
    except ValueError as error:
        assert str(error).startswith(f"--results {path}: not a result")
        return
    row = row_of("a", read)
    numbers = [value for value in list(row.values())[1:] if value != ""]
    assert all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers)
    write_markdown(tmp_path / "t.md", [row], read)
