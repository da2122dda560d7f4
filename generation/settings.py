"""All options of a generation, by group, and what follows from them before a file is read."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from cldm.options import SamplingOptions
from conditions import ConditionOptions
from core.options import Group
from generation.branches import (
    Branch,
    BranchOptions,
    check_branches,
    has_labels,
    named_branches,
)
from generation.export import ExportOptions
from generation.gate import GateOptions
from generation.options import DrawingOptions, GrainOptions, InputOptions, ModelOptions
from generation.plan import PlanOptions
from generation.presets import PresetOptions
from generation.published import (
    DRAWN_ON_THE_FLY,
    PublishedOptions,
    infer_mode,
    published_branches,
    unused_options,
)
from generation.run_options import GenerationRunOptions, name_of_run
from generation.shards import Shard, ShardOptions, find_shard
from generation.start import StartOptions
from ldm.samplers import SAMPLERS

# The published options call the number of steps ddim_steps, whichever the sampler.
SAMPLING_FLAGS = {
    "sampler": "sampler", "steps": "ddim_steps", "strength": "strength",
    "scale": "scale", "eta": "eta", "guidance_interval": "guidance_interval",
    "guess_mode": "guess_mode", "joint": "joint",
}  # fmt: skip
# Field of `Settings` -> its group, in the order of the help
GROUPS = {
    "model": Group(ModelOptions, "model"),
    "published": Group(PublishedOptions, "masks, edge maps and RGBA tensors"),
    "general_branches": Group(BranchOptions, "conditions of any kind"),
    "conditions": Group(ConditionOptions, "reading of conditions"),
    "inputs": Group(InputOptions, "incomplete conditions"),
    "plan": Group(PlanOptions, "images"),
    "start": Group(StartOptions, "start from real images"),
    "grain": Group(GrainOptions, "grain"),
    "gate": Group(GateOptions, "quality gate"),
    "sampling": Group(SamplingOptions, "sampling", SAMPLING_FLAGS),
    "drawing": Group(DrawingOptions, "computation"),
    "preset": Group(PresetOptions, "preset"),
    "run": Group(GenerationRunOptions, "run"),
    "shards": Group(ShardOptions, "many machines"),
    "export": Group(ExportOptions, "data set"),
}
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
    """

    model: ModelOptions
    published: PublishedOptions
    general_branches: BranchOptions
    conditions: ConditionOptions
    inputs: InputOptions
    plan: PlanOptions
    start: StartOptions
    grain: GrainOptions
    gate: GateOptions
    sampling: SamplingOptions
    drawing: DrawingOptions
    preset: PresetOptions
    run: GenerationRunOptions
    shards: ShardOptions
    export: ExportOptions
    drawn_edges: Any

    def check(self) -> None:
        """Raise ValueError where options of several groups contradict each other."""
        check_branches(self.branches)  # builds them, which checks each group that they come from
        names = [branch.name for branch in self.branches]
        for name in self.gate.files() | self.grain.files():
            if name in names:  # the record of the run would mix up their checksums
                raise ValueError(
                    f"a branch is named {name}, the name of the file that --{name} gives. "
                    "Rename the branch."
                )
        # Without a name, every shard would make a folder of its own.
        if self.shard.count > 1 and not (self.run_name or self.run.resume_run):
            raise ValueError(
                "--run_id is needed with --num_shards: all shards write into one folder"
            )
        # A shard cannot know that it is the last one, and an export of a part would look whole.
        if self.export.export_dataset and self.shard.count > 1:
            raise ValueError(
                "--export_dataset needs the whole set: when all shards are done, use it with "
                "--resume_run"
            )
        if self.inputs.pixel_size and self.start.encode_ratio:
            raise ValueError(
                "--pixel_size: cannot resample the real images of --encode_ratio. Resample the "
                "files first."
            )
        if self.gate.gate_segmenter and not has_labels(self.branches):
            raise ValueError("--gate_segmenter: no condition carries labels to judge by")
        if self.start.encode_ratio and not SAMPLERS[self.sampling.sampler].starts_midway:
            raise ValueError(f"--encode_ratio: --sampler {self.sampling.sampler} begins with noise")
        # Before hours of drawing, not after them.
        if self.export.export_dataset and not has_labels(self.branches):
            raise ValueError(
                "--export_dataset: no condition carries labels, so the images have no masks"
            )

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

    def record(self, values: Mapping) -> dict:
        """Options by name as a run stores them: with what was found where nothing was given.

        Args:
            values: all options of the command line by name.
        """
        # As found here: on another machine `auto` or the scheduler could give other values.
        return {
            **values,
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
        return unused
