"""The folder of a training run: one process works in it, and it never lacks its records."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.files import remove_leftovers, whole_folder, write_json
from core.lightning import restore_last
from core.notices import notify
from core.recording.records import DATA, RECORD
from core.recording.run_lock import RunLock
from training.data.data_record import check_same_data, fingerprint_data
from training.data.datasets import DataSets
from training.folder.start_record import check_same_options


class RunFolder:
    """A folder that one process makes or opens again, for all processes of a run.

    Attributes:
        lock: held from `open` or `reopen` until somebody closes it.
    """

    def __init__(self, path: Path):
        self.path = path
        self.lock = RunLock(path, "training")

    def reopen(
        self, datasets: DataSets, files: Mapping[str, Path], options: Mapping[str, Any]
    ) -> None:
        """Lock the folder of a run that goes on, and make sure that it can.

        Args:
            files: further ones that the run is made of, by option; see `fingerprint_data`.
            options: those that decide the training, by name.
        Raises:
            RuntimeError: another process trains there, or as `compare`.
            FileNotFoundError, ValueError: as `restore_last` and `compare`.
        """
        self.lock.acquire()
        remove_leftovers(self.path)  # of a process that was killed while it saved
        if done := restore_last(self.path):
            notify(done)
        data = self.compare(datasets, files, options)
        if not (self.path / DATA).exists():  # a run of an older version
            write_json(self.path / DATA, data)

    def compare(
        self, datasets: DataSets, files: Mapping[str, Path], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Make sure that a run goes on as it was; nothing is written.

        Args:
            files, options: as for `reopen`.
        Returns:
            The fingerprint of the data.
        Raises:
            RuntimeError: the data are not those of the run.
            FileNotFoundError, ValueError: as `check_same_options`; or a record is damaged.
        """
        check_same_options(self.path, options)
        data = fingerprint_data(datasets, files)
        if (self.path / DATA).exists():
            check_same_data(self.path / DATA, data)
        return data

    def open(
        self,
        write_record: Callable[[Path], None],
        records: Mapping[str, Mapping],
        may_exist: bool,
    ) -> None:
        """Make and lock the folder of a new run.

        Args:
            write_record: function that writes the options to a path.
            records: content of the other records by their names.
            may_exist: whether a run of this name may have begun before, without a checkpoint.
        Raises:
            RuntimeError: another process trains there.
            OSError: the folder exists, or cannot be made.
        """
        if may_exist and self.path.is_dir():
            self.lock.acquire()
            _write_records(self.path, write_record, records)
            return
        # Made whole: a process that is killed here leaves no folder that nothing can read.
        with whole_folder(self.path) as folder:
            _write_records(folder, write_record, records)
        self.lock.acquire()


def _write_records(
    folder: Path, write_record: Callable[[Path], None], records: Mapping[str, Mapping]
) -> None:
    write_record(folder / RECORD)
    for name, content in records.items():
        write_json(folder / name, content)
