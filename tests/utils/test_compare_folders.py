"""One table for several folders, from images to CSV, Markdown and bars."""

import csv
import json
import shutil

import pytest
from PIL import Image

from utils import compare_folders


@pytest.fixture
def options(image_folders, cem_weights):
    """Options of a run that tabulates `generated` and a copy of `real`."""
    shutil.copytree(image_folders / "real", image_folders / "copy")
    folders = (image_folders / "generated", image_folders / "copy")
    run = "--image-size 32 --num-workers 0 --no-cache --device cpu --bootstrap 10".split()
    files = "--weights-path", cem_weights, "--output", image_folders / "table"
    words = image_folders / "real", *files, "--generated", *folders, *run
    return [str(word) for word in words]


def read_table(folder):
    with open(folder / "table.csv", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_table_holds_every_folder(image_folders, options):
    compare_folders.main(options)
    rows = read_table(image_folders / "table")
    assert list(rows) == ["generated", "copy"]
    assert abs(float(rows["copy"]["FID"])) < 1e-6 < float(rows["generated"]["FID"])
    assert (rows["generated"]["n"], rows["copy"]["n"]) == ("5", "6")
    for row in rows.values():
        assert float(row["FID low"]) < float(row["FID"]) < float(row["FID high"])
        assert float(row["KID low"]) < float(row["KID"]) < float(row["KID high"])
    text = (image_folders / "table/table.md").read_text()
    assert (
        "| generated | 5 |" in text
        and "Numbers of images differ: compare KID" in text
        and "32 px" in text
    )
    assert Image.open(image_folders / "table/table.png").width > 300
    assert json.loads((image_folders / "table/generated.json").read_text())["num_generated"] == 5


def test_earlier_results_join_a_table_made_the_same_way(image_folders, options, error_line, capsys):
    compare_folders.main(options)
    earlier = (image_folders / "table/generated.json").rename(image_folders / "earlier.json")
    compare_folders.main([*options, "--names", "one", "two", "--results", str(earlier)])
    assert list(read_table(image_folders / "table")) == ["one", "two", "earlier"]
    capsys.readouterr()
    line = error_line(compare_folders.main, *options, "--results", earlier, "--image-size", 48)
    assert "do not belong in one table: image_size is 32 and 48" in line
    (image_folders / "old").mkdir()
    shutil.copy(earlier, image_folders / "old")
    both = ("--results", earlier, image_folders / "old" / "earlier.json")
    words = (image_folders / "real", "--output", image_folders / "rows", *both)
    compare_folders.main([str(word) for word in words])
    assert list(read_table(image_folders / "rows")) == ["earlier", "old/earlier"]
    shutil.copy(earlier, image_folders / "copy.json")
    line = error_line(compare_folders.main, *options, "--results", image_folders / "copy.json")
    assert "copy.json: a folder's row is called copy too" in line
    earlier.write_text("{}")
    assert "earlier.json: not a result of these scripts" in error_line(
        compare_folders.main, *options, "--results", earlier
    )


def test_bad_options(image_folders, options, error_line):
    assert "--names: found 1 names for 2 folders" in error_line(
        compare_folders.main, *options, "--names", "x"
    )
    assert "--names: found a name twice" in error_line(
        compare_folders.main, *options, "--names", "x", "x"
    )
    assert "nothing to compare" in error_line(compare_folders.main, image_folders / "real")
