"""Weights: where they are searched, and downloads from a local server that breaks off."""

import hashlib
import io
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from core.fetching import downloads as weights
from core.fetching.downloads import WeightsFile, download, find_weights
from core.files import sha256_of


def make_checkpoint() -> bytes:
    """A file of torch.save."""
    file = io.BytesIO()
    torch.save({"weight": torch.arange(30_000)}, file)
    return file.getvalue()


CONTENT = make_checkpoint()
OTHER = {"page": b"<html>log in</html>"}
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT.

    `server.plan` says how each request is treated, in turn: `drop` breaks the connection half-way,
    `no range` ignores the range asked for, a number is an HTTP status, the
    others are in `do_GET`. Later requests are answered
    in full.
    """

    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        treatment = self.server.plan.pop(0) if self.server.plan else None
        if treatment == 302:
            self.send_response(302)
            self.send_header("Location", self.path)
            self.end_headers()
            return
        if isinstance(treatment, int):
            self.send_error(treatment)
            return
        start = (
            int(asked.removeprefix("bytes=").removesuffix("-"))
            if asked and treatment != "no range"
            else 0
        )
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.end_headers()
            return
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        if start:
            first = {"starts at 0": 0, "starts late": start + 1}.get(treatment, start)
            body = CONTENT[first:]
            if treatment != "no place":
                place = f"bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}"
                self.send_header("Content-Range", place)
        if treatment in OTHER:
            body = OTHER[treatment]
            self.send_header("Content-Type", "text/html; charset=utf-8")
        body = b"" if treatment == "empty" else body
        if treatment != "no length":
            length = 10**12 if treatment == "huge" else len(body)
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if treatment == "drip":
            self.wfile.write(body[:10])
            time.sleep(0.3)
            body = body[10:20]
        cut = treatment in ("drop", "no length")
        self.wfile.write(body[: len(body) // 2] if cut else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(weights, "WAITS", (0, 0, 0))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.plan, server.asked = [], []
    server.url = f"http://127.0.0.1:{server.server_port}/weights.pth"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_given_file_wins_and_must_exist(tmp_path):
    for folder in ("own", "folder"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "w.pth").touch()
    file = WeightsFile("w.pth")
    assert (
        find_weights(file, "--weights-path", tmp_path / "own/w.pth", [tmp_path / "folder"])
        == tmp_path / "own/w.pth"
    )
    with pytest.raises(FileNotFoundError, match="--my-weights .*absent.pth: no such file"):
        find_weights(file, "--my-weights", tmp_path / "absent.pth", [tmp_path / "folder"])


def test_folders_are_looked_through_in_order_before_the_download_folder(tmp_path):
    places = [tmp_path / name for name in ("first", "second", "downloads")]
    for folder in reversed(places):
        folder.mkdir()
        (folder / "w.pth").touch()
        assert (
            find_weights(WeightsFile("w.pth"), "--weights-path", None, places[:2], places[2])
            == folder / "w.pth"
        )


def test_without_an_address_the_message_says_which_file_to_put_where(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=f"w.pth: not in {tmp_path}/a or {tmp_path}/b. "
        "Put it there or name it with --weights-path",
    ):
        find_weights(WeightsFile("w.pth"), "--weights-path", None, [tmp_path / "a"], tmp_path / "b")


def test_download_goes_to_the_download_folder_else_to_the_first_folder(server, tmp_path, capsys):
    file = WeightsFile("w.pth", server.url, SHA256, "CC BY 4.0")
    assert (
        find_weights(file, "--weights-path", None, [tmp_path / "a", tmp_path / "b"])
        == tmp_path / "a/w.pth"
    )
    assert (
        find_weights(file, "--weights-path", None, [tmp_path / "c"], tmp_path / "d")
        == tmp_path / "d/w.pth"
    )
    assert (tmp_path / "a/w.pth").read_bytes() == (tmp_path / "d/w.pth").read_bytes() == CONTENT
    assert "CC BY 4.0" in capsys.readouterr().out


def test_broken_connections_are_resumed(server, tmp_path):
    server.plan = ["drop", "drop", 503]
    download(server.url, tmp_path / "w.pth", SHA256)
    half = len(CONTENT) // 2
    assert server.asked == [
        None,
        f"bytes={half}-",
        f"bytes={half + half // 2}-",
        f"bytes={half + half // 2}-",
    ]
    assert (tmp_path / "w.pth").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"]


def test_a_later_run_goes_on_where_one_was_cut_off(server, tmp_path):
    server.plan = ["drop"] * 4
    with pytest.raises(ConnectionError, match="the connection broke after"):
        download(server.url, tmp_path / "w.pth")
    arrived = (tmp_path / "w.pth.part").stat().st_size
    assert arrived == len(CONTENT) * 15 // 16 and not (tmp_path / "w.pth").exists()
    download(server.url, tmp_path / "w.pth", SHA256)
    assert server.asked[-1] == f"bytes={arrived}-"
    assert sha256_of(tmp_path / "w.pth") == SHA256


@pytest.mark.parametrize("rest", [b"", b"too long"])
def test_a_part_that_is_complete_or_too_long(server, tmp_path, rest):
    (tmp_path / "w.pth.part").write_bytes(CONTENT + rest)
    download(server.url, tmp_path / "w.pth", SHA256)
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_again(server, tmp_path):
    server.plan = ["drop", "no range"]
    download(server.url, tmp_path / "w.pth")
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_a_wrong_checksum_keeps_nothing(server, tmp_path):
    with pytest.raises(ValueError, match=f"SHA-256 is {SHA256}, expected 0000"):
        download(server.url, tmp_path / "w.pth", "0000")
    assert list(tmp_path.iterdir()) == []


def test_the_beginning_of_a_checksum_is_enough(server, tmp_path):
    download(server.url, tmp_path / "w.pth", SHA256[:8])  # what torchvision's file names hold
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_a_missing_page_is_not_asked_for_twice(server, tmp_path):
    server.plan = [404]
    with pytest.raises(
        FileNotFoundError, match="Not Found.*put it at .*/a/w.pth, or name it with --weights-path"
    ):
        find_weights(WeightsFile("w.pth", server.url), "--weights-path", None, [tmp_path / "a"])
    assert len(server.asked) == 1


def test_offline_the_message_says_what_to_do(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(
        FileNotFoundError, match=r"could not be downloaded.*refused.*put it at .*/a/w.pth"
    ):
        find_weights(WeightsFile("w.pth", server.url), "--weights-path", None, [tmp_path / "a"])


def test_a_folder_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(OSError, match=f"{tmp_path}/a"):
        find_weights(WeightsFile("w.pth", server.url), "--weights-path", None, [], tmp_path / "a")


@pytest.mark.parametrize("treatment", ["starts at 0", "starts late", "no place"])
def test_a_part_from_another_place_is_not_joined(server, tmp_path, treatment):
    server.plan = ["drop", treatment]
    download(server.url, tmp_path / "w.pth")
    assert (tmp_path / "w.pth").read_bytes() == CONTENT
    assert server.asked[2] is None  # from the beginning


@pytest.mark.parametrize(
    ("treatment", "message"),
    [
        ("page", "sends a web page"),
        ("empty", "is no checkpoint"),
        ("no length", "is no checkpoint"),  # cut, and only the content tells
        ("huge", "expected at most"),
    ],
)
def test_what_is_no_checkpoint_is_not_kept(server, tmp_path, treatment, message):
    server.plan = [treatment] * 4
    with pytest.raises(ValueError, match=message):
        download(server.url, tmp_path / "w.pth")
    assert list(tmp_path.iterdir()) == []


def test_one_that_waits_goes_on_after_the_file_before_was_refused(server, tmp_path, monkeypatch):
    """The first process removes what it refuses, while the second waits for the lock on it."""
    path, first, refused = tmp_path / "w.pth", threading.Event(), []
    check = weights._check_content

    def refuse_slowly(url, part, *checks):
        if not first.is_set():
            first.set()
            time.sleep(0.3)  # the second is at the lock by now
        check(url, part, *checks)

    monkeypatch.setattr(weights, "_check_content", refuse_slowly)

    def download_first():
        try:
            download(server.url, path, "0000")
        except ValueError as error:
            refused.append(error)

    thread = threading.Thread(target=download_first)
    thread.start()
    first.wait()
    download(server.url, path, SHA256)
    thread.join()
    assert path.read_bytes() == CONTENT and len(refused) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_page_in_between_leaves_what_has_arrived(server, tmp_path):
    server.plan = ["drop", "page"]
    with pytest.raises(ValueError, match="sends a web page"):
        download(server.url, tmp_path / "w.pth")
    assert (tmp_path / "w.pth.part").stat().st_size == len(CONTENT) // 2
    download(server.url, tmp_path / "w.pth")
    assert (tmp_path / "w.pth").read_bytes() == CONTENT


def test_a_body_beyond_the_limit_is_cut_off(server, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 1000"):
        download(server.url, tmp_path / "w.pth")
    server.plan = ["no length"]
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        download(server.url, tmp_path / "w.pth")
    assert list(tmp_path.iterdir()) == []


def test_a_dripping_server_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "WAITS", ())
    monkeypatch.setattr(weights, "TIMEOUT", 0.2)
    monkeypatch.setattr(weights, "MIN_SPEED", 10**6)
    server.plan = ["drip"]
    with pytest.raises(TimeoutError):
        download(server.url, tmp_path / "w.pth")


def test_redirects_without_end_are_reported(server, tmp_path):
    server.plan = [302] * 50
    with pytest.raises(FileNotFoundError, match="redirect"):
        find_weights(WeightsFile("w.pth", server.url), "--weights-path", None, [tmp_path])


@pytest.mark.parametrize(
    ("url", "target", "followed"),
    [
        ("https://a.org/w", "http://a.org/w", False),
        ("https://a.org/w", "ftp://a.org/w", False),
        ("https://a.org/w", "https://b.org/w", True),
        ("http://a.org/w", "https://a.org/w", True),
    ],
)
def test_redirects_keep_the_encryption(url, target, followed):
    def follow():
        request = urllib.request.Request(url)
        return weights.SafeRedirects().redirect_request(request, None, 302, "", {}, target)

    if followed:
        assert follow().full_url == target
    else:
        with pytest.raises(urllib.error.URLError, match="redirected from https to"):
            follow()
