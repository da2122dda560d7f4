"""Where the folder of a run can be made, and what counts as an image in it."""

import pytest

from generation.folder.run_folder import check_run_folder, finished_images, images_with_companions


def test_where_a_run_can_be_made(tmp_path):
    check_run_folder(tmp_path / "base" / "run")
    assert not (tmp_path / "base").exists()
    (tmp_path / "run").mkdir()
    check_run_folder(tmp_path / "run")
    (tmp_path / "run" / "images").mkdir()
    with pytest.raises(FileExistsError, match="holds files but no args.json, so it is no run"):
        check_run_folder(tmp_path / "run")
    (tmp_path / "run" / "args.json").write_text("{}")
    check_run_folder(tmp_path / "run")
    with pytest.raises(OSError, match="nothing can be written to .*args.json"):
        check_run_folder(tmp_path / "run" / "args.json" / "run")


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
