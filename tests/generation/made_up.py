"""Images of runs that need no model."""

import numpy as np

from generation.drawn import Drawn
from generation.planning.inputs import read_hints


def write_image(run, k):
    """Write image k of a run as a plain grey of level k."""
    planned = run.plan[k]
    drawn = Drawn(planned, np.full((8, 8, 3), k, np.uint8), None, {})
    run.note(run.write_files(drawn, read_hints(planned.conditions, run.branches)))
