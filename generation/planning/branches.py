"""Control branches of a generation, each with its condition, weights, folder and strength.

The general form is `--branches NAME=CONDITION:DIR`. `generation/planning/published_options.py`
turns the options for masks, edge maps and RGBA tensors into branches too.
"""

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from annotator.detector import DrawMaps, edges_of_file
from conditions import CONDITIONS, Condition, ConditionOptions, Layers, create_condition
from core.command_line.options import option
from core.imaging.images import check_image
from core.imaging.known_sizes import notify_of_other_size, pixel_size_as_read, pixel_size_of_weights
from core.imaging.pixel_size import PixelSize
from core.imaging.resampling import Resampling, resampling_to
from core.weights.notes import CONDITION, read_notes

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"  # a branch names a folder, so no slash and no leading dot


@dataclass(frozen=True)
class Branch:
    """One control branch of a run.

    Attributes:
        name: of the branch in the run's files and, as a rule, of its folder in `conditions/`.
        condition: what the files hold.
        weights: file with `control_model.*`.
        folder: where the files lie.
        strength: factor of the branch's residuals beside --strength; 0 leaves it out.
        draw_edges: set where the files are real images, whose edges this function draws.
        pixel_side: in nm, to which the files are resampled as they are read; None keeps them.
    """

    name: str
    condition: Condition
    weights: Path
    folder: Path
    strength: float = 1.0
    draw_edges: DrawMaps | None = None
    pixel_side: float | None = None

    @cached_property
    def pixel_size(self) -> PixelSize | None:
        """Of the hints; None where it is unknown. Raises as `pixel_size_of_folder`."""
        return pixel_size_as_read(self.folder, self.pixel_side)

    @property
    def trained_pixel_size(self) -> PixelSize | None:
        """Of the images that the weights were trained on; None where it is unknown."""
        return pixel_size_of_weights(self.weights)

    @cached_property
    def resampling(self) -> Resampling | None:
        """Change of the files' pixel size; raises as `resampling_to`."""
        return resampling_to(self.folder, self.pixel_side)

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders in `conditions/` that the branch's pictures are stored in."""
        return self.condition.folders(self.name)

    def list_files(self) -> list[Path]:
        """The branch's files in natural order.

        Raises:
            FileNotFoundError, RuntimeError: as `Condition.list_files`.
            ValueError: a name that no record and no report can hold.
        """
        paths = self.condition.list_files(self.folder)
        for path in paths:
            try:
                str(path).encode()
            except UnicodeEncodeError as error:
                raise ValueError(
                    f"{str(path)!a}: a name that is not UTF-8. Rename it, for example with convmv."
                ) from error
        return paths

    def check_trained_condition(self) -> None:
        """Check the kind of condition that the weights were trained on, where their notes tell it.

        Raises:
            ValueError: another kind, or a damaged file.
        """
        trained = read_notes(self.weights).get(CONDITION, self.condition.name)
        if trained != self.condition.name:
            raise ValueError(
                f"{self.weights}: was trained on conditions of the kind {trained}, but branch "
                f"{self.name} shows it {self.condition.name}. Name weights for that kind, or give "
                f"conditions with --branches NAME={trained}:DIR."
            )

    def check(self, path: Path) -> tuple[int, int]:
        """(height, width) of the hint of a file, which is read in full.

        Raises as `Condition.read` and `resampling_to`.
        """
        size = check_image(path) if self.draw_edges else self.condition.check(path)
        return self.resampling.size_of(*size) if self.resampling else size

    def read_hint(self, path: Path) -> np.ndarray:
        """The hint of a file, float32 (H, W, C) in [0, 1]; raises like `Condition.read`."""
        if self.draw_edges is None:
            return self.condition.to_hint(self.condition.read(path).resampled(self.resampling))
        # The same numbers as from a stored edge map, which has 8 bits too.
        edges = edges_of_file(path, self.draw_edges, self.resampling)[..., None]  # (H, W, 1)
        edges = edges / np.float32(255)
        return self.condition.to_hint(Layers(smooth=edges, classes=edges[..., :0]))


@dataclass(frozen=True)
class BranchOptions:
    """Branches of any registered condition."""

    branches: Sequence[str] | None = option(
        None,
        nargs="+",
        metavar="NAME=CONDITION:DIR",
        help=f"branches, each with a folder of conditions of one kind: {', '.join(CONDITIONS)}",
    )
    branch_weights: Sequence[str] | None = option(
        None,
        nargs="+",
        metavar="NAME=FILE",
        help="weights of these branches; --model_weights_path where not given",
    )
    branch_strengths: Sequence[str] | None = option(
        None,
        nargs="+",
        metavar="NAME=FLOAT",
        help="factors of these branches beside --strength; 1 where not given",
    )


def check_name(name: str, source: str, reserved: Sequence[str] = ()) -> None:
    """Raise ValueError for a name that a branch cannot have.

    Args:
        source: where it was found, for the message.
        reserved: names that no branch may have.
    """
    if not re.fullmatch(NAME, name) or name in reserved:
        taken = f", and is none of {', '.join(reserved)}" if reserved else ""
        raise ValueError(f"{source}: a name is made of letters, digits, _, - and .{taken}")


def split_named(
    option: str, words: Sequence[str] | None, reserved: Sequence[str] = ()
) -> dict[str, str]:
    """`NAME=VALUE` words as a dictionary.

    Args:
        option: with dashes, for the messages.
        reserved: names that no branch may have.
    Raises:
        ValueError: a word without `=`, a name twice, or a name that is reserved or no folder name.
    """
    found = {}
    for word in words or ():
        name, equals, value = word.partition("=")  # the first one: paths may contain others
        if not (equals and value):
            raise ValueError(f"{option} {word}: expected name=value")
        check_name(name, f"{option} {word}", reserved)
        if name in found:
            # Silently, a dictionary would keep the last one only.
            raise ValueError(f"{option}: two branches are named {name}")
        found[name] = value
    return found


def refuse_unknown(option: str, named: dict, expected: Collection[str]) -> None:
    """Raise ValueError where a `NAME=VALUE` option names a branch that does not exist."""
    for name in named:
        if name not in expected:
            names = ", ".join(expected) or "nothing"
            raise ValueError(f"{option} {name}: no such branch, expected one of {names}")


def split_strengths(
    option: str, words: Sequence[str] | None, expected: Collection[str]
) -> dict[str, float]:
    """Strengths by branch from `NAME=FLOAT` words.

    Raises:
        ValueError: as `split_named`, for a branch that is not `expected`, and for no number.
    """
    strengths = {}
    for name, value in split_named(option, words).items():
        try:
            strengths[name] = float(value)
        except ValueError:
            raise ValueError(f"{option} {name}={value}: not a number") from None
        if not math.isfinite(strengths[name]):
            raise ValueError(f"{option} {name}={value}: expected a finite number")
    # A misspelt name would leave a branch at strength 1 in silence.
    refuse_unknown(option, strengths, expected)
    return strengths


def named_branches(
    options: BranchOptions, condition_options: ConditionOptions, default_weights: Path
) -> list[Branch]:
    """Branches of `--branches`, in the order in which they are given.

    Args:
        default_weights: file of the branches that `--branch_weights` does not name.
    Raises:
        ValueError: a malformed word, an unknown condition, or weights or a strength for no branch.
    """
    # No reserved names here: `--branches mask=...` may take the place of `--mask_dir`. Where both
    # are given, `check_branches` refuses the second.
    places = split_named("--branches", options.branches)  # name -> CONDITION:DIR
    weights = split_named("--branch_weights", options.branch_weights)
    refuse_unknown("--branch_weights", weights, places)
    strengths = split_strengths("--branch_strengths", options.branch_strengths, places)
    branches = []
    for name, place in places.items():
        kind, colon, folder = place.partition(":")  # the first one: paths may contain others
        if not (colon and folder):
            raise ValueError(f"--branches {name}={place}: expected NAME=CONDITION:DIR")
        if kind not in CONDITIONS:
            expected = ", ".join(CONDITIONS)
            raise ValueError(
                f"--branches {name}={place}: no condition is named {kind}, expected one of "
                f"{expected}"
            )
        branches.append(
            Branch(
                name,
                create_condition(kind, condition_options),
                Path(weights.get(name, default_weights)),
                Path(folder),
                strengths.get(name, 1.0),
            )
        )
    return branches


def check_branches(branches: Sequence[Branch]) -> None:
    """Raise ValueError where there is no branch, or where two would share a name or a folder."""
    if not branches:
        raise ValueError(
            "no condition is given: use --mask_dir, --edge_dirs, --edge_from_images, --rgba_dir "
            "or --branches"
        )
    owners = {}  # name of a branch or folder -> its branch
    for branch in branches:
        # A condition may store its pictures under other names than the branch's, as RGBA does.
        for name in {branch.name, *branch.folders}:
            if owners.setdefault(name, branch) is not branch:
                raise ValueError(
                    f"two branches are named {name}, or store their conditions under this name. "
                    "Rename one of them."
                )


def notify_of_pixel_sizes(branches: Sequence[Branch]) -> None:
    """Warn of conditions whose pixel size differs from that of the training by over a tenth."""
    for branch in branches:
        notify_of_other_size(
            branch.folder, branch.pixel_size, branch.weights, branch.trained_pixel_size
        )


def label_folders(branches: Sequence[Branch]) -> set[str]:
    """Folders in `conditions/` that hold class indices."""
    return {folder for branch in branches for folder in branch.condition.label_folders(branch.name)}


def labels_of(hints: Sequence[np.ndarray], branches: Sequence[Branch]) -> np.ndarray | None:
    """Class of each pixel, uint8 (H, W), from the first hint that carries it; None where none does.

    Args:
        hints: one for each branch, (H, W, C).
    """
    found = (branch.condition.labels(hint) for branch, hint in zip(branches, hints, strict=True))
    return next((labels for labels in found if labels is not None), None)


def has_labels(branches: Sequence[Branch]) -> bool:
    """Tell whether images get masks, because a branch carries the class of every pixel."""
    # Asked of conditions, not of their names, so that a new condition gives masks too.
    return any(branch.condition.carries_labels for branch in branches)


def condition_folders(branches: Sequence[Branch]) -> list[str]:
    """Folders in `conditions/` that the pictures of all branches are stored in."""
    return [folder for branch in branches for folder in branch.folders]
