import pytest

from generation import run_folder
from generation.run_folder import finished_images, make_folder


def test_only_one_process_makes_the_folder(tmp_path, monkeypatch):
    assert make_folder(tmp_path / "base" / "run")
    monkeypatch.setattr(run_folder, "PATIENCE", 0.3)
    with pytest.raises(FileNotFoundError, match="exists without args.json"):  # its maker died
        make_folder(tmp_path / "base" / "run")
    (tmp_path / "base" / "run" / "args.json").write_text("{}")
    assert not make_folder(tmp_path / "base" / "run")


def test_half_written_pictures_do_not_count(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").touch()
    (tmp_path / "images" / ".b.123.tmp.png").touch()
    assert finished_images(tmp_path) == {"a.png"}
