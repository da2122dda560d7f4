"""Preparation of a generation: what is found and checked before the model loads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cldm.configuration import read_config, size_multiple
from cldm.unknown_prompts import notify_of_unknown_prompts
from core.command_line.option_sources import naming_record
from core.command_line.options import option_names
from core.notices import report
from core.prompts import read_prompts
from generation.drawing.gate import Gate, build_gate, gate_digests
from generation.drawing.grain import chosen_grain
from generation.drawing.model import weights_files
from generation.drawing.watched_weights import WatchedWeights
from generation.exporting.dataset import check_export
from generation.exporting.exports import Exports
from generation.exporting.volume import check_export_volume, voxel_of
from generation.folder.run_folder import check_run_folder
from generation.planning.branches import notify_of_pixel_sizes
from generation.planning.inputs import check_condition_sets, notify_of_uniform_masks
from generation.planning.plan import ConditionSet, SamplePlan, match_conditions
from generation.planning.resample import resampled_copies
from generation.planning.stack import check_stack
from generation.planning.start import check_images, with_images
from generation.run import Run
from generation.run_options import folder_of_run
from generation.settings import Settings
from ldm.modules.encoders.tokenizer import notify_of_cut
from microscope.grain import Grain


@dataclass(frozen=True)
class Prepared:
    """A generation of which only the model is missing.

    Attributes:
        run: joined where its folder is there already.
        weights: their files and checksums, with those of other files that the run records.
        pending: numbers of the images to draw.
        sizes: (height, width) of their conditions, by number of the condition set.
        gate: judges the images; None for none.
        grain: added to each image; None for none.
        exports: of the finished run.
    """

    run: Run
    weights: WatchedWeights
    pending: Sequence[int]
    sizes: Mapping[int, tuple[int, int]]
    gate: Gate | None
    grain: Grain | None
    exports: Exports


def plan_images(settings: Settings, gate: Gate | None) -> SamplePlan:
    """The images that the options ask for; raises as `match_conditions` and `with_images`."""
    folders = [branch.list_files() for branch in settings.branches]
    sets, left_out = match_conditions(folders, settings.inputs.skip_missing_edges)
    if left_out:
        report(f"{left_out} conditions for which a branch has no file are left out")
    prompts = read_prompts(settings.plan.prompts_file)
    notify_of_cut(prompts, "--prompts_file")
    sets = with_images(sets, settings.start)
    ratios = settings.start.encode_ratio or (1.0,)
    copies = count_copies(sets, settings, gate)
    plan = SamplePlan(sets, copies, settings.plan.seed, prompts, ratios, settings.stack.stack)
    plan.require_listable()
    return plan


def count_copies(sets: Sequence[ConditionSet], settings: Settings, gate: Gate | None) -> list[int]:
    """Number of images of each condition set."""
    most = settings.plan.n_augmentations_per_mask
    if gate is None or gate.hardness is None:
        return [most] * len(sets)
    return resampled_copies(sets, settings.branches, gate.hardness, most)


def find_weights(settings: Settings) -> WatchedWeights:
    """The weights, and other files whose checksums a run records; raises as `weights_files`."""
    files = weights_files(settings.branches, settings.model.base_weights_path)
    for branch in settings.branches:
        notify_of_unknown_prompts(branch.weights, settings.plan.prompts_file)
    return WatchedWeights(files | settings.gate.files() | settings.grain.files())


def prepare_run(
    settings: Settings, plan: SamplePlan, weights: WatchedWeights, config: Mapping
) -> Run:
    """The run, joined where it is there already, with the damaged images of this process found.

    Args:
        config: the model's, as `read_config` gives it.
    Raises:
        OSError, ValueError: the folder cannot be written, or holds another run.
    """
    check_run_folder(folder := folder_of_run(settings.run, settings.run_name))

    def digests():
        """Seconds or minutes of reading, so not before they are needed."""
        return weights.digests | gate_digests(settings.gate)

    run = Run(
        folder, settings.record(), plan, settings.branches, digests, config, settings.gate.is_on
    )
    if run.exists:  # before the slow checks: is it this run that the folder holds?
        run.join()
        if flaws := run.find_flaws(plan.shard(*settings.shard)):
            report(f"{len(flaws)} images are damaged and are made again, the first: {flaws[0]}")
    return run


def check_inputs(
    settings: Settings, run: Run, pending: Sequence[int], multiple: int
) -> dict[int, tuple[int, int]]:
    """Check the files of the images that will be made, and warn of what looks wrong in them.

    Args:
        pending: numbers of these images.
        multiple: of which sides must be multiples.
    Returns:
        Sizes as `check_condition_sets` gives them.
    Raises:
        FileNotFoundError, ValueError: files cannot be used, or do not fit each other.
    """
    # A stack needs all of them: slices of other sizes may belong to another shard.
    sets = run.plan.condition_sets if settings.stack.stack else run.plan.sets_of(pending)
    sizes = check_condition_sets(sets, run.branches, multiple, settings.inputs.pad)
    check_images(sets, sizes)
    if settings.stack.stack:
        check_stack([conditions.name for conditions in sets], sizes)
    notify_of_uniform_masks(run.plan.condition_sets, run.branches)
    notify_of_pixel_sizes(run.branches)
    settings.export.notify_of_pixel_sizes(run.pixel_size)
    return sizes


def prepare(settings: Settings) -> Prepared:
    """Find and check all files of a generation; nothing is written.

    Raises:
        OSError, ValueError, RuntimeError: files are missing or do not belong together, or a folder
            or an export cannot be written.
    """
    num_classes, resumed = settings.conditions.num_classes, settings.run.resume_run
    # Options of exports do not come from the record of a resumed run.
    real = check_export(settings.export, num_classes, resumed)
    check_export_volume(settings.volume)
    with naming_record(resumed), option_names():
        config = read_config(settings.model.config_yaml_path)
        multiple = size_multiple(config)
        gate = build_gate(settings.gate, num_classes)
        plan = plan_images(settings, gate)
        weights = find_weights(settings)
        base = settings.model.base_weights_path or settings.branches[0].weights
        grain = chosen_grain(settings.grain.grain, settings.branches[0], base)
        run = prepare_run(settings, plan, weights, config)
        # What is there is not made again, and its conditions are not read again.
        pending = run.pending(run.plan.shard(*settings.shard))
        sizes = check_inputs(settings, run, pending, multiple)
        voxel = voxel_of(settings.volume, run.branches[0].folder, run.pixel_size)
    exports = Exports(settings.export, settings.volume, real, num_classes, voxel)
    return Prepared(run, weights, pending, sizes, gate, grain, exports)
