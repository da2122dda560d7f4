"""The folder of a run, and those of its options that another call takes over."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from core.command_line.option_sources import RUN_CONTROL
from core.command_line.options import folder_name, option
from core.recording.records import STATE, new_run_id, read_record
from generation.exporting.dataset import ExportOptions
from generation.exporting.volume import VolumeOptions
from generation.folder.published_state import published_run
from generation.planning.shards import Shard, ShardOptions, shared_run_id


@dataclass(frozen=True)
class GenerationRunOptions:
    """Folder and name of the run."""

    output_base_dir: Path = option(
        Path("my_synth_data"), Path, "DIR", "where the run's folder is made"
    )
    run_id: str | None = option(
        None,
        folder_name,
        "NAME",
        "folder run_NAME, which all shards share; the Slurm array's number, else a new one, "
        "when not given",
    )
    resume_run: Path | None = option(
        None,
        Path,
        "RUN",
        "make what is missing in a run's folder; takes that run's options",
    )


# Options that belong to one call: a resumed run does not take them over, and may change them.
OF_ONE_CALL = {*RUN_CONTROL} | {
    field.name
    for group in (GenerationRunOptions, ShardOptions, ExportOptions, VolumeOptions)
    for field in dataclasses.fields(group)
}


def name_of_run(options: GenerationRunOptions, shard: Shard) -> str | None:
    """`--run_id`, or the name shared by a Slurm array's tasks; None where there is neither."""
    # With --num_shards 1, each task of an array makes a whole set, in a folder of its own.
    if options.run_id or options.resume_run or shard.count == 1:
        return options.run_id
    return shared_run_id()


def folder_of_run(options: GenerationRunOptions, name: str | None) -> Path:
    """The folder to resume, or the one of the name; a new name where that is None."""
    return options.resume_run or options.output_base_dir / f"run_{name or new_run_id()}"


def options_of_run(run_dir: Path) -> dict:
    """Options that a resumed run takes over.

    Raises:
        FileNotFoundError, ValueError: as `read_record` and `published_run`; or the published code
            or a notebook began the run.
    """
    if published_run(run_dir):
        raise ValueError(
            f"{run_dir / STATE}: begun by the published code or a notebook, which note too little "
            "to go on. Start a new run."
        )
    saved = read_record(run_dir)
    return {name: value for name, value in saved.items() if name not in OF_ONE_CALL}
