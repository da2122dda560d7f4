"""Files of the hub: from a mirror, checked, and a clear end without a network."""

import os
import subprocess
import sys

import pytest

from core.fetching.hub import HubFile, download_hub_file
from tests.served import serve

FILE = HubFile("owner/model", "w.ckpt")
CONTENT = bytes(range(256)) * 100


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve({"/owner/model/resolve/main/w.ckpt": CONTENT}) as server:
        yield server


def test_the_file_lies_in_the_folder_itself(hub, tmp_path):
    download_hub_file(FILE, tmp_path / "models", endpoint=hub.url)
    assert (tmp_path / "models" / "w.ckpt").read_bytes() == CONTENT


def test_a_killed_download_goes_on_and_the_token_stays_with_the_hub(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("core.fetching.hub.build_hf_headers", lambda: {"authorization": "Bearer x"})
    (tmp_path / "w.ckpt.part").write_bytes(CONTENT[:1000])
    hub.moved = {"/owner/model/resolve/main/w.ckpt": "/elsewhere"}
    hub.files["/elsewhere"] = CONTENT
    download_hub_file(FILE, tmp_path, endpoint=hub.url)
    assert (tmp_path / "w.ckpt").read_bytes() == CONTENT and os.listdir(tmp_path) == ["w.ckpt"]
    first, second = hub.headers[-2:]
    assert first["Range"] == second["Range"] == "bytes=1000-"
    assert first["Authorization"] == "Bearer x" and "Authorization" not in second


def test_another_content_than_the_hubs_is_not_kept(hub, tmp_path):
    hub.tag = "0" * 64
    with pytest.raises(ValueError, match="SHA-256 is .*, expected 0000"):
        download_hub_file(FILE, tmp_path, endpoint=hub.url)
    assert not (tmp_path / "w.ckpt").exists()


def test_without_a_network_or_a_file_the_reason_is_given(hub, tmp_path):
    with pytest.raises(ConnectionError, match="404"):
        download_hub_file(HubFile("owner/none", "w.ckpt"), tmp_path, endpoint=hub.url)
    with pytest.raises(ConnectionError, match="refused"):
        download_hub_file(FILE, tmp_path, endpoint="http://127.0.0.1:9")
    assert not (tmp_path / "w.ckpt").exists()


def test_variables_of_the_hub_are_honoured(hub, tmp_path):
    """They are read when the package is imported, so this takes a process of its own."""
    code = (
        "import sys, pathlib; from core.fetching.hub import HubFile, download_hub_file as d;"
        "d(HubFile('owner/model', 'w.ckpt'), pathlib.Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    mirror = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "1"}
    offline = subprocess.run(command, env=mirror, capture_output=True, text=True)
    assert "offline mode is enabled" in offline.stderr and not hub.asked
    subprocess.run(command, env={**mirror, "HF_HUB_OFFLINE": "0"}, check=True, capture_output=True)
    assert (tmp_path / "w.ckpt").read_bytes() == CONTENT
