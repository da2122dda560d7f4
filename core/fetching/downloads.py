"""Published weights: found on this machine, or downloaded."""

import fcntl
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tqdm import tqdm

from core.files import BLOCK, sha256_of
from core.notices import report

TIMEOUT = 30  # seconds without an answer; downloads that go on may take hours
WAITS = (1, 5, 20)  # seconds before each further attempt
MAX_BYTES = 20 * 2**30  # no published file has a third of that
MIN_SPEED = 2**10  # bytes a second; slower is a server that keeps a connection open
NETWORK_ERRORS = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


class WeightsFile(NamedTuple):
    """A file that others published.

    Attributes:
        name: on disk.
        url: where it is downloaded from; None where users must fetch it themselves.
        sha256: checksum in hexadecimal, or its beginning; None where it is not known.
        licence: as the publisher names it.
    """

    name: str
    url: str | None = None
    sha256: str | None = None
    licence: str = ""


def find_weights(
    file: WeightsFile,
    option: str,
    given: Path | None = None,
    folders: Sequence[Path] = (),
    download_dir: Path | None = None,
) -> Path:
    """Path of a weights file: the one the user gave, else one found, else a download.

    Args:
        option: the script's name for `given`, for messages.
        given: the user's own file, of any name. Where there is one, no other is searched for.
        folders: folders to search, in this order.
        download_dir: searched last; a download is written there. The first of `folders` when None.
    Raises:
        FileNotFoundError: no such file, and it cannot be downloaded. The message says which file to
            put where.
        ValueError: the download is not the file that is expected; see `download`.
        OSError: the download cannot be written.
    """
    if given is not None:
        if not given.is_file():
            raise FileNotFoundError(f"{option} {given}: no such file")
        return given
    places = [*folders, *([download_dir] if download_dir else [])]
    paths = [folder / file.name for folder in places]
    # The checksum of a file that is there is not computed: that takes seconds for each GB.
    if found := next(filter(Path.is_file, paths), None):
        return found
    looked = f"{file.name}: not in {' or '.join(map(str, places)) or 'any folder'}"
    target = download_dir or next(iter(folders), None)
    if file.url is None or target is None:
        raise FileNotFoundError(f"{looked}. Put it there or name it with {option}.")
    licence = f" (licence: {file.licence})" if file.licence else ""
    report(f"downloading {file.url} to {target}{licence}")
    try:
        download(file.url, target / file.name, file.sha256)
    except NETWORK_ERRORS as error:
        raise FileNotFoundError(
            f"{looked}, and {file.url} could not be downloaded ({error}). "
            f"Download it elsewhere and put it at {target / file.name}, or name it with {option}."
        ) from error
    return target / file.name


def check_checkpoint(path: Path) -> None:
    """Raise ValueError where a file is no checkpoint."""
    from core.weights.torch_files import load_pickle  # here: it loads torch, which takes seconds

    load_pickle(path, "cpu")


def download(
    url: str,
    path: Path,
    sha256: str | None = None,
    check: Callable[[Path], None] = check_checkpoint,
    token: str | None = None,
) -> None:
    """Fetch `url` into `path`, with a progress bar.

    Bytes are collected in `<path>.part`. A later call, or another process, goes on where this one
    was cut off. One process at a time writes.

    Args:
        sha256: checksum in hexadecimal, or its beginning.
        check: function that raises ValueError for a file of the wrong kind; called where there is
            no checksum.
        token: value of the header Authorization, for the host of `url` alone.
    Raises:
        URLError, HTTPException, ConnectionError, TimeoutError: the server cannot be reached, or the
            connection breaks again and again.
        ValueError: the checksum does not begin with `sha256`; without one, `check` refuses the
            file; or it is a web page, or larger than `MAX_BYTES`. None of it is kept.
        OSError: `path` cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with _locked(part) as file:
        if path.is_file():  # another process fetched it while this one waited
            part.unlink()
            return
        for wait in (*WAITS, None):  # None: no attempt follows
            try:
                _fetch(url, file, token)
                break
            except NETWORK_ERRORS as error:
                if wait is None or not _is_temporary(error):
                    raise
                time.sleep(wait)
            except ValueError:
                # A log-in page in between costs nothing of what has arrived before.
                if not file.seek(0, os.SEEK_END):
                    part.unlink()
                raise
        file.flush()
        try:
            _check_content(url, part, sha256, check)
        except ValueError:
            part.unlink()
            raise
        os.replace(part, path)


def _locked(part: Path) -> BinaryIO:
    """A file, open to append to what an earlier call fetched, that no other process writes."""
    while True:
        file = open(part, "ab")
        fcntl.flock(file, fcntl.LOCK_EX)  # released when it is closed, even by a killed process
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), part.stat()):
                return file
        file.close()  # the last holder removed the name, or gave it to the whole file


def _check_content(url: str, path: Path, sha256: str | None, check) -> None:
    """Raise ValueError where a download is not the file that is expected."""
    if sha256 is None:
        try:
            check(path)
        except ValueError as error:
            kind = "checkpoint" if check is check_checkpoint else "file of its kind"
            raise ValueError(f"{url}: the download is no {kind} ({error})") from error
        return
    found = sha256_of(path)
    if not found.startswith(sha256):
        raise ValueError(
            f"{url}: the download's SHA-256 is {found}, expected {sha256}. "
            "Try again; if it repeats, the published file was changed."
        )


class SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but none from an encrypted to an open connection."""

    def redirect_request(self, request, response, code, message, headers, address):
        if request.full_url.startswith("https:") and not address.startswith("https:"):
            raise urllib.error.URLError(f"redirected from https to {address}")
        return super().redirect_request(request, response, code, message, headers, address)


def _request_rest(url, file, token):
    """The server's answer to a request for what `file` lacks of `url`; None where it lacks nothing.

    Raises:
        ConnectionError: `file` is longer than the published one; it is emptied.
        URLError, HTTPException, ConnectionError, TimeoutError: the server cannot be reached.
    """
    file.seek(0, os.SEEK_END)
    headers = {"User-Agent": "natural2nanoscale"}
    if file.tell():
        headers["Range"] = f"bytes={file.tell()}-"
    request = urllib.request.Request(url, headers=headers)
    if token:
        request.add_unredirected_header("Authorization", token)
    try:
        return urllib.request.build_opener(SafeRedirects).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        # The server refuses a range that starts at the end, or behind it, and tells the length.
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        if error.headers.get("Content-Range") == f"bytes */{file.tell()}":
            return None  # everything had arrived
        file.truncate(0)
        raise ConnectionError(
            "the partial download is longer than the file, starting over"
        ) from error


def _is_temporary(error: Exception) -> bool:
    """Tell whether another attempt makes sense: after a broken connection, or for a busy server."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= 500 or error.code == 429  # 429: too many requests
    return not isinstance(error, urllib.error.URLError)  # no network, no such host


def _append(response, file, total, url):
    """Append an answer to `file`, with a progress bar.

    Args:
        total: bytes of the file in the end; None where the server does not tell.
    Raises:
        ValueError: the file grows too large.
        TimeoutError: the bytes come too slowly.
    """
    start = file.tell()
    with tqdm(
        total=total,
        initial=start,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        desc=Path(file.name).stem,
    ) as bar:
        begin = time.monotonic()
        # `read1` returns what is there; `read` would wait for the whole block.
        while block := response.read1(BLOCK):
            file.write(block)
            bar.update(len(block))
            passed, arrived = time.monotonic() - begin, file.tell() - start
            if file.tell() > MAX_BYTES:
                file.truncate(0)
                raise ValueError(f"{url}: more than {MAX_BYTES} bytes")
            if passed > TIMEOUT and arrived < MIN_SPEED * passed:
                raise TimeoutError(f"{arrived} bytes in {passed:.0f} s")


def _fetch(url, file, token):
    """Append to `file` the rest of `url`; start over where the server cannot send a part.

    Raises:
        ValueError: the answer is a web page, or too large.
        URLError, HTTPException, ConnectionError, TimeoutError: as `_request_rest`, or the answer
            breaks off, comes too slowly, or is another part than the one asked for.
    """
    response = _request_rest(url, file, token)
    if response is None:
        return
    with response:
        if response.headers.get_content_type() == "text/html":
            raise ValueError(f"{url}: the server sends a web page, not a file")
        if response.status != http.client.PARTIAL_CONTENT:
            file.truncate(0)  # the server sends the whole file again
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {file.tell()}-"):
            file.truncate(0)
            raise ConnectionError("the server sent another part than the one asked for")
        start = file.seek(0, os.SEEK_END)
        # Of this answer, so of the rest alone; a server may leave it out.
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        if total is not None and total > MAX_BYTES:
            raise ValueError(f"{url}: {total} bytes, expected at most {MAX_BYTES}")
        _append(response, file, total, url)
        file.flush()
        # A closed connection looks like the end of the file.
        if total is not None and file.tell() != total:
            raise ConnectionError(f"the connection broke after {file.tell()} of {total} bytes")
