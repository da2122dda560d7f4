"""Files of the Hugging Face hub, in the place where our programs look for them.

`huggingface_hub` does the work, so its environment variables hold: `HF_ENDPOINT` names a mirror,
`HF_HUB_OFFLINE=1` forbids the network, `HF_TOKEN` opens what asks for consent.
"""

import re
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError

from core.files import DISK_ERRORS, sha256_of

# Its own errors, and those of the HTTP library beneath it, whichever that is.
HUB_ERRORS = HfHubHTTPError.__bases__
SHA256 = re.compile(r"[0-9a-f]{64}")  # the tag of a large file; small ones have a shorter one


class HubFile(NamedTuple):
    """A file in a repository of the hub.

    Attributes:
        repository: `owner/name`.
        name: of the file, in the repository and on disk.
        licence: as the publisher names it.
    """

    repository: str
    name: str
    licence: str = ""

    @property
    def url(self) -> str:
        """The file's address, on the mirror where one is set."""
        return hf_hub_url(self.repository, self.name)


def download_hub_file(file: HubFile, folder: Path, endpoint: str | None = None) -> None:
    """Fetch a file into `folder`; what an earlier call fetched is kept.

    The content is compared with the hub's checksum where the hub has one.

    Args:
        endpoint: address of the hub; that of `HF_ENDPOINT` when None.
    Raises:
        ConnectionError: there is no network, or the hub refuses.
        ValueError: another checksum; the file is deleted.
        OSError: the file cannot be written.
    """
    try:
        # First: afterwards nothing would be left to compare with if the network broke.
        url = hf_hub_url(file.repository, file.name, endpoint=endpoint)
        expected = (get_hf_file_metadata(url, endpoint=endpoint).etag or "").strip('"')
        hf_hub_download(file.repository, file.name, local_dir=folder, endpoint=endpoint)
    except HUB_ERRORS as error:
        if getattr(error, "errno", None) in DISK_ERRORS or isinstance(error, PermissionError):
            raise
        raise ConnectionError(" ".join(str(error).split())) from error
    path = folder / file.name
    if SHA256.fullmatch(expected) and (found := sha256_of(path)) != expected:
        path.unlink()
        raise ValueError(f"{file.url}: the download's SHA-256 is {found}, expected {expected}")
