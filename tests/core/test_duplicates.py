"""Equal content is found whatever files are called, and nothing else is."""

from core.duplicates import BEGINNING, equal_files


def test_equal_content_is_found(tmp_path):
    contents = {
        "a": b"x" * 10,
        "b": b"x" * 11,
        "c": b"y" * 10,
        "long": b"x" * BEGINNING + b"1",
        "long_too": b"x" * BEGINNING + b"2",  # differs behind what is compared first
        "a_copy": b"x" * 10,
    }
    path = {name: tmp_path / name for name in contents}
    for name, content in contents.items():
        path[name].write_bytes(content)
    left = [path[name] for name in ("a", "b", "c", "long")]
    right = [path[name] for name in ("long_too", "a_copy", "b")]
    assert equal_files(left, right) == [(path["a"], path["a_copy"]), (path["b"], path["b"])]
    assert equal_files([], right) == equal_files(left, []) == []
