"""Conditions: the kinds of picture that a control branch is shown (Zhang et al. 2023, Sec. 3.2)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from core.command_line.options import OptionError, non_negative_float, option, positive_int
from core.imaging.images import IMAGE_SUFFIXES, list_images, to_uint8
from core.imaging.labels import IGNORE
from core.imaging.pairing import in_natural_order
from core.imaging.resampling import Resampling

if TYPE_CHECKING:  # it imports torch, and programs read their options before that
    from core.imaging.views import View

MAX_CLASSES = IGNORE  # masks are written in 8 bits, and the last number is no class
PUBLISHED_CLASSES = 3  # background, cytoplasm and nucleus (Kniesel et al. 2025)


def classes_option(help: str = "classes of the masks, which hold 0 .. INT-1") -> Any:
    """The option that says how many classes masks have; as many as in the paper by default."""
    return option(PUBLISHED_CLASSES, positive_int, "INT", help)


@dataclass(frozen=True)
class ConditionOptions:
    """Classes, channels and scales with which condition files are read.

    One object serves conditions of several kinds, so it has the options of all;
    `Condition.reads_options` names those that a kind reads.
    """

    num_classes: int = classes_option(
        "classes of the masks; a branch has one hint channel for each"
    )
    rgba_alpha_scale: float = option(
        1.0, non_negative_float, "FLOAT", "factor of the alpha (edge) channel, clipped to 1"
    )

    def check(self):
        """Raise OptionError for more classes than an 8-bit mask can name."""
        if self.num_classes > MAX_CLASSES:
            raise OptionError("num_classes", f"{self.num_classes}, expected at most {MAX_CLASSES}")


class Layers(NamedTuple):
    """A condition file as views see it, float32.

    Attributes:
        smooth: (H, W, k) in [0, 1], interpolated where a view resizes or turns it.
        classes: (H, W, m), never interpolated: class indices or class planes.
    """

    smooth: np.ndarray
    classes: np.ndarray

    def resampled(self, resampling: Resampling | None) -> "Layers":
        """The layers at another pixel size; themselves where nothing is to be done."""
        if resampling is None:
            return self
        return Layers(resampling.image(self.smooth), resampling.labels(self.classes))


class Condition:
    """One kind of condition; each is a subclass, named once in `conditions.CONDITIONS`.

    Class attributes:
        name: how commands and records name it.
        folder_option: the option, without dashes, that names its folder.
        suffixes: of its files.
        carries_labels: whether a file holds the class of every pixel, so that its image has a mask.
        allow_ignore: whether pixels may bear the label IGNORE, which is no class.
        reads_options: fields of `ConditionOptions` that change its hints.
        validation_needs_images: whether conditions for validation need images beside them.
    """

    name: ClassVar[str]
    folder_option: ClassVar[str] = "condition_path"
    suffixes: ClassVar[tuple[str, ...]] = IMAGE_SUFFIXES  # in lower case
    carries_labels: ClassVar[bool] = False
    allow_ignore: bool = False  # of an object, in masks
    reads_options: ClassVar[tuple[str, ...]] = ()
    validation_needs_images: ClassVar[bool] = True

    def __init__(self, options: ConditionOptions = ConditionOptions()):
        self.options = options

    @property
    def hint_channels(self) -> int:
        """Channels of the hint, the first convolution's input."""
        return 3  # grey conditions too: the published branches were trained on RGB pictures

    # From a file to a hint

    def list_files(self, folder: str | Path) -> list[Path]:
        """Condition files in natural order of their names.

        Raises:
            FileNotFoundError: no such folder, or nothing in it.
            RuntimeError: two files share a stem.
        """
        return in_natural_order(list_images(folder, self.suffixes))

    def read(self, path: str | Path) -> Layers:
        """A file's layers.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the file is damaged, or holds something else than this condition.
        """
        raise NotImplementedError

    def to_hint(self, layers: Layers) -> np.ndarray:
        """Layers, as read or seen by a view -> hint, float32 (H, W, `hint_channels`) in [0, 1]."""
        raise NotImplementedError

    def turn(self, hint: np.ndarray, view: "View") -> np.ndarray:
        """Adapt the values to a view that turned and mirrored the picture; as a rule they stay."""
        return hint

    def read_hint(self, path: str | Path) -> np.ndarray:
        """The hint of a whole file, (H, W, `hint_channels`) in [0, 1]; raises like `read`."""
        return self.to_hint(self.read(path))

    def check(self, path: str | Path) -> tuple[int, int]:
        """(height, width) of a file, which is read in full; raises like `read`."""
        # Both layers have the height and width of the file, even one with 0 channels, (H, W, 0):
        # most conditions lack one of the two.
        return self.read(path).classes.shape[:2]

    def counted_labels(self, layers: Layers) -> np.ndarray:
        """Class indices of the pixels that count, (N,), where the condition carries labels."""
        return self.labels(self.to_hint(layers)).ravel()

    # From a hint to pictures for people

    def folders(self, branch: str) -> tuple[str, ...]:
        """Folders that store the pictures of a branch of this name."""
        return (branch,)

    def label_folders(self, branch: str) -> tuple[str, ...]:
        """Those of `folders` whose pictures hold class indices."""
        return self.folders(branch) if self.carries_labels else ()

    def pictures(self, branch: str, hint: np.ndarray) -> dict[str, np.ndarray]:
        """Pictures that go beside an image: uint8 (H, W) or (H, W, 3) by names of `folders`."""
        raise NotImplementedError

    def labels(self, hint: np.ndarray) -> np.ndarray | None:
        """Class indices, uint8 (H, W), where the hint carries them."""
        return None

    def preview(self, hint: np.ndarray) -> np.ndarray:
        """A hint as a colour picture, uint8 (H, W, 3)."""
        return to_uint8(hint)
