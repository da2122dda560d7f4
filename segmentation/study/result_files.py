"""Results of a study as files."""

from collections.abc import Sequence
from pathlib import Path

from core.command_line.options import OptionError
from core.files import write_json
from core.recording.records import read_checked
from segmentation.study.jobs import Job, Result, Study

RESULTS = "results"  # folder of a study that holds one file for each job


class ResultFiles:
    """The results of a study in its folder, one JSON file for each job that has ended."""

    def __init__(self, folder: Path):
        self.folder = folder / RESULTS

    def path(self, job: Job) -> Path:
        """Of the result of a job."""
        return self.folder / f"{job.name}.json"

    def write(self, job: Job, result: Result) -> None:
        """Write a result, whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.path(job), result.model_dump())

    def read(self, study: Study, jobs: Sequence[Job]) -> dict[str, Result]:
        """The results that are there, by the name of the job.

        Raises:
            ValueError: a file is damaged.
            OptionError: a file was made with other options or files, or scored otherwise.
        """
        found = {}
        for job in jobs:
            if not self.path(job).exists():
                continue
            result = read_checked(self.path(job), Result)
            if result.fingerprint != study.fingerprint(job):
                raise OptionError(
                    "output",
                    f"{self.path(job)}: made with other options or files. Name another folder, or "
                    "remove this file.",
                )
            found[job.name] = result
        old = [
            job for job in jobs if job.name in found and study.was_scored_otherwise(found[job.name])
        ]
        if old:
            raise OptionError(
                "output",
                f"{self.path(old[0])}: made by an older version, which counts classes that no mask "
                f"shows, as are {len(old)} results in {self.folder}. Remove these: then their "
                "trainings are made again.",
            )
        return found
