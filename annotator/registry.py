"""All detectors by name. To add one, import it and name it in `DETECTORS`."""

from collections.abc import Mapping
from dataclasses import fields

from annotator import canny, membrane
from annotator.detector import EDGES, Detector
from annotator.network_detectors import HED, MIDAS, MLSD, OPENPOSE, UNIFORMER

# Scripts offer them, and show their options, in this order.
DETECTORS = {
    detector.name: detector
    for detector in (canny.DETECTOR, membrane.DETECTOR, HED, MLSD, MIDAS, OPENPOSE, UNIFORMER)
}


def edge_detectors() -> dict[str, Detector]:
    """The detectors whose maps are edge maps, by name."""
    return {name: detector for name, detector in DETECTORS.items() if detector.draws == EDGES}


def idle_options(detector: Detector, values: Mapping) -> list[str]:
    """Options of other detectors that have another value than their default.

    Args:
        detector: the one that is used.
        values: options by name, without dashes; others than those of detectors may be among them.
    """
    # An option without effect is a mistake of the user's that would stay unseen.
    return [
        field.name
        for other in DETECTORS.values()
        if other.name != detector.name
        for field in fields(other.options)
        if values.get(field.name, field.default) != field.default
    ]
