"""Lines of the manifest, added by several processes or written whole."""

import json
import threading
from pathlib import Path

import pytest

from generation.folder.manifest import (
    append_to_manifest,
    leading_file,
    read_manifest,
    write_manifest,
)


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


def test_a_folder_without_images_has_no_manifest(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder of generate.py, or holds no image yet"):
        read_manifest(tmp_path)


def test_the_first_branch_leads():
    assert leading_file({"sources": {"mask": "m/a.png", "edge": "e/b.png"}}) == Path("m/a.png")
