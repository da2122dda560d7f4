"""Exports of a finished run: a data set, a volume, both or none."""

from collections.abc import Sequence
from pathlib import Path

from conditions.pairs import Pair
from core.notices import report
from generation.exporting.dataset import ExportOptions, export_dataset
from generation.exporting.volume import VolumeOptions, export_volume


def write_exports(
    export: ExportOptions,
    volume: VolumeOptions,
    run_dir: Path,
    real: Sequence[Pair],
    num_classes: int,
    voxel,
) -> None:
    """Write what the options ask for and report it; raises as `export_dataset`, `export_volume`.

    Args:
        real: real pairs that join the data set.
        voxel: of the volume, as `voxel_of` gives it.
    """
    if export.export_dataset:
        pairs = export_dataset(export, run_dir, real, num_classes)
        report(f"data set of {pairs} pairs: {export.export_dataset}")
    if volume.export_volume:
        slices = export_volume(volume, run_dir, voxel)
        report(f"volume of {slices} slices: {volume.export_volume}")
