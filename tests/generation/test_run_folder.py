import json
import threading

import pytest

from generation import run_folder
from generation.run_folder import (
    append_to_manifest,
    finished_images,
    make_folder,
    write_manifest,
)


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


def test_manifest_of_many_writers_has_every_line(tmp_path):
    (tmp_path / "args.json").write_text("{}")
    threads = [
        threading.Thread(
            target=lambda i=i: [append_to_manifest(tmp_path, {"k": i * 50 + j}) for j in range(50)]
        )
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [
        json.loads(line)["k"] for line in (tmp_path / "manifest.jsonl").read_text().splitlines()
    ]
    assert sorted(lines) == list(range(200))
    write_manifest(tmp_path, ({"k": k} for k in range(3)))
    assert (tmp_path / "manifest.jsonl").read_text() == '{"k": 0}\n{"k": 1}\n{"k": 2}\n'
