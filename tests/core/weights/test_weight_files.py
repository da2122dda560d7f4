"""Paths of a conversion of weights."""

from pathlib import Path

import pytest

from core.weights.weight_files import check_conversion


def test_a_conversion_checks_its_paths_before_it_reads(tmp_path):
    """`/proc` is a folder where nobody can make a file, whatever its rights say."""
    source, new = tmp_path / "a.ckpt", tmp_path / "b.ckpt"
    source.touch()
    check_conversion([source], new)
    assert not new.exists()
    for path, error, message in (
        (source, FileExistsError, "a.ckpt exists"),
        (tmp_path / "b.bin", ValueError, "ends in .ckpt"),
        (tmp_path / "none" / "b.ckpt", FileNotFoundError, "none: no such folder"),
        (Path("/proc/b.ckpt"), OSError, "^/proc/b.ckpt: cannot be written"),
    ):
        with pytest.raises(error, match=message):
            check_conversion([source], path)
