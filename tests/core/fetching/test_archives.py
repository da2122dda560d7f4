"""Archives are unpacked whole, and none of their entries leads elsewhere."""

import stat
import struct
import zipfile

import pytest

from core.fetching import archives
from core.fetching.archives import check_zip, unpack


def write(path, *entries):
    """A zip archive of (name or ZipInfo, content); returns its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def test_files_come_out_with_their_folders(tmp_path):
    path = write(tmp_path / "a.zip", ("x/y/w.ckpt", b"weights"), ("x/empty/", b""), ("r.md", b"r"))
    files = unpack(path, tmp_path / "a")
    assert [file.as_posix() for file in files] == ["x/y/w.ckpt", "r.md"]
    assert (tmp_path / "a/x/y/w.ckpt").read_bytes() == b"weights"
    with pytest.raises(OSError, match="a"):
        unpack(path, tmp_path / "a")  # nothing is replaced


def link(name):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("entries", "flaw"),
    [
        ([("../evil", b"x")], "leads out of the folder"),
        ([("a/../../evil", b"x")], "leads out of the folder"),
        ([("/etc/evil", b"x")], "leads out of the folder"),
        ([("C:/evil", b"x")], "leads out of the folder"),
        ([("..\\evil", b"x")], "leads out of the folder"),
        ([(link("l"), b"/etc/passwd")], "is a link or a device"),
        ([("a", b"x"), ("a", b"y")], "comes twice"),
        ([("bomb", bytes(10**6))], "would grow to 1,000,001 bytes"),
    ],
)
def test_what_is_refused_leaves_nothing(tmp_path, entries, flaw):
    path = write(tmp_path / "a.zip", ("good", b"x"), *entries)
    with pytest.raises(ValueError, match=f"a.zip: refused, .*{flaw}"):
        unpack(path, tmp_path / "a")
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]


def test_encrypted_and_too_many_entries(tmp_path, monkeypatch):
    path = write(tmp_path / "a.zip", ("a", b"x"), ("b", b"x"))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flags of the first entry in the index
    (tmp_path / "e.zip").write_bytes(data)
    with pytest.raises(ValueError, match="'a' is encrypted"):
        check_zip(tmp_path / "e.zip")
    monkeypatch.setattr(archives, "MAX_FILES", 1)
    with pytest.raises(ValueError, match="refused, 2 entries"):
        check_zip(path)


def test_damage_is_found(tmp_path):
    path = write(tmp_path / "a.zip", ("w", bytes(range(256)) * 4))
    data = bytearray(path.read_bytes())
    data[60] ^= 255
    path.write_bytes(data)
    with pytest.raises(ValueError, match="a.zip: w is damaged"):
        unpack(path, tmp_path / "a")
    (tmp_path / "b.zip").write_bytes(data[:-30])
    with pytest.raises(ValueError, match="b.zip: is no zip archive"):
        check_zip(tmp_path / "b.zip")
    assert not (tmp_path / "a").exists()


def test_a_lie_about_the_size_is_not_believed(tmp_path):
    """The index states 10 bytes, the data would give a million."""
    path = write(tmp_path / "a.zip", ("w", bytes(10**6)))
    data = bytearray(path.read_bytes())
    data[(i := data.index(b"PK\x01\x02") + 24) : i + 4] = struct.pack("<I", 10)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="a.zip: w is damaged"):
        unpack(path, tmp_path / "a")
    assert not (tmp_path / "a").exists()
