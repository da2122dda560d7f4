"""Exports of a finished run: a data set, a volume, both or none."""

from collections.abc import Sequence
from pathlib import Path

from conditions.pairs import Pair
from core.notices import report
from generation.exporting.dataset import export_dataset
from generation.exporting.volume import export_volume
from generation.settings import Settings


def write_exports(settings: Settings, run_dir: Path, real: Sequence[Pair], voxel) -> None:
    """Write what the options ask for and report it; raises as `export_dataset`, `export_volume`.

    Args:
        real: real pairs that join the data set.
        voxel: of the volume, as `voxel_of` gives it.
    """
    dataset, volume = settings.export.export_dataset, settings.volume.export_volume
    if dataset:
        pairs = export_dataset(settings.export, run_dir, real, settings.conditions.num_classes)
        report(f"data set of {pairs} pairs: {dataset}")
    if volume:
        report(f"volume of {export_volume(settings.volume, run_dir, voxel)} slices: {volume}")
