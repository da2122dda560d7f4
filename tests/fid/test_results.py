"""Results: what may share a table, what is printed, how files are named."""

from pathlib import Path

import pytest

from core.files import check_writable
from fid.results import COMPARABLE, check_comparable, summary_text, write_result

TIME = "2024-05-06T07:08:09+00:00"


def result(**changes):
    fields = {field: f"the {field}" for field in COMPARABLE} | {"num_real": 3000}
    return fields | {"num_generated": 3000, "fid": 1.5, "timestamp_utc": TIME} | changes


def test_only_results_made_the_same_way_are_comparable():
    check_comparable({})
    check_comparable({"a": result(), "b": result(fid=7.0, num_generated=9)})
    for field in COMPARABLE:
        with pytest.raises(ValueError, match=f"b and a do not belong .*: {field} is other"):
            check_comparable({"a": result(), "b": result(**{field: "other"})})
    with pytest.raises(KeyError):
        check_comparable({"a": {"fid": 1.5}})


def test_no_earlier_result_is_overwritten(tmp_path):
    paths = [write_result(tmp_path / "fid.json", result(fid=i)) for i in range(3)]
    assert [path.name for path in paths] == [
        "fid_20240506_0708.json",
        "fid_20240506_0708_2.json",
        "fid_20240506_0708_3.json",
    ]
    assert all(f'"fid": {i}' in path.read_text() for i, path in enumerate(paths))


def test_places_that_cannot_be_written_are_named_with_their_option(tmp_path):
    check_writable(tmp_path / "new/folder/fid.json", "--output-json")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file/fid.json"):
        with pytest.raises(OSError, match=f"^--output-json {path}: cannot be written"):
            check_writable(Path(path), "--output-json")


def test_a_summary_has_the_scores_that_were_computed():
    assert "\n" not in summary_text(result())
    kid = {"kid": 0.25, "kid_std": 0.5, "kid_subset_size": 10}
    fid, kid_line, precision = summary_text(result(precision=0.75, **kid)).splitlines()
    assert fid.startswith("FID 1.5000  3000 real, 3000 generated")
    assert kid_line == "KID 0.250000 +- 0.5  subsets of 10" and precision == "precision 0.7500"


def test_few_images_are_warned_of():
    scarce = {"fid_interval": [1.0, 2.0], "fid_infinity": 0.5, "floor_fid": None}
    printed = summary_text(result(num_generated=9, scarce=True, **scarce))
    assert "images (9): this FID is biased upwards" in printed and "1.0000 .. 2.0000" in printed
    assert "0.5000 (extrapolated)" in printed and "real against real" not in printed
