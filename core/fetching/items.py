"""Published weights and data: what they are, where they come from and where they go."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.fetching.archives import check_zip, unpack
from core.fetching.downloads import NETWORK_ERRORS, WeightsFile, check_checkpoint, download
from core.fetching.hub import HubFile, download_hub_file

ARCHIVE = ".zip"


@dataclass(frozen=True)
class Item:
    """Something that others published.

    Attributes:
        about: what it is, in a few words.
        files: what is downloaded; none where only `page` is known.
        folder: where the files go. An archive becomes a folder of its name in it.
        page: page on which people find it.
        lifted: files in an archive that belong into `folder` itself, where programs look for them.
    """

    about: str
    files: Sequence[HubFile | WeightsFile]
    folder: Path
    page: str = ""
    lifted: Sequence[str] = ()

    def target(self, file: HubFile | WeightsFile) -> Path:
        """The path of a file, or the folder that an archive becomes."""
        return self.folder / file.name.removesuffix(ARCHIVE)

    def describe(self) -> str:
        """Address, target and licence of each file, for people."""
        lines = [self.about]
        for file in self.files:
            lines += [file.url, f"-> {self.target(file)}"]
            lines += [f"licence: {file.licence or 'not stated, ask its authors'}"]
        if not self.files:
            lines += [self.page, f"-> {self.folder}/, to be downloaded there by hand"]
        return "\n  ".join(lines)


def fetch(item: Item, file: HubFile | WeightsFile) -> list[Path]:
    """Download a file of an item, unpack it if it is an archive; returns what is new.

    Raises:
        ConnectionError: the network or the server fails; the message says what to do.
        ValueError: the content is not what is expected; nothing of it is kept.
        OSError: the target cannot be written, or exists.
    """
    target = item.target(file)
    archive = item.folder / file.name
    try:
        if isinstance(file, HubFile):
            download_hub_file(file, item.folder)
        else:
            check = check_zip if archive != target else check_checkpoint
            download(file.url, archive, file.sha256, check)
    except NETWORK_ERRORS as error:
        work = "unpack it to" if archive != target else "put it at"
        raise ConnectionError(
            f"{file.url}: could not be downloaded ({error}). Download it elsewhere and "
            f"{work} {target}."
        ) from error
    if archive == target:
        return [target]
    files = unpack(archive, target)
    archive.unlink()
    return lift([target / path for path in files], item)


def lift(paths: Sequence[Path], item: Item) -> list[Path]:
    """Move the unpacked files that `item.lifted` names into its folder; returns all new paths.

    One of two files of the same name could be the wrong one, so both stay, and no file is replaced.
    """
    names = [path.name for path in paths]
    moved = []
    for path in paths:
        place = item.folder / path.name
        if path.name in item.lifted and names.count(path.name) == 1 and not place.exists():
            os.replace(path, place)
            path = place
        moved.append(path)
    return moved
