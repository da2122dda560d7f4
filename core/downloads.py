"""Published weights on this machine: looked for where they may lie, downloaded where they do not."""

import fcntl
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

TIMEOUT = 30  # seconds without an answer
WAITS = (1, 5, 20)  # seconds before each further attempt
BLOCK = 2**20  # bytes
NETWORK_ERRORS = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


class WeightsFile(NamedTuple):
    """A file that others published: its name on disk, where it is from, its SHA-256 (or how that begins) and licence where they are known."""

    name: str
    url: str | None = None
    sha256: str | None = None
    licence: str = ""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_weights(
    file: WeightsFile,
    given: Path | None = None,
    folders: Sequence[Path] = (),
    download_dir: Path | None = None,
    option: str = "--weights-path",
) -> Path:
    """Path of `file`: what the user gave, else from `folders`, else from `download_dir`, else downloaded.

    Args:
        given: the user's own file of any name; nothing else is looked at then.
        folders: places to look in, in this order.
        download_dir: looked in last, and where a download goes; the first of `folders` when not given.
        option: the script's name for `given`, for messages.
    Raises:
        FileNotFoundError: no such file, and it cannot be downloaded; the message says which file to put where.
        ValueError: the download's checksum is not the known one.
        OSError: the download cannot be written.
    """
    if given is not None:
        if not given.is_file():
            raise FileNotFoundError(f"{option} {given}: no such file")
        return given
    places = [*folders, *([download_dir] if download_dir else [])]
    for folder in places:
        if (folder / file.name).is_file():
            return folder / file.name
    looked = f"{file.name}: not in {' or '.join(map(str, places)) or 'any folder'}"
    target = download_dir or next(iter(folders), None)
    if file.url is None or target is None:
        raise FileNotFoundError(f"{looked}. Put it there or name it with {option}.")
    print(
        f"downloading {file.url} to {target}"
        + (f" (licence: {file.licence})" if file.licence else ""),
        flush=True,
    )
    try:
        download(file.url, target / file.name, file.sha256)
    except NETWORK_ERRORS as error:
        raise FileNotFoundError(
            f"{looked}, and {file.url} could not be downloaded ({error}). Download it elsewhere and put it at "
            f"{target / file.name}, or name it with {option}."
        ) from error
    return target / file.name


def download(url: str, path: Path, sha256: str | None = None) -> None:
    """Fetch `url` into `path`, with a progress bar; goes on where an earlier attempt, or another run, was cut off.

    What has arrived waits in `<path>.part`, which one process at a time writes.

    Raises:
        URLError, HTTPException, ConnectionError, TimeoutError: the server cannot be reached or gives up.
        ValueError: the checksum does not begin with `sha256`; nothing is kept then.
        OSError: `path` cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with open(part, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if path.is_file():  # another process fetched it while this one waited
            return
        for wait in (*WAITS, None):
            try:
                _fetch(url, file)
                break
            except NETWORK_ERRORS as error:
                if wait is None or not _may_pass(error):
                    raise
                time.sleep(wait)
        file.flush()
        found = sha256_of(part) if sha256 else ""
        if sha256 and not found.startswith(sha256):
            part.unlink()
            raise ValueError(
                f"{url}: the download's SHA-256 is {found}, expected {sha256}. Try again; if it repeats, the file was changed."
            )
        os.replace(part, path)


def _may_pass(error: Exception) -> bool:
    """Whether another attempt makes sense: a connection that broke or a busy server, not a missing network or page."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= 500 or error.code == 429
    return not isinstance(error, urllib.error.URLError)


def _fetch(url, file):
    """Append to `file` what it lacks of `url`; starts over where the server cannot send a part."""
    file.seek(0, os.SEEK_END)
    headers = {"User-Agent": "natural2nanoscale"} | (
        {"Range": f"bytes={file.tell()}-"} if file.tell() else {}
    )
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT
        )
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            if error.headers.get("Content-Range") == f"bytes */{file.tell()}":
                return  # everything had arrived
            file.truncate(0)
            raise ConnectionError(
                "what had been downloaded is longer than the file, starting over"
            ) from error
        raise
    with response:
        if response.status != http.client.PARTIAL_CONTENT:
            file.truncate(0)
        start = file.seek(0, os.SEEK_END)
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        with tqdm(
            total=total,
            initial=start,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            desc=Path(file.name).stem,
        ) as bar:
            while block := response.read(BLOCK):
                file.write(block)
                bar.update(len(block))
        file.flush()
        if total is not None and file.tell() != total:
            raise ConnectionError(f"the connection broke after {file.tell()} of {total} bytes")
