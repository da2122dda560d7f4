"""The published options for masks, edge maps and RGBA tensors, translated into branches."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from annotator.detector import DrawMaps
from annotator.registry import edge_detectors
from conditions import RGBA, ConditionOptions, Edge, Segmentation
from core.command_line.options import non_negative_float, option
from generation.names import MASK
from generation.planning.branches import (
    Branch,
    split_named,
    split_strengths,
)

# Names of branches whose options name none. They are names of published folders and files.
EDGE, RGBA_NAME = "edge", "rgba"
# Names that no edge branch may have: those of the other published branches and of their folders.
RESERVED = (MASK, RGBA_NAME, *RGBA().folders(RGBA_NAME))
# Detectors that draw edges while images are generated: those without weights. A network would need
# its place beside the model, and its files before anything else is checked.
DRAWN_ON_THE_FLY = {
    name: detector for name, detector in edge_detectors().items() if not detector.weights
}


class Inputs(NamedTuple):
    """Kinds of condition that steer a run; the options of each in `PublishedOptions` begin so."""

    mask: bool = False
    edge: bool = False
    rgba: bool = False


MODES = {
    "mask_only": Inputs(mask=True),
    "edge_only": Inputs(edge=True),
    "mask_and_edge": Inputs(mask=True, edge=True),
    "rgba": Inputs(rgba=True),
}


@dataclass(frozen=True)
class PublishedOptions:
    """Folders, weights and strengths of masks, edge maps and RGBA tensors."""

    generation_mode: str | None = option(
        None,
        choices=tuple(MODES),
        help="which of these conditions steer the model; follows from the given folders when not "
        "given",
    )
    mask_dir: Path | None = option(None, Path, "DIR", "masks of class indices")
    mask_model_path: Path | None = option(
        None, Path, "FILE", "weights of the mask branch; --model_weights_path when not given"
    )
    mask_strength: float = option(
        1.0, non_negative_float, "FLOAT", "further factor of the mask branch; 0 leaves it out"
    )
    edge_dirs: Sequence[str] | None = option(
        None,
        nargs="+",
        metavar="NAME=DIR",
        help="edge maps of each edge branch, with the masks' names",
    )
    # Texts, of which an empty one stands for none; an empty path would be this folder.
    edge_dir: str | None = option(None, metavar="DIR", help="the same as --edge_dirs edge=DIR")
    edge_model_paths: Sequence[str] | None = option(
        None, nargs="+", metavar="NAME=FILE", help="weights of the edge branches"
    )
    edge_model_path: str | None = option(
        None, metavar="FILE", help="deprecated: --edge_model_paths edge=FILE"
    )
    edge_strengths: Sequence[str] | None = option(
        None,
        nargs="+",
        metavar="NAME=FLOAT",
        help="further factors of the edge branches, 1 where not given",
    )
    edge_from_images: Path | None = option(
        None,
        Path,
        "DIR",
        "images whose edges, drawn on the fly, steer the branch named edge",
    )
    edge_detector: str = option("canny", choices=tuple(DRAWN_ON_THE_FLY), help="what draws them")
    rgba_dir: Path | None = option(None, Path, "DIR", "RGBA tensors, .npz or four-channel .png")
    rgba_model_path: Path | None = option(
        None, Path, "FILE", "weights of the RGBA branch; --model_weights_path when not given"
    )


def infer_mode(options: PublishedOptions) -> str | None:
    """The mode that was asked for, or else the one of the given folders; None without a folder.

    Raises:
        ValueError: no mode takes all the given folders.
    """
    if options.generation_mode:
        return options.generation_mode
    # The published default, mask_and_edge, failed for everybody who gave masks alone.
    # Folders decide alone: weights may be named that nothing uses.
    given = Inputs(
        mask=bool(options.mask_dir),
        edge=bool(options.edge_dir or options.edge_dirs or options.edge_from_images),
        rgba=bool(options.rgba_dir),
    )
    if not any(given):
        return None
    for mode, inputs in MODES.items():
        if inputs == given:
            return mode
    raise ValueError(
        "--rgba_dir beside --mask_dir or edges: say with --generation_mode which is meant"
    )


def published_branches(
    options: PublishedOptions,
    mode: str | None,
    condition_options: ConditionOptions,
    default_weights: Path,
    draw_edges: DrawMaps,
) -> list[Branch]:
    """Branches of a mode: the mask's before the edges', which keep the order of their folders.

    Args:
        mode: as `infer_mode` gives it.
        default_weights: file of the mask or RGBA branch where it has none of its own.
        draw_edges: what draws the edges of `--edge_from_images`.
    Raises:
        ValueError: folders or weights are missing, names do not agree, or there are more classes
            than an RGBA tensor holds.
    """
    inputs = MODES.get(mode, Inputs())  # no mode, no published branch: --branches may do alone
    branches = []
    # The mask comes first: the first branch names the images, and so decides their seeds.
    if inputs.mask:
        branches.append(
            Branch(
                MASK,
                Segmentation(condition_options),
                options.mask_model_path or default_weights,
                _needed(options.mask_dir, "--mask_dir", mode),
                options.mask_strength,
            )
        )
    if inputs.edge:
        branches += _edge_branches(options, mode, condition_options, draw_edges)
    if inputs.rgba:
        branches.append(
            Branch(
                RGBA_NAME,
                RGBA(condition_options),
                options.rgba_model_path or default_weights,
                _needed(options.rgba_dir, "--rgba_dir", mode),
            )
        )
    return branches


def _needed(value, option: str, mode: str):
    """`value`, or a ValueError where it is missing."""
    if not value:
        raise ValueError(f"{option} is needed for --generation_mode {mode}")
    return value


def _edge_branches(options, mode, condition_options, draw_edges) -> list[Branch]:
    """Branches of the edges; raises as `published_branches`."""
    weights = _with_short_form(
        "--edge_model_paths", options.edge_model_paths, options.edge_model_path
    )
    folders = _with_short_form("--edge_dirs", options.edge_dirs, options.edge_dir)
    if options.edge_from_images and EDGE in folders:
        raise ValueError(
            f"--edge_from_images: draws the edges of branch {EDGE}, for which a folder is given too"
        )
    if options.edge_from_images:
        folders[EDGE] = options.edge_from_images  # images here, where other branches have edge maps
    _needed(folders, "--edge_dirs name=DIR or --edge_from_images", mode)
    # Edges have no default weights: those of masks were trained on another condition.
    if weights.keys() != folders.keys():
        raise ValueError(
            f"--edge_model_paths names {', '.join(weights) or 'nothing'}, but the edges are "
            f"{', '.join(folders)}: each branch needs both"
        )
    strengths = split_strengths("--edge_strengths", options.edge_strengths, folders)
    drawn = EDGE if options.edge_from_images else None  # the one branch whose edges are drawn
    return [
        Branch(
            name,
            Edge(condition_options),
            weights[name],
            folder,
            strengths.get(name, 1.0),
            draw_edges if name == drawn else None,
        )
        for name, folder in folders.items()
    ]


def _with_short_form(option: str, words, single: str | None) -> dict[str, Path]:
    """Paths by branch of an option such as `--edge_dirs`, with that of `--edge_dir`."""
    # The short form came first, for one branch; commands of that time still work.
    found = split_named(option, words, RESERVED)
    # Either could win; the user decides.
    if single and EDGE in found:
        raise ValueError(
            f"{option}: two branches are named {EDGE}, the name that {option.rstrip('s')} "
            "stands for"
        )
    if single:
        found[EDGE] = single
    return {name: Path(path) for name, path in found.items()}


def unused_options(
    options: PublishedOptions, mode: str | None, branches: Sequence[Branch]
) -> dict[str, str]:
    """Options that a run does not read, without dashes, with the reason.

    Args:
        branches: all branches of the run.
    """
    inputs = MODES.get(mode, Inputs())  # without a mode, no published input is read
    unread = {kind for kind, is_read in inputs._asdict().items() if not is_read}
    names = (option.name for option in fields(PublishedOptions))
    unused = [name for name in names if name.split("_")[0] in unread]
    # Two branches of --branches can lack partners too, whatever the option is called.
    if not inputs.edge and len(branches) == 1:
        unused.append("skip_missing_edges")
    read = {name for branch in branches for name in branch.condition.reads_options}
    unused += [option.name for option in fields(ConditionOptions) if option.name not in read]
    reason = f"in mode {mode}" if mode else "with these --branches"
    return dict.fromkeys(unused, reason) | _unused_detector_options(options, inputs.edge, reason)


def _unused_detector_options(options, uses_edges: bool, reason: str) -> dict[str, str]:
    """Unused options of the detectors that draw edges on the fly; see `unused_options`."""
    draws = uses_edges and options.edge_from_images
    if uses_edges:
        reason = "without --edge_from_images"
    unused = {} if draws else {"edge_detector": reason}
    for name, detector in DRAWN_ON_THE_FLY.items():
        if draws and name == options.edge_detector:
            continue
        # Each option with the reason that the user can act on.
        other = f"by --edge_detector {options.edge_detector}"
        unused |= dict.fromkeys(detector.option_names, other if draws else reason)
    return unused
