"""Archives of arrays: what is read, and bombs, lies and other files that are refused."""

import io
import os
import zipfile

import numpy as np
import pytest

from core.arrays import read_arrays


def npy(array):
    """An array as a member of an archive."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def write(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_arrays_come_back_under_both_spellings(tmp_path):
    arrays = {"a": np.arange(12.0).reshape(3, 4, order="F"), "b": np.array("note")}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    found = read_arrays(tmp_path / "a.npz", ["a", "b", "c"], 1000)
    assert found.keys() == {"a", "b"} and found["b"].item() == "note"
    assert np.array_equal(found["a"], arrays["a"])
    plain = write(tmp_path / "b.npz", a=npy(arrays["a"]))
    assert np.array_equal(read_arrays(plain, ["a"], 1000)["a"], arrays["a"])


def test_a_bomb_and_a_lying_header_take_no_memory(tmp_path):
    bomb = write(tmp_path / "bomb.npz", a=npy(np.zeros(10**8, np.uint8)))
    assert bomb.stat().st_size < 10**6
    # Four bytes for each number, as the arrays become float32
    with pytest.raises(ValueError, match="400,000,000 bytes, expected at most 1,000"):
        read_arrays(bomb, ["a"], 1000)
    longer = npy(np.zeros((4,))).replace(b"(4,), }     ", b"(400000,), }")
    with pytest.raises(ValueError, match="out of"):
        read_arrays(write(tmp_path / "lie.npz", a=longer), ["a"], 10**9)


@pytest.mark.parametrize("damage", [b"", b"half", b"PK\x03\x04"])
def test_no_archive(tmp_path, damage):
    (tmp_path / "a.npz").write_bytes(damage)
    with pytest.raises(ValueError):
        read_arrays(tmp_path / "a.npz", ["a"], 1000)


def test_no_code_is_run_and_no_pipe_is_waited_for(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([print], dtype=object))
    with pytest.raises(ValueError):
        read_arrays(tmp_path / "a.npz", ["a"], 1000)
    os.mkfifo(tmp_path / "b.npz")
    with pytest.raises(ValueError, match="expected a file"):
        read_arrays(tmp_path / "b.npz", ["a"], 1000)


def test_a_flipped_byte_is_noticed(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.arange(1000))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(ValueError, match="CRC"):
        read_arrays(tmp_path / "a.npz", ["a"], 10**6)
