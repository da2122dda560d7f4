"""A run of the generator: what its images are made of, and the folder that they are written to."""

import dataclasses
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from core.checks import find_flaws
from core.command_line.option_sources import plain
from core.files import whole_folder, write_json
from core.imaging.images import write_png
from core.imaging.known_sizes import VOLUME
from core.imaging.labels import IGNORE
from core.imaging.pairing import IMAGES, MANIFEST, MASKS
from core.imaging.pictures import OVERVIEW
from core.imaging.pixel_size import PixelSize
from core.recording.records import RECORD, read_record, write_run_record
from generation.drawn import Drawn
from generation.folder.image_line import image_line
from generation.folder.manifest import (
    WEIGHTS_CHANGED,
    append_to_manifest,
    checksums_of,
    read_recorded,
    write_manifest,
)
from generation.folder.run_folder import (
    finished_images,
    lock_manifest,
    remove_half_written,
    require_own_names,
)
from generation.folder.soundness import image_flaw
from generation.folder.state import describe_run, require_same_names, require_same_run, write_state
from generation.names import CONDITIONS
from generation.planning.branches import (
    Branch,
    condition_folders,
    has_labels,
    label_folders,
    labels_of,
)
from generation.planning.plan import PlannedImage, SamplePlan
from generation.planning.shards import Shard
from generation.reporting.report import REPORT, examples_of, write_report
from generation.settings import FREE_ON_RESUME


class Run:
    """One generation, whole or in parts.

    Several processes may make parts of it, one after the other or at once.

    Attributes:
        folder: where everything is written.
        options: the command line's options by name, as the record stores them. A seed of -1 becomes
            the run's seed when the run is created or joined.
        plan: the images, with the run's seed.
        branches: what steers the images.
        weights: SHA-256 by the name of their branch; `read_weights` is called when they are needed.
        config: the model's configuration.
        gated: whether a quality gate chooses the images.
    """

    def __init__(
        self,
        folder: Path,
        options: Mapping,
        plan: SamplePlan,
        branches: Sequence[Branch],
        read_weights: Callable[[], Mapping[str, str]],
        config: Mapping,
        gated: bool = False,
    ):
        self.folder, self.plan, self.branches, self.gated = folder, plan, branches, gated
        # A copy: the seed is entered later, and the caller's options stay what the user gave.
        self.options, self._read_weights, self.config = dict(options), read_weights, config
        self.flawed: set[str] = set()  # names of images that count as missing
        self.drawn: set[str] = set()  # paths of images that this process has written

    @property
    def seed(self) -> int:
        """Seed of noise and prompts, -1 as long as none is drawn."""
        return self.options["seed"]

    @property
    def pixel_size(self) -> PixelSize | None:
        """Of the images: that of the first branch's conditions."""
        return self.branches[0].pixel_size

    @property
    def exists(self) -> bool:
        """Tell whether the folder is that of a run, so that it can be joined."""
        return (self.folder / RECORD).is_file()

    @property
    def has_masks(self) -> bool:
        """Tell whether `masks/` gets a file for each image."""
        return has_labels(self.branches)

    @cached_property
    def weights(self) -> Mapping[str, str]:
        return self._read_weights()

    @cached_property
    def description(self) -> dict:
        """Facts that a resumed run must find unchanged, beside its options."""
        return describe_run(self.plan, self.branches, self.weights, self.config)

    def open(self) -> None:
        """Create the run, or join it where another process has; raises like `join`.

        Images that `find_flaws` found are removed.
        """
        if not self.exists:
            self._create()
        self.join()
        for name in self.flawed:
            (self.folder / IMAGES / name).unlink(missing_ok=True)
        self.flawed = set()
        # Someone may have removed one that was empty
        for folder in self._folders:
            (self.folder / folder).mkdir(parents=True, exist_ok=True)

    @property
    def _folders(self) -> list[str]:
        # `masks/` exists even where it stays empty: the published layout has it.
        names = condition_folders(self.branches)
        return [IMAGES, MASKS, *(f"{CONDITIONS}/{name}" for name in names)]

    def _create(self) -> None:
        """Make the folder and describe the run in it, unless another process does."""
        # Drawn by the one process that makes the folder; the others read it from the record.
        seed = secrets.randbelow(2**31) if self.seed == -1 else self.seed
        options = self.options | {"seed": seed}
        try:
            # Shards start at once. Each fills a folder of its own, and one gets the name.
            with whole_folder(self.folder) as temporary:
                for folder in self._folders:
                    (temporary / folder).mkdir(parents=True)
                    if size := self.pixel_size:
                        write_json(temporary / folder / VOLUME, {"pixel_size_nm": size})
                write_state(temporary, options, self.description)  # what `join` compares
                write_run_record(temporary / RECORD, options, "generation")
        except OSError:
            if not self.exists:
                raise

    def join(self) -> None:
        """Take seed and numbering of the run that is there, after making sure that it is this run.

        Raises:
            FileNotFoundError, ValueError: as `require_same_run` and `require_same_names`, or a
                folder's name is taken.
        """
        seed, first_batch = require_same_run(
            self.folder, self.options, self.description, FREE_ON_RESUME
        )
        require_own_names(self.folder, (CONDITIONS, *self._folders), (MANIFEST, OVERVIEW, REPORT))
        # In both: records store the options, and the plan computes each image's seed.
        self.options["seed"] = seed
        self.plan = dataclasses.replace(self.plan, seed=seed, first_batch=first_batch)
        require_same_names(self.folder, self.plan)

    def find_flaws(self, numbers: Iterable[int]) -> list[str]:
        """Flaws of those of these images that are there, and not as they were written.

        From now on they count as missing. Call it after `join`.

        Raises:
            ValueError: a name belongs to something that is no file.
        """
        recorded, there = read_recorded(self.folder), finished_images(self.folder)

        def flaw_of(k):
            line = self.manifest_line(self.plan[k])
            return image_flaw(self.folder, line, recorded.get(line["image"], {}), self.gated)

        made = [k for k in numbers if self.plan.file_name(k) in there]
        flaws = find_flaws(made, flaw_of, "checking images")
        self.flawed = {self.plan.file_name(k) for k in flaws}
        return list(flaws.values())

    def pending(self, numbers: Iterable[int]) -> list[int]:
        """Those of these images that are not there yet."""
        # Names do not depend on the seed, so this can be asked before the run is created.
        there = finished_images(self.folder) - self.flawed if self.exists else set()
        return [k for k in numbers if self.plan.file_name(k) not in there]

    def headline(self, shard: Shard) -> str:
        """Numbers of images and conditions, and what steers them, in one line."""
        own = self.plan.shard(*shard)
        there = len(own) - len(self.pending(own))
        part = f" (shard {shard.index} of {shard.count}: {len(own)})" if shard.count > 1 else ""
        names = ", ".join(branch.name for branch in self.branches)
        return (
            f"{len(self.plan)} images of {len(self.plan.condition_sets)} conditions{part}, "
            f"{there} there already, steered by {names}"
        )

    def manifest_line(self, planned: PlannedImage) -> dict:
        """See `image_line`."""
        return image_line(planned, self.branches, self.options, self.weights)

    def write_files(self, drawn: Drawn, hints: Sequence[np.ndarray]) -> dict:
        """Write the files of one image; the image comes last, so where it is, the others are too.

        Threads may write several images at once. `note` must follow.

        Args:
            hints: one for each branch, float32 (H, W, C) in [0, 1].
        Returns:
            The line of the manifest, for `note`.
        """
        line = self.manifest_line(drawn.planned) | drawn.notes
        labels = labels_of(hints, self.branches)
        # Written from hints, not copied: files of any format become what the model saw.
        for branch, hint in zip(self.branches, hints, strict=True):
            for folder, picture in branch.condition.pictures(branch.name, hint).items():
                write_png(self.folder / line["conditions"][folder], picture)
        if labels is not None:
            if drawn.ignored is not None:
                labels = np.where(drawn.ignored, IGNORE, labels).astype(np.uint8)
            write_png(self.folder / line["mask"], labels)
        write_png(self.folder / line["image"], drawn.picture)
        return line | checksums_of(self.folder, line)

    def note(self, line: dict) -> None:
        """Add the line of an image whose files are written to the manifest."""
        self.drawn.add(line["image"])
        # After the image: a process killed in between leaves an image without a line, which
        # `finish` adds; the other way round, a line would promise an image that is not there.
        append_to_manifest(self.folder, line)

    def finish(self, weights_changed: Sequence[str] = ()) -> int:
        """Write the manifest in the plan's order, the overview and the report.

        When processes end together, the last one to come here sees the images of all. If these are
        all that are planned, it also removes the temporary files of killed processes.

        Args:
            weights_changed: names of weights that changed while this process drew images. The
                manifest says so of these images, and a resumed run makes them again.
        Returns:
            The number of images that are there.
        """
        with lock_manifest(self.folder):
            there = finished_images(self.folder)
            done = [k for k in range(len(self.plan)) if self.plan.file_name(k) in there]
            recorded = read_recorded(self.folder)
            for image in self.drawn if weights_changed else ():
                recorded.setdefault(image, {})[WEIGHTS_CHANGED] = list(weights_changed)
            # Whole again: lines that were appended stand in the order in which processes ended.
            write_manifest(self.folder, (self._finished_line(k, recorded) for k in done))
            self._write_report(done)
            if len(done) == len(self.plan):
                remove_half_written(self.folder)
        return len(done)

    def _finished_line(self, k: int, recorded: Mapping) -> dict:
        """The line of an image that is there, with what was recorded of it, by image."""
        line = self.manifest_line(self.plan[k])
        if line["image"] in recorded:
            return line | recorded[line["image"]]
        # Its process was killed before it could add the line.
        return line | checksums_of(self.folder, line)

    def _write_report(self, done: list[int]) -> None:
        examples = [
            [self.manifest_line(self.plan[k]) for k in numbers]
            for numbers in examples_of(done, self.plan.set_number)
        ]
        # Without damaged images of other shards, which are mended when these are resumed
        sound = [
            [line for line in lines if not image_flaw(self.folder, line, {})] for lines in examples
        ]
        if not any(sound):  # the report shows one image at least
            return
        write_report(
            self.folder,
            [lines for lines in sound if lines],
            # As they were given at the start, whoever completes the run; `join` has checked them.
            options=plain(self.options) | read_record(self.folder),
            done=len(done),
            planned=len(self.plan),
            num_conditions=len(self.plan.condition_sets),
            prompts=self.plan.prompts,
            label_folders=label_folders(self.branches),
        )
