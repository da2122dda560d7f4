"""The registry of conditions: adding one is a class in a file here and a line below."""

from conditions.base import Condition, ConditionOptions, Layers
from conditions.grey import Depth, Edge
from conditions.normal import Normal
from conditions.rgba import RGBA
from conditions.segmentation import Segmentation

# By name, in the order in which help texts list them.
CONDITIONS = {kind.name: kind for kind in (Segmentation, Edge, RGBA, Depth, Normal)}

__all__ = ["CONDITIONS", "Condition", "ConditionOptions", "Layers", "create_condition"]


def create_condition(name: str, options: ConditionOptions = ConditionOptions()) -> Condition:
    """The condition of this name.

    Raises:
        ValueError: no condition has this name, or it does not allow the options.
    """
    if name not in CONDITIONS:
        raise ValueError(f"condition type {name!r}, expected one of {', '.join(CONDITIONS)}")
    return CONDITIONS[name](options)
