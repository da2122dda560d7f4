"""Tables of results: names, and values by hand."""

import csv
from pathlib import Path

from fid.tables import COLUMNS, names_of, row_of, write_csv, write_markdown


def test_names_are_what_tells_folders_apart():
    assert names_of([Path("/a/run_1/images"), Path("/a/run_2/images")]) == ["run_1", "run_2"]
    assert names_of([Path("/a/b"), Path("/a/c/d")]) == ["b", "c/d"]
    assert names_of([Path("/a/b"), Path("/a/b/c")]) == ["b", "b/c"]
    assert names_of([Path("/x/only")]) == ["only"]


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
    write_csv(tmp_path / "t.csv", [full])
    with open(tmp_path / "t.csv", newline="") as file:
        assert next(csv.DictReader(file))["KID"] == "0.5"
