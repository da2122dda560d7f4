"""Files that are written whole or not at all."""

import json
from pathlib import Path

import pytest

from core.files import write_json


def test_json_is_indented_and_ends_with_a_newline(tmp_path):
    write_json(tmp_path / "a.json", {"number": 1, "path": Path("x/y")})
    assert (tmp_path / "a.json").read_text() == '{\n  "number": 1,\n  "path": "x/y"\n}\n'


def test_content_that_json_cannot_hold_leaves_the_earlier_file(tmp_path):
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {(1, 2): "a pair cannot be a key"})
    assert json.loads((tmp_path / "a.json").read_text()) == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
