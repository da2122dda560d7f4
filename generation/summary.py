"""The plan of a run, for `--dry_run`, and its files, as text for people."""

from cldm.options import SamplingOptions
from core.imaging.pairing import IMAGES, MANIFEST, MASKS
from core.imaging.pictures import OVERVIEW
from core.recording.records import RECORD, STATE
from core.text import table
from generation.exporting.exports import Exports
from generation.names import CONDITIONS
from generation.planning.branches import condition_folders
from generation.planning.plan import SamplePlan
from generation.reporting.report import REPORT
from generation.run import Run
from ldm.samplers import SAMPLERS


def plan_text(run: Run, pending: int, sampling: SamplingOptions, exports: Exports) -> str:
    """Images that would be computed and files that would be written.

    Args:
        pending: images that this process would make.
        sampling: how they would be drawn.
        exports: of the finished run.
    """
    plan, steps = run.plan, sampling.steps
    # What an image costs: DDIM asks the U-Net 72 times where 70 steps are asked for.
    evaluations = SAMPLERS[sampling.sampler].evaluations(steps)
    ratios = ", ".join(f"{ratio:g}" for ratio in plan.encode_ratios)
    lines = [
        f"conditions: {len(plan.condition_sets):,}",
        f"images: {len(plan):,}, {_copies(plan)} for each condition",
        f"prompts: {len(plan.prompts):,}, one drawn for each {'stack' if plan.stack else 'image'}",
        *([f"stack: noise of other seeds after {plan.stack:g} slices"] if plan.stack else []),
        f"sampling: {sampling.sampler}, {steps} steps, {evaluations} evaluations of the U-Net "
        "for each image",
        *([f"start: real images, noise for {ratios} of the steps"] if ratios != "1" else []),
        "branches:",
        _indented(_branch_table(run)),
        f"folder: {_folder(run)}",
        "files:",
        _indented(_file_table(run, pending)),
        *exports.plan_lines(len(plan)),
    ]
    return "\n".join(lines)


def files_text(run: Run) -> str:
    """Places of the files of a run that people look for, a line each."""
    masks = [f"masks of the same names: {run.folder / MASKS}"] if run.has_masks else []
    shown = f"to look at: {run.folder / REPORT}, {run.folder / OVERVIEW}"
    return "\n".join([f"images: {run.folder / IMAGES}", *masks, shown])


def _copies(plan: SamplePlan) -> str:
    """The number of images of a condition, or the least and the most of them."""
    least, most = min(plan.copies), max(plan.copies)
    return f"{most:,}" if least == most else f"{least:,} to {most:,}"


def _folder(run: Run) -> str:
    """The run's folder; its name stays open where the run draws one when it starts."""
    # `run.folder` has a name already, but the next call would draw another.
    if run.exists:
        return f"{run.folder}, there already"
    return f"{run.folder if run.options['run_id'] else run.folder.parent / 'run_<time>'}, new"


def _branch_table(run: Run) -> str:
    """The branches, one a line."""
    rows = [["name", "condition", "files", "strength", "folder", "weights"]]
    for branch in run.branches:
        rows.append(
            [
                branch.name,
                branch.condition.name,
                f"{len(run.plan.condition_sets):,}",  # used, which may be fewer than in the folder
                f"{branch.strength:g}",
                f"{branch.folder}{' (edges are drawn)' if branch.draw_edges else ''}",
                str(branch.weights),
            ]
        )
    return table(rows)


def _file_table(run: Run, pending: int) -> str:
    """Numbers of files by folder: those that would be written, and those that are there.

    Args:
        pending: images that this process would make; the files that are there are the whole run's.
    """
    # An image comes last of its files, so where it is, one of each kind is.
    there = len(run.plan) - len(run.pending(range(len(run.plan))))
    folders = [f"{CONDITIONS}/{name}/" for name in condition_folders(run.branches)]
    folders = [f"{IMAGES}/", *([f"{MASKS}/"] if run.has_masks else []), *folders]
    rows = [["where", "to be written", "there already"]]
    rows += [[folder, f"{pending:,}", f"{there:,}"] for folder in folders]
    # One of each. Every process that ends writes the last three again.
    for name in (RECORD, STATE, MANIFEST, OVERVIEW, REPORT):
        is_there = (run.folder / name).is_file()
        stays = run.exists and name in (RECORD, STATE)  # they say how the run was started
        rows.append([name, f"{int(not stays)}", f"{int(is_there)}"])
    return table(rows)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
