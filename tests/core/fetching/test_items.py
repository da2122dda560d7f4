"""Published items: downloaded, resumed, unpacked, and files put where programs look for them."""

import io
import zipfile

import pytest
import torch

from core.fetching import downloads
from core.fetching.downloads import WeightsFile
from core.fetching.items import Item, fetch
from tests.served import serve


def archive(**files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, value in files.items():
            file.writestr(name, value)
    return content.getvalue()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(downloads, "WAITS", ())
    with serve({}) as server:
        yield server


def published(server, folder, name, **item):
    file = WeightsFile(name, f"{server.url}/{name}", licence="MIT")
    return Item("weights", [file], folder, **item), file


def test_an_archive_becomes_a_folder_and_its_weights_go_where_programs_look(server, tmp_path):
    twice = {"x/ini.ckpt": b"1", "y/ini.ckpt": b"2"}
    server.files["/W.zip"] = archive(**{"x/best.ckpt": b"best", "r.txt": b"r", **twice})
    item, file = published(server, tmp_path, "W.zip", lifted=("best.ckpt", "ini.ckpt"))
    names = {path.relative_to(tmp_path).as_posix() for path in fetch(item, file)}
    # Which of the two files is meant nobody knows
    assert names == {"best.ckpt", "W/r.txt", "W/x/ini.ckpt", "W/y/ini.ckpt"}
    assert (tmp_path / "best.ckpt").read_bytes() == b"best"
    assert not (tmp_path / "W.zip").exists()
    (tmp_path / "best.ckpt").write_bytes(b"mine")
    item, file = published(server, tmp_path, "V.zip", lifted=("best.ckpt",))
    server.files["/V.zip"] = server.files["/W.zip"]
    assert tmp_path / "V/x/best.ckpt" in fetch(item, file)
    assert (tmp_path / "best.ckpt").read_bytes() == b"mine"


def test_an_archive_that_breaks_off_is_resumed(server, tmp_path):
    server.files["/W.zip"], server.cut = archive(w=bytes(range(256)) * 50), 1
    item, file = published(server, tmp_path, "W.zip")
    with pytest.raises(ConnectionError, match="Download it elsewhere and unpack it to .*/W."):
        fetch(item, file)
    assert (tmp_path / "W.zip.part").stat().st_size > 1000 and not (tmp_path / "W").exists()
    assert fetch(item, file) == [tmp_path / "W" / "w"]


def test_a_checkpoint_and_what_is_neither(server, tmp_path):
    content = io.BytesIO()
    torch.save({"w": torch.zeros(3)}, content)
    server.files |= {"/w.pth": content.getvalue(), "/W.zip": content.getvalue()[:99], "/v.pth": b""}
    item, file = published(server, tmp_path, "w.pth")
    assert fetch(item, file) == [tmp_path / "w.pth"]
    assert item.describe().splitlines()[1:] == [
        f"  {server.url}/w.pth",
        f"  -> {tmp_path}/w.pth",
        "  licence: MIT",
    ]
    for name in ("W.zip", "v.pth"):
        with pytest.raises(ValueError, match="the download is no"):
            fetch(*published(server, tmp_path, name))
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"]
