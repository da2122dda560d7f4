"""What `generate.py` is asked to steer with: one branch for each condition, from the options that name weights, folders and strengths."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from annotator.canny import edges_of_file
from conditions import Condition as ConditionKind
from conditions import ConditionOptions, create_condition
from core.images import check_image
from generation.plan import Condition
from ldm.samplers import SAMPLERS

MODES = ("mask_only", "edge_only", "mask_and_edge", "rgba")
RESERVED = ("mask", "rgba", "rgba_mask", "rgba_edge_vis")  # folders of the other conditions
LABEL_FOLDERS = ("mask", "rgba_mask")  # in `conditions/`: of class indices
LEGACY_NAME = "edge"  # of --edge_model_path and --edge_dir, which name none
OF_DRAWN_EDGES = ("edge_detector", "canny_low", "canny_high")  # options of --edge_from_images


@dataclass(frozen=True)
class Branch:
    """One condition of a run.

    Attributes:
        key: name of the branch and of its folder in `conditions/`.
        condition: what its files hold.
        weights: file with `control_model.*`.
        folder: its condition files; real images where `canny` is set.
        strength: factor of its residuals beside --strength.
        canny: low and high threshold where edges are drawn from images on the fly.
    """

    key: str
    condition: ConditionKind
    weights: Path
    folder: Path
    strength: float = 1.0
    canny: tuple[float, float] | None = None


def split_named(option: str, words) -> dict[str, str]:
    """`name=value` words as a dictionary.

    Raises:
        ValueError: a word without `=`, a name twice, or one that is no plain folder name or is taken.
    """
    found = {}
    for word in words or ():
        name, equals, value = word.partition("=")
        if not (equals and value):
            raise ValueError(f"{option} {word}: expected name=value")
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name) or name in RESERVED:
            raise ValueError(
                f"{option} {word}: a name is made of letters, digits, _, - and ., and is none of {', '.join(RESERVED)}"
            )
        if name in found:
            raise ValueError(f"{option}: two branches are named {name}")
        found[name] = value
    return found


def _edge_options(args):
    """Weights, folders and strengths of the edge branches by name."""
    given = {}
    for option, named, single in (
        ("--edge_model_paths", args.edge_model_paths, args.edge_model_path),
        ("--edge_dirs", args.edge_dirs, args.edge_dir),
    ):
        found = split_named(option, named)
        if single:
            if LEGACY_NAME in found:
                raise ValueError(
                    f"{option}: two branches are named {LEGACY_NAME}, the name that {option.rstrip('s')} stands for"
                )
            found[LEGACY_NAME] = single
        given[option] = {name: Path(value) for name, value in found.items()}
    strengths = {}
    for name, value in split_named("--edge_strengths", args.edge_strengths).items():
        try:
            strengths[name] = float(value)
        except ValueError:
            raise ValueError(f"--edge_strengths {name}={value}: not a number") from None
    models, folders = given["--edge_model_paths"], given["--edge_dirs"]
    if args.edge_from_images:
        if LEGACY_NAME in folders:
            raise ValueError(
                f"--edge_from_images: draws the edges of branch {LEGACY_NAME}, for which a folder is given too"
            )
        folders[LEGACY_NAME] = args.edge_from_images
    return models, folders, strengths


def infer_mode(args) -> str:
    """The mode that was asked for, or the one that the given inputs amount to."""
    if args.generation_mode:
        return args.generation_mode
    edges = args.edge_dir or args.edge_dirs or args.edge_from_images
    if args.rgba_dir:
        if args.mask_dir or edges:
            raise ValueError(
                "--rgba_dir beside --mask_dir or edges: say with --generation_mode which is meant"
            )
        return "rgba"
    if args.mask_dir:
        return "mask_and_edge" if edges else "mask_only"
    if edges:
        return "edge_only"
    raise ValueError(
        "no condition is given: use --mask_dir, --edge_dirs, --edge_from_images or --rgba_dir"
    )


def find_branches(args) -> tuple[str, list[Branch]]:
    """Mode and branches, the mask's before the edges', which keep the order of their folders.

    Raises:
        ValueError: folders or weights are missing, names do not agree, or there are more classes than an RGBA tensor holds.
    """
    mode = infer_mode(args)
    models, folders, strengths = _edge_options(args)
    options, branches = ConditionOptions(args.num_classes, args.rgba_alpha_scale), []
    if mode in ("mask_only", "mask_and_edge"):
        if not args.mask_dir:
            raise ValueError(f"--mask_dir is needed for --generation_mode {mode}")
        branches.append(
            Branch(
                "mask",
                create_condition("segmentation", options),
                args.mask_model_path or args.model_weights_path,
                args.mask_dir,
                args.mask_strength,
            )
        )
    if mode in ("edge_only", "mask_and_edge"):
        if not folders:
            raise ValueError(
                f"--edge_dirs name=DIR or --edge_from_images is needed for --generation_mode {mode}"
            )
        if models.keys() != folders.keys():
            raise ValueError(
                f"--edge_model_paths names {', '.join(models) or 'nothing'}, but the edges are {', '.join(folders)}: each branch needs both"
            )
        unknown = [name for name in strengths if name not in folders]
        if unknown:
            raise ValueError(
                f"--edge_strengths {unknown[0]}: no such branch, expected one of {', '.join(folders)}"
            )
        for name, folder in folders.items():
            canny = (
                (args.canny_low, args.canny_high)
                if args.edge_from_images and name == LEGACY_NAME
                else None
            )
            branches.append(
                Branch(
                    name,
                    create_condition("edge", options),
                    models[name],
                    folder,
                    strengths.get(name, 1.0),
                    canny,
                )
            )
    if mode == "rgba":
        if not args.rgba_dir:
            raise ValueError("--rgba_dir is needed for --generation_mode rgba")
        branches.append(
            Branch(
                "rgba",
                create_condition("rgba", options),
                args.rgba_model_path or args.model_weights_path,
                args.rgba_dir,
            )
        )
    return mode, branches


def ignored_options(args, given) -> dict[str, str]:
    """Options that were given but that the run does not read, with the reason.

    Args:
        args: all options, the mode among them.
        given: the options of the command line, None where one is not on it.
    """
    mode = args.generation_mode
    uses_mask, uses_edges = (
        mode in ("mask_only", "mask_and_edge"),
        mode in ("edge_only", "mask_and_edge"),
    )
    idle = []
    if not uses_mask:
        idle += ["mask_dir", "mask_model_path", "mask_strength"]
    if not uses_edges:
        idle += [
            "edge_dir",
            "edge_dirs",
            "edge_model_path",
            "edge_model_paths",
            "edge_strengths",
            "edge_from_images",
            "skip_missing_edges",
        ]
        idle += OF_DRAWN_EDGES
    if mode == "edge_only":
        idle.append("num_classes")
    if mode != "rgba":
        idle += ["rgba_dir", "rgba_model_path", "rgba_alpha_scale"]
    reasons = dict.fromkeys(idle, f"in mode {mode}")
    if uses_edges and not args.edge_from_images:
        reasons |= dict.fromkeys(OF_DRAWN_EDGES, "without --edge_from_images")
    reasons |= dict.fromkeys(SAMPLERS[args.sampler].ignores, f"by --sampler {args.sampler}")
    return {f"--{name}": reason for name, reason in reasons.items() if name in given}


def read_condition(branch: Branch, path: Path) -> np.ndarray:
    """The hint that a file means to a branch, float32 (H, W, C) in [0, 1]."""
    if branch.canny:
        return np.repeat(edges_of_file(path, *branch.canny)[..., None] / np.float32(255), 3, axis=2)
    return branch.condition.read_hint(path)


def check_files(
    condition: Condition, branches: Sequence[Branch], args, multiple: int
) -> tuple[int, int]:
    """(height, width) of the files of a condition, all read in full.

    Args:
        multiple: what sides must be multiples of, unless `args.pad`.
    Raises:
        FileNotFoundError, ValueError: see `Condition.read`; files of unequal sizes, or of one that the model does not take.
    """
    first, sizes = condition.files[0], {}
    for branch, path in zip(branches, condition.files, strict=True):
        sizes[path] = check_image(path) if branch.canny else branch.condition.check(path)
    height, width = sizes[first]
    for path, (other_height, other_width) in sizes.items():
        if (other_height, other_width) != (height, width):
            raise ValueError(
                f"{path}: {other_width} x {other_height} pixels, but {first} has {width} x {height}"
            )
    if (height % multiple or width % multiple) and not args.pad:
        raise ValueError(
            f"{first}: {width} x {height} pixels, expected multiples of {multiple}. Resize it, or use --pad."
        )
    return height, width
