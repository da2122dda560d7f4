"""The weights of a run: checksums of their files, and whether these change while they are used."""

from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

from tqdm import tqdm

from core.files import FileState, sha256_of, state_of
from core.user_cache import remembered_sha256


def checksums(files: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of files by name; a file that several names share is read once.

    Large files are read again only where they may have changed, see `remembered_sha256`.
    """
    # Minutes for files of many gigabytes on a slow disk, hence the bar.
    bar = tqdm(set(files.values()), desc="read weights", unit="file", leave=False)
    digests = {path: remembered_sha256(path) for path in bar}
    return {name: digests[path] for name, path in files.items()}


class WatchedWeights:
    """Files of weights, with their checksums and their states when these were taken.

    Args:
        files: by the name of their branch, see `generation.drawing.model.weights_files`.
    """

    def __init__(self, files: Mapping[str, Path]):
        self.files = files
        self.before = self._states()
        self._reading: Future | None = None

    def _states(self) -> dict[Path, FileState | None]:
        return {path: state_of(path) for path in self.files.values()}

    def start_reading(self) -> None:
        """Take the checksums in a thread, while the model loads."""
        if self._reading is not None:
            return
        self._reading = future = Future()

        def read():
            try:
                future.set_result((checksums(self.files), self._states()))
            except BaseException as error:  # raised where the checksums are asked for
                future.set_exception(error)

        # A daemon: a program that fails meanwhile does not end later by gigabytes.
        Thread(target=read, daemon=True).start()

    def _read(self) -> tuple[dict[str, str], dict[Path, FileState | None]]:
        self.start_reading()
        return self._reading.result()

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 by the name of the branch; waits until the files are read."""
        return self._read()[0]

    def _has_changed(self, path: Path) -> bool:
        """Tell whether the content of a file is another than its checksum says."""
        names = [name for name, own in self.files.items() if own == path]
        return sha256_of(path) != self.digests[names[0]]

    def require_unchanged(self) -> None:
        """Raise RuntimeError where a file has other content than what was loaded, or is gone."""
        _, after = self._read()
        for path, before in self.before.items():
            now = state_of(path)
            # The model was loaded meanwhile: the checksum may be that of other content.
            unknown = after[path] != before
            # Not where it was only touched later, or copied to its place again
            if unknown or (now != before and (now is None or self._has_changed(path))):
                raise RuntimeError(f"{path}: has changed while it was read. Start again.")

    def changed_in_place(self) -> list[str]:
        """Files that were written since the model was loaded, and not replaced.

        Tensors are mapped from their files: what is written in place is what the model draws with.
        A file that takes the name of another leaves the other as it was.
        """
        return [
            str(path)
            for path, before in self.before.items()
            if (now := state_of(path))
            and now != before
            and now.same_file(before)
            and self._has_changed(path)
        ]
