"""Making the folder of a run, and what counts as an image in it."""

import pytest

from generation import run_folder
from generation.run_folder import finished_images, images_with_companions, make_folder


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


def test_companions_are_the_mask_and_every_condition(tmp_path):
    files = ["masks/image_1", "masks/image_2", "conditions/a/a_2", "conditions/a/a_3"]
    for name in [*files, "conditions/b/b_2", "conditions/b/b_3"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert images_with_companions(tmp_path, has_masks=True) == {"image_2"}
    assert images_with_companions(tmp_path, has_masks=False) == {"image_2", "image_3"}
