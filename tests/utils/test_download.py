"""The names that can be downloaded, and what is printed where there is no network."""

from pathlib import Path

import pytest

from core.fetching.downloads import WeightsFile
from core.fetching.items import Item
from utils import download

LICENCES = Path(__file__).parents[2] / "docs" / "licences.md"


def test_each_item_has_an_address_that_the_documents_name():
    text = LICENCES.read_text()
    for item in download.ITEMS.values():
        for file in item.files:
            assert file.url.startswith("https://") and file.name in text
        assert item.files or item.page in text


def test_the_targets_are_those_of_the_readme(capsys):
    download.main(["--list"])
    printed = capsys.readouterr().out
    for target in ("models/v1-5-pruned.ckpt", "fid/weights/cem500k_mocov2", "annotator/ckpts/dpt_"):
        assert target in printed
    assert "licence: CreativeML OpenRAIL-M" in printed and "licence: not stated" in printed


def test_without_a_network_addresses_and_targets_are_printed(
    tmp_path, monkeypatch, capsys, error_line
):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    file = WeightsFile("w.pth", "http://127.0.0.1:9/w.pth")
    monkeypatch.setitem(download.ITEMS, "sd15", Item("weights", [file], tmp_path))
    line = error_line(download.main, "sd15")
    assert "w.pth: could not be downloaded" in line and f"put it at {tmp_path}/w.pth" in line
    download.main(["sd15", "--dry_run"])
    assert capsys.readouterr().out.endswith("dry run: nothing was written\n")
    assert not list(tmp_path.glob("w.pth"))
    (tmp_path / "w.pth").touch()
    download.main(["sd15"])
    printed = capsys.readouterr().out
    assert f"-> {tmp_path}/w.pth" in printed and f"there already: {tmp_path}/w.pth" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "no name is given, expected some of sd15"),
        ("sd51", "sd51 is not known, expected some of sd15"),
        ("sd15 em-data", "em-data: no program can fetch it. Download it from https://data.mend"),
    ],
)
def test_names_that_cannot_be_downloaded(words, message, error_line):
    assert message in error_line(download.main, *words.split())
