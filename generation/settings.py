"""All options of a generation, by group, and what follows from them before a file is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from cldm.options import SamplingOptions
from conditions import ConditionOptions
from core.command_line.groups import Group, free_names, group, groups_of
from core.imaging.image_options import ImageOptions
from generation.exporting.dataset import ExportOptions
from generation.exporting.volume import VolumeOptions
from generation.options import (
    DrawingOptions,
    GateOptions,
    GrainOptions,
    InputOptions,
    ModelOptions,
)
from generation.planning.branches import (
    Branch,
    BranchOptions,
    check_branches,
    has_labels,
    named_branches,
)
from generation.planning.plan import PlanOptions
from generation.planning.published_options import (
    DRAWN_ON_THE_FLY,
    PublishedOptions,
    infer_mode,
    published_branches,
    unused_options,
)
from generation.planning.shards import Shard, ShardOptions, find_shard
from generation.planning.stack import StackOptions
from generation.planning.start import StartImageOptions
from generation.presets import PresetOptions
from generation.run_options import OF_ONE_CALL, GenerationRunOptions, name_of_run
from ldm.samplers import SAMPLERS

# The published options call the number of steps ddim_steps, whichever the sampler.
SAMPLING_FLAGS = {
    "sampler": "sampler", "steps": "ddim_steps", "strength": "strength",
    "scale": "scale", "eta": "eta", "guidance_interval": "guidance_interval",
    "guess_mode": "guess_mode", "joint": "joint",
}  # fmt: skip
# Name of a detector -> its options. They begin with this name, so none can collide.
DETECTOR_GROUPS = {
    name: Group(detector.options, f"edges drawn by {name}")
    for name, detector in DRAWN_ON_THE_FLY.items()
}


@dataclass(frozen=True)
class Settings:
    """The options of one call.

    Attributes:
        drawn_edges: options of the detector `published.edge_detector`.
        dry_run: whether to stop once the plan is shown.
        values: all of them by name, for the record of the run.
    """

    model: ModelOptions = group("model")
    published: PublishedOptions = group("masks, edge maps and RGBA tensors")
    general_branches: BranchOptions = group("conditions of any kind")
    conditions: ConditionOptions = group("reading of conditions")
    inputs: InputOptions = group("incomplete conditions")
    plan: PlanOptions = group("images")
    start: StartImageOptions = group("start from real images")
    stack: StackOptions = group("stacks")
    grain: GrainOptions = group("grain")
    gate: GateOptions = group("quality gate")
    sampling: SamplingOptions = group("sampling", SAMPLING_FLAGS)
    drawing: DrawingOptions = group("computation")
    preset: PresetOptions = group("preset")
    run: GenerationRunOptions = group("run")
    shards: ShardOptions = group("many machines")
    export: ExportOptions = group("data set")
    volume: VolumeOptions = group("volume")
    images: ImageOptions = group("image files")
    drawn_edges: Any
    dry_run: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise ValueError where options of several groups contradict each other."""
        check_branches(self.branches)  # builds them, which checks each group that they come from
        names = [branch.name for branch in self.branches]
        taken = [*self.gate.files(), *self.grain.files()]
        taken += ["gate_pairs"] if self.gate.gate_pairs else []
        for name in taken:
            if name in names:  # the record of the run would mix up their checksums
                raise ValueError(
                    f"a branch is named {name}, the name by which the run records what --{name} "
                    "gives. Rename the branch."
                )
        if self.shard.count > 1:
            self._check_shards()
        if self.start.encode_ratio:
            self._check_start()
        if self.stack.stack:
            self._check_stack()
        self._check_outputs()

    def _check_shards(self) -> None:
        """Raise ValueError for options that one of several processes cannot obey."""
        # Without a name, every shard would make a folder of its own.
        if not (self.run_name or self.run.resume_run):
            raise ValueError(
                "--run_id is needed with --num_shards: all shards write into one folder"
            )
        # A shard cannot know that it is the last one, and an export of a part would look whole.
        exports = {**vars(self.export), **vars(self.volume)}
        for name in ("export_dataset", "export_volume"):
            if exports[name]:
                raise ValueError(
                    f"--{name} needs the whole set: when all shards are done, use it with "
                    "--resume_run"
                )

    def _check_start(self) -> None:
        """Raise ValueError for options with which images cannot begin with real ones as asked."""
        copies, ratios = self.plan.n_augmentations_per_mask, self.start.encode_ratio
        if copies < len(ratios) and not self.run.resume_run:  # older runs took the first ones
            raise ValueError(
                f"--encode_ratio: {len(ratios)} values are taken by turns by the images of a "
                f"condition, which are {copies}. Give --n_augmentations_per_mask {len(ratios)} or "
                "more."
            )
        if self.inputs.pixel_size:
            raise ValueError(
                "--pixel_size: cannot resample the real images of --encode_ratio. Resample the "
                "files first."
            )

    def _check_outputs(self) -> None:
        """Raise ValueError for masks or a volume that the images would not give.

        It would show after hours of drawing otherwise.
        """
        if self.volume.export_volume and (
            not self.stack.stack or self.plan.n_augmentations_per_mask > 1
        ):
            raise ValueError("--export_volume: needs --stack and one image per condition")
        if has_labels(self.branches):
            return
        if self.gate.gate_segmenter:
            raise ValueError("--gate_segmenter: no condition carries labels to judge by")
        if self.export.export_dataset:
            raise ValueError(
                "--export_dataset: no condition carries labels, so the images have no masks"
            )

    def _check_stack(self) -> None:
        """Raise ValueError for options that would give slices of a stack noise of their own."""
        if self.sampling.eta and "eta" not in SAMPLERS[self.sampling.sampler].ignores:
            raise ValueError(
                f"--stack: --sampler {self.sampling.sampler} adds noise to each slice between its "
                "steps. Use --eta 0, or --sampler dpmpp."
            )
        if self.gate.min_agreement is not None:
            raise ValueError(
                "--stack: a redrawn slice would not fit its neighbours; leave out --min_agreement"
            )
        if self.gate.resample:
            raise ValueError("--stack: all slices need as many images; leave out --resample")

    @cached_property
    def shard(self) -> Shard:
        """The part that this process makes; raises like `find_shard`."""
        return find_shard(self.shards)

    @cached_property
    def run_name(self) -> str | None:
        """See `name_of_run`."""
        return name_of_run(self.run, self.shard)

    @cached_property
    def mode(self) -> str | None:
        """The published mode; see `infer_mode`, also for what is raised."""
        return infer_mode(self.published)

    @cached_property
    def branches(self) -> list[Branch]:
        """The branches of the published options, then those of `--branches`.

        Raises:
            ValueError: as `published_branches` and `named_branches`.
        """
        default_weights = self.model.model_weights_path
        # Built even where nothing is drawn: without weights that costs nothing.
        detector = DRAWN_ON_THE_FLY[self.published.edge_detector]
        published = published_branches(
            self.published,
            self.mode,
            self.conditions,
            default_weights,
            detector.build(self.drawn_edges),
        )
        branches = published + named_branches(
            self.general_branches, self.conditions, default_weights
        )
        return [replace(branch, pixel_side=self.inputs.pixel_size) for branch in branches]

    def record(self) -> dict:
        """Options by name as a run stores them: with what was found where nothing was given."""
        # As found here: on another machine `auto` or the scheduler could give other values.
        return {
            **self.values,
            "generation_mode": self.mode,
            "device": self.model.device_type,
            "run_id": self.run_name,
            "num_shards": self.shard.count,
            "shard_index": self.shard.index,
        }

    def unused(self) -> dict[str, str]:
        """Options that this run does not read, without dashes, with the reason."""
        # Named, not refused: an options file may serve several samplers and modes.
        sampler = SAMPLERS[self.sampling.sampler]
        unused = unused_options(self.published, self.mode, self.branches) | dict.fromkeys(
            sampler.ignores, f"by --sampler {sampler.name}"
        )
        if self.sampling.scale == 1:
            unused["guidance_interval"] = "with --scale 1, which is no guidance"
        if self.gate.min_agreement is None:
            unused["max_redraws"] = "without --min_agreement"
        if self.plan.n_augmentations_per_mask == 1:
            unused["resample"] = "with one image per condition"
        if self.model.device == "cpu":  # `auto` would load torch to find out
            unused |= dict.fromkeys(("cuda_graphs", "save_memory"), "on a CPU")
        return unused


GROUPS = groups_of(Settings)
# Options that a resumed run may change: they decide no image, but for its last bits.
FREE_ON_RESUME = {*OF_ONE_CALL, *free_names(GROUPS)}
