"""Exports of a finished run: a data set, a volume, both or none."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conditions.pairs import Pair
from core.imaging.pixel_size import Voxel
from core.notices import report
from generation.exporting.dataset import ExportOptions, export_dataset
from generation.exporting.volume import VolumeOptions, export_volume


@dataclass(frozen=True)
class Exports:
    """Exports that the options ask for, with what was found when they were checked.

    Attributes:
        real: pairs that join the data set, as `check_export` gives them.
        num_classes: of the masks.
        voxel: of the volume, as `voxel_of` gives it.
    """

    dataset: ExportOptions
    volume: VolumeOptions
    real: Sequence[Pair]
    num_classes: int
    voxel: Voxel | None

    @property
    def words(self) -> list:
        """The options as words of a command line."""
        return self.dataset.words() + self.volume.words()

    def plan_lines(self, num_images: int) -> list[str]:
        """A line for each export of a run of so many images, for `--dry_run`."""
        lines = []
        if self.dataset.export_dataset:
            pairs, real = len(self.real) + num_images, len(self.real)
            lines.append(f"data set: {self.dataset.export_dataset}, {pairs:,} pairs, {real:,} real")
        if self.volume.export_volume:
            lines.append(f"volume: {self.volume.export_volume}, {num_images:,} slices")
        return lines

    def write(self, run_dir: Path) -> None:
        """Write and report them; raises as `export_dataset` and `export_volume`."""
        if self.dataset.export_dataset:
            pairs = export_dataset(self.dataset, run_dir, self.real, self.num_classes)
            report(f"data set of {pairs} pairs: {self.dataset.export_dataset}")
        if self.volume.export_volume:
            slices = export_volume(self.volume, run_dir, self.voxel)
            report(f"volume of {slices} slices: {self.volume.export_volume}")
