"""Files of the Hugging Face hub, in the place where our programs look for them.

`huggingface_hub` finds them, so its environment variables hold: `HF_ENDPOINT` names a mirror,
`HF_HUB_OFFLINE=1` forbids the network, `HF_TOKEN` opens what asks for consent. The bytes come
through `download`: the library begins anew what a killed process left, and leaves it there.
"""

import re
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import build_hf_headers

from core.fetching.downloads import download

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
    """Fetch a file into `folder`; goes on where an earlier call was cut off.

    The content is compared with the hub's checksum where the hub has one.

    Args:
        endpoint: address of the hub; that of `HF_ENDPOINT` when None.
    Raises:
        ConnectionError: there is no network, or the hub refuses.
        URLError, HTTPException, TimeoutError, ValueError, OSError: as `download`.
    """
    url = hf_hub_url(file.repository, file.name, endpoint=endpoint)
    try:
        tag = (get_hf_file_metadata(url, endpoint=endpoint).etag or "").strip('"')
    except HUB_ERRORS as error:
        raise ConnectionError(" ".join(str(error).split())) from error
    expected = tag if SHA256.fullmatch(tag) else None
    download(url, folder / file.name, expected, token=build_hf_headers().get("authorization"))
