"""A picture on its way from the model to the folder of its run."""

from dataclasses import dataclass

import numpy as np

from generation.planning.plan import PlannedImage


@dataclass(frozen=True)
class Drawn:
    """A picture that was kept.

    Attributes:
        planned: what it was drawn from; the seed is that of the redraw.
        picture: uint8 (H, W, 3).
        ignored: pixels of its mask that do not count, bool (H, W); None for none.
        notes: what the manifest says of it beside the plan.
    """

    planned: PlannedImage
    picture: np.ndarray
    ignored: np.ndarray | None
    notes: dict
