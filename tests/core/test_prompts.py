"""The built-in prompts, and prompts from a file."""

import pytest

from core.prompts import PROMPTS, read_prompts


def test_thirty_seven_prompts():
    assert len(PROMPTS) == len(set(PROMPTS)) == 37
    for prompt in PROMPTS:
        assert prompt == prompt.strip()
        assert len(prompt) > 20
    assert read_prompts() == PROMPTS


def test_prompts_file(tmp_path):
    path = tmp_path / "p.txt"
    path.write_text("\ufeff# cells\n\n  a cell \nCafé, a nucleus # 2\n   # no\n", encoding="utf-8")
    assert read_prompts(path) == ("a cell", "Café, a nucleus # 2")
    path.write_text("# nothing\n\n")
    with pytest.raises(ValueError, match="p.txt: holds no prompt"):
        read_prompts(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="p.txt: not UTF-8"):
        read_prompts(path)
    with pytest.raises(FileNotFoundError):
        read_prompts(tmp_path / "none.txt")
