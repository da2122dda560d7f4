"""The start of a run, as its folder keeps it, and what has changed since.

Two files say it: the record of every run (`core.recording.records`) with the options, and `STATE`
with the files and texts that these options meant.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from conditions.variation_set import sources_of_files
from core.checks import bar_for_many
from core.command_line.option_sources import changed_options, refuse_edited
from core.files import sha256_of, write_json
from core.imaging.known_sizes import VOLUME, changed_sizes, pixel_size_of_folder
from core.imaging.pairing import IMAGES
from core.notices import notify
from core.recording.records import RECORD, STATE, Record, RunRecord, read_checked
from generation.folder.run_folder import finished_images
from generation.names import FIRST_BATCH, MASK, OLDER_FIRST_BATCH
from generation.planning.branches import Branch, has_labels
from generation.planning.plan import SamplePlan
from generation.planning.shards import MAX_SHARDS
from segmentation.run_record import GeneratedFrom

# Options that hold weights in texts, which may change as paths may
WEIGHTS_IN_TEXTS = ("branch_weights", "edge_model_paths", "edge_model_path")


class SavedOptions(Record):
    """Options of a run that its plan and its status follow from; the others are kept beside."""

    seed: NonNegativeInt
    n_augmentations_per_mask: PositiveInt
    num_shards: Annotated[int, Field(ge=1, le=MAX_SHARDS)] | None = None
    generation_mode: str | None = None


class GenerationRecord(RunRecord):
    """The record of a generation."""

    args: SavedOptions

    @property
    def options(self) -> dict[str, Any]:
        """All options that the record holds, by name."""
        return self.args.model_dump(exclude_unset=True)


class GenerateState(GeneratedFrom):
    """Content of `STATE`, with the keys of the published file; `GeneratedFrom` has some of them.

    Attributes:
        args: options that the run was started with, by name.
        condition_paths: files of each branch, in the order of the condition sets.
        weights: SHA-256 by the name of the branch.
        config: the model's configuration.
        has_masks: whether images have masks; None in runs of older versions.
        stated_sizes: pixel size in nm, height and width, that the folder of each branch states;
            None where it is unknown, and nothing in runs of older versions.
        first_batch: as `SamplePlan`; runs of older versions do not say it.
    """

    args: dict[str, Any] = {}
    condition_paths: dict[str, list[str]]
    condition_records: Annotated[list[dict[str, Any]], Field(min_length=1)]
    prompts: Annotated[list[str], Field(min_length=1)]
    weights: dict[str, str]
    config: dict[str, Any]
    has_masks: bool | None = None
    stated_sizes: dict[str, list[float] | None] = {}
    first_batch: Annotated[int, Field(ge=OLDER_FIRST_BATCH, le=FIRST_BATCH)] = OLDER_FIRST_BATCH

    @model_validator(mode="after")
    def _copies_of_each(self):
        if self.copies and len(self.copies) != len(self.condition_records):
            raise ValueError(
                f"copies: {len(self.copies)} numbers for {len(self.condition_records)} conditions"
            )
        return self


def read_generation(run_dir: Path) -> tuple[GenerationRecord, GenerateState]:
    """Both files of a run; raises like `core.recording.records.read_checked`."""
    record = read_checked(run_dir / RECORD, GenerationRecord)
    return record, read_checked(run_dir / STATE, GenerateState)


def _variation_sources(used: Iterable[Path]) -> dict[str, list[str]] | None:
    """`GeneratedFrom.variation_sources`, noted since the folder of the set may move.

    None, and a warning, where it cannot be told: drawing needs nothing of it.
    """
    try:
        return sources_of_files(used)
    except ValueError as error:
        notify(f"{error} What its masks were varied from is not noted.")
        return None


def describe_run(
    plan: SamplePlan, branches: Sequence[Branch], weights: Mapping[str, str], config: Mapping
) -> dict:
    """Content of `STATE` beside the options; all condition files are read.

    Args:
        branches: in the order of the files of each condition set.
        weights, config: as in `GenerateState`.
    """
    sets, names = plan.condition_sets, [branch.name for branch in branches]
    images = [conditions.image for conditions in sets if conditions.image is not None]
    # Each file once, though it may steer several sets
    used = dict.fromkeys([*(path for conditions in sets for path in conditions.files), *images])
    bar = bar_for_many(used, desc="note the conditions")
    checksums = {str(path): sha256_of(path) for path in bar}
    # Paths are texts, as JSON gives them back.
    paths = {name: [str(each.files[i]) for each in sets] for i, name in enumerate(names)}
    return {
        "primary_condition_key": names[0],
        "condition_paths": paths,
        "encoded_images": list(map(str, images)),
        "condition_checksums": checksums,
        "variation_sources": _variation_sources(used),
        "mask_paths": paths.get(MASK, []),  # the published file has it
        "condition_records": [
            {
                "condition": conditions.number,
                "files": dict(zip(names, map(str, conditions.files), strict=True)),
            }
            for conditions in sets
        ],
        "prompts": list(plan.prompts),
        "weights": dict(weights),
        "config": config,
        "has_masks": has_labels(branches),
        "copies": list(plan.copies),
        "stated_sizes": {branch.name: pixel_size_of_folder(branch.folder) for branch in branches},
        "first_batch": FIRST_BATCH,
    }


def write_state(run_dir: Path, options: Mapping, description: Mapping) -> None:
    """Write `STATE` of a run that begins now.

    Args:
        options: all, by name, with the run's seed.
        description: as `describe_run` gives it.
    """
    saved_at = datetime.now().astimezone().isoformat(timespec="seconds")
    write_json(run_dir / STATE, {"args": options, **description, "saved_at": saved_at})


def _require_same_options(
    run_dir: Path, now: Mapping, saved: Mapping, started: Mapping, free: Set[str]
) -> None:
    """Compare the options in use with those of `RECORD`, and with those of `STATE`.

    Args:
        now, saved, started: options in use, of `RECORD` and of `STATE`, by name.
    Raises:
        ValueError: one differs, and the message names it.
    """
    if changed := changed_options(now, saved, free):
        before = saved[changed[0].lstrip("-")]
        raise ValueError(
            f"{run_dir / RECORD}: the run was started with another {changed[0]} ({before}). "
            "Use that, or start a new run."
        )
    # Paths may change, as files move: the caller compares what they mean.
    paths = {name for name, value in now.items() if isinstance(value, Path)}
    may_differ = {*free, *paths, *WEIGHTS_IN_TEXTS}
    refuse_edited(run_dir / STATE, now, started, may_differ, "start a new run.")


def require_same_run(
    run_dir: Path, options: Mapping, description: Mapping, free: Set[str]
) -> tuple[int, int]:
    """Check that a run was started with these options and files.

    Args:
        options: by name; a seed of -1 stands for the run's.
        description: as `describe_run` gives it.
        free: names of options that may have changed.
    Returns:
        The run's seed, and `GenerateState.first_batch`.
    Raises:
        FileNotFoundError, ValueError: as `read_generation`; or something has changed.
    """
    record, state = read_generation(run_dir)
    saved, seed = record.options, record.args.seed
    # Options that the record lacks are newer than the run. What they change shows below.
    now = dict(options) | ({"seed": seed} if options["seed"] == -1 else {})
    _require_same_options(run_dir, now, saved, state.args, free)
    # The same options can mean other files: one is added to a folder, weights are replaced.
    for key, name in (
        ("condition_paths", "condition files"),
        ("encoded_images", "real images to begin with"),
        ("prompts", "prompts"),
        ("weights", "weights"),
        ("config", "configuration"),
    ):
        before, after = getattr(state, key), description[key]
        if before != after:
            raise ValueError(
                f"{run_dir / STATE}: the {name} are not those that the run was started with"
                f"{_difference(before, after)}. Put them back, or start a new run."
            )
    # By its ratio to --pixel_size the conditions are resampled.
    if resized := changed_sizes(state.stated_sizes, description["stated_sizes"]):
        raise ValueError(
            f"{run_dir / STATE}: since the run was started, {'; '.join(resized)}. Put back "
            f"{VOLUME} beside the conditions, or start a new run."
        )
    if state.copies and state.copies != description["copies"]:
        raise ValueError(
            f"{run_dir / STATE}: the numbers of images are not those that the run was started "
            "with. Under --resample they follow from losses, which differ between machines: go on "
            "where the run was started, or start a new run."
        )
    sums = description["condition_checksums"]
    changed = [
        path for path, digest in state.condition_checksums.items() if sums.get(path) != digest
    ]
    if changed:
        raise ValueError(
            f"{run_dir / STATE}: {len(changed)} condition files have another content than when the "
            f"run was started, such as {changed[0]}. Put them back, or start a new run."
        )
    return seed, state.first_batch


def require_same_names(run_dir: Path, plan: SamplePlan) -> None:
    """Raise ValueError where images are there that only the other numbering gives."""
    if name := plan.misnumbered(finished_images(run_dir)):
        raise ValueError(
            f"{run_dir / STATE}: first_batch {plan.first_batch} does not fit {IMAGES}/{name}. "
            f"Put back the {STATE} that the run was started with, or move the image away."
        )


def _difference(before, after) -> str:
    """The keys that differ, and the first texts that only one of two nested values has."""
    keys = {*before, *after} if isinstance(before, Mapping) else ()
    changed = sorted(key for key in keys if before.get(key) != after.get(key))
    old, new = set(_texts(before)), set(_texts(after))
    gone, added = (", ".join(sorted(part)[:3]) for part in (old - new, new - old))
    named = {"of": ", ".join(changed), "gone:": gone, "new:": added}
    parts = [f"{word} {texts}" for word, texts in named.items() if texts]
    return f" ({'; '.join(parts)})" if parts else ""


def _texts(value):
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, list):
        return [repr(value) if not isinstance(value, str) else value]
    return [text for part in value for text in _texts(part)]
