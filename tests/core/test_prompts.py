"""The built-in prompts, and prompts from a file."""

import os

import pytest

from core.prompts import PROMPTS, pick_prompt, read_prompts


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
    path.write_bytes(b"a\r\nb\n\r\n  \n# c\r\n\xef\xbb\xbfd")
    assert read_prompts(path) == ("a", "b", "d")
    path.write_text("# nothing\n\n")
    with pytest.raises(ValueError, match="p.txt: holds no prompt"):
        read_prompts(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="p.txt: not UTF-8"):
        read_prompts(path)
    with pytest.raises(FileNotFoundError):
        read_prompts(tmp_path / "none.txt")


def test_a_pipe_is_not_waited_for_and_a_device_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    for path in (tmp_path / "pipe.txt", "/dev/zero", tmp_path):
        with pytest.raises(ValueError, match=f"{path}: expected a file"):
            read_prompts(path)


@pytest.mark.parametrize("sign", "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e")
def test_only_line_feeds_split_prompts(tmp_path, sign):
    path = tmp_path / "p.txt"
    path.write_text(f"a cell{sign}with nucleus\nb\n", encoding="utf-8")
    assert read_prompts(path) == (f"a cell{sign}with nucleus", "b")


def test_prompts_of_python_code_are_read_and_nothing_is_run(tmp_path):
    path = tmp_path / "dataset.py"
    path.write_text(
        "\ufeffimport os\nos.mkdir('made')\nMODES = ['train', 'val']\n"
        "class MyDataset:\n    prompts = ['a cell',\n        'a nucleus \\u00e9', 'it' 's']\n"
    )
    assert read_prompts(path) == ("a cell", "a nucleus \u00e9", "its")
    path.write_text("A = ['a', 'b']\nB = ('c', 'd')\n")
    with pytest.raises(ValueError, match="dataset.py: holds several lists of 2 texts"):
        read_prompts(path)
    path.write_text("A = [1, 'b']\n")
    with pytest.raises(ValueError, match="dataset.py: holds no list of texts"):
        read_prompts(path)
    path.write_text("A = [' ', '']\n")
    with pytest.raises(ValueError, match="dataset.py: holds no list of texts"):
        read_prompts(path)
    path.write_text("A = [\n")
    with pytest.raises(ValueError, match="dataset.py: not Python source"):
        read_prompts(path)


def test_prompts_by_place_and_the_empty_one_by_its_share():
    letters = "abcd"
    picked = [pick_prompt(letters, 0.25, place, 0.25) for place in (0.0, 0.24, 0.25, 0.999)]
    assert picked == ["a", "a", "b", "d"]
    assert pick_prompt(letters, 0.25, 0.0, 0.249) == ""
    assert pick_prompt(letters, 0.0, 0.0, 0.0) == "a"
