"""Files that are written whole or not at all."""

import errno
import json
import math
import os
import threading
from pathlib import Path

import pytest

from core.files import (
    ABANDONED,
    check_new_folder,
    refuse_existing,
    remove_leftovers,
    whole_file,
    whole_folder,
    write_json,
)


def test_json_is_indented_and_ends_with_a_newline(tmp_path):
    write_json(tmp_path / "a.json", {"number": 1, "path": Path("x/y")})
    assert (tmp_path / "a.json").read_text() == '{\n  "number": 1,\n  "path": "x/y"\n}\n'


def test_content_that_json_cannot_hold_leaves_the_earlier_file(tmp_path):
    write_json(tmp_path / "a.json", {"a": [math.nan, -math.inf, 0.1]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [None, None, 0.1]}
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {(1, 2): "a pair cannot be a key"})
    assert json.loads((tmp_path / "a.json").read_text()) == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"before")
    with pytest.raises(OSError, match="No space left on device: .*/a.bin'"), whole_file(path):
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")
    assert path.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_missing_parents_are_made_and_a_file_among_them_is_named(tmp_path):
    with whole_file(tmp_path / "new/folder/a") as temporary:
        temporary.touch()
    assert (tmp_path / "new/folder/a").is_file()
    with (
        pytest.raises(NotADirectoryError, match="folder/a/b"),
        whole_file(tmp_path / "new/folder/a/b/c"),
    ):
        pass


def test_errors_of_other_files_stay_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), whole_file(tmp_path / "a"):
        Path("elsewhere").read_text()
    refused = OSError(errno.ECONNRESET, "Connection reset by peer")
    with pytest.raises(OSError, match="reset") as error, whole_folder(tmp_path / "b"):
        raise refused
    assert error.value is refused
    assert not list(tmp_path.iterdir())


def test_files_and_folders_get_the_rights_of_new_ones(tmp_path):
    """Also while other threads write: nothing is changed for the whole process."""
    masks, before = set(), os.umask(0o027)

    def write(i):
        with whole_folder(tmp_path / f"{i}") as folder, whole_file(folder / "a") as temporary:
            temporary.write_text("a")
        masks.update((tmp_path / f"{i}{name}").stat().st_mode & 0o777 for name in ("", "/a"))

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert masks == {0o750, 0o640}


def test_what_killed_processes_left_is_removed(tmp_path):
    kept = [tmp_path / "run" / "a.png", tmp_path / "run" / ".hidden.png"]
    kept[0].parent.mkdir()
    for path in kept:
        path.write_text("kept")
    killed = whole_file(tmp_path / "run/a.png"), whole_folder(tmp_path / "run/set")
    for context in killed:
        context.__enter__()  # and nothing after
    assert len(list((tmp_path / "run").iterdir())) == 4
    remove_leftovers(tmp_path)
    assert sorted((tmp_path / "run").iterdir()) == sorted(kept)


def test_a_folder_in_the_making_is_removed_after_a_day(tmp_path):
    killed = whole_folder(tmp_path / "set"), whole_folder(tmp_path / "set")
    for context in killed:
        context.__enter__()
    old = min(tmp_path.iterdir())
    os.utime(old, times=(old.stat().st_mtime - ABANDONED - 1,) * 2)
    with whole_folder(tmp_path / "set"):
        pass
    assert not old.exists() and len(list(tmp_path.iterdir())) == 2


def test_a_link_to_an_empty_folder_stays_and_the_folder_is_filled(tmp_path):
    """As people link a results folder to a larger disk."""
    link, target = tmp_path / "set", tmp_path / "disk" / "there"
    target.mkdir(parents=True)
    link.symlink_to(target)
    check_new_folder(link)
    with whole_folder(link) as temporary:
        assert temporary.parent == target.parent  # a rename would not reach another disk
        (temporary / "a").touch()
    assert link.is_symlink() and [path.name for path in target.iterdir()] == ["a"]
    with pytest.raises(FileExistsError, match="set: exists and is not an empty folder"):
        check_new_folder(link)


@pytest.mark.parametrize("below", ["", "set"])
def test_a_link_to_nothing_is_refused_before_anything_is_made(tmp_path, below):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    path, refusal = tmp_path / "link" / below, "link: a link to .*gone, which is not there. Remove"
    with pytest.raises(FileNotFoundError, match=refusal):
        check_new_folder(path)
    with pytest.raises(FileNotFoundError, match=refusal):
        refuse_existing(path, overwrite=False)
    with pytest.raises(FileNotFoundError, match=refusal), whole_folder(path):
        pytest.fail("begun")
    assert [file.name for file in tmp_path.iterdir()] == ["link"]


def test_a_folder_that_another_process_removes_is_none_to_remove(tmp_path, monkeypatch):
    gone = tmp_path / ".set.x.tmp"
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: [gone])
    with whole_folder(tmp_path / "set"):
        pass
    assert (tmp_path / "set").is_dir()
