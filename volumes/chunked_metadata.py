"""Axes and voxel sizes in the attributes of OME-Zarr (0.4 and 0.5) and of N5's dialects."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from core.imaging.pixel_size import UNKNOWN, Voxel, in_nm


class Scaled(NamedTuple):
    """Description of an array in a pyramid: a letter for each axis, and the voxel size."""

    axes: str
    voxel: Voxel


def ome_levels(attributes: Mapping[str, Any], folder: Path) -> dict[str, Scaled]:
    """Arrays of an OME-Zarr pyramid by their paths, the finest first; empty where it is none.

    COSEM's N5 has pyramids without axes. Their arrays state a `transform` instead, see `n5_voxel`.

    Args:
        attributes: of the pyramid's group.
        folder: of the group, for messages.
    Raises:
        ValueError: the description is damaged.
    """
    content = attributes.get("ome", attributes)  # since version 0.5 below "ome"
    if not isinstance(content, Mapping) or "multiscales" not in content:
        return {}
    try:
        pyramid = content["multiscales"][0]
        if "axes" not in pyramid:
            return {}
        axes, units = _axes_of(pyramid["axes"])
        shared = _scale_of(pyramid, len(axes))
        levels = {}
        for level in pyramid["datasets"]:
            scale = [a * b for a, b in zip(_scale_of(level, len(axes)), shared, strict=True)]
            sizes = {a: in_nm(s, u) for a, s, u in zip(axes, scale, units, strict=True)}
            levels[level["path"]] = Scaled(axes, tuple(sizes.get(a) for a in "zyx"))
        return levels
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{folder}: its OME-Zarr description is damaged ({error!r})") from error


def named_axes(names: object) -> str:
    """Letters of axes that Zarr 3 (`dimension_names`) or xarray (`_ARRAY_DIMENSIONS`) names.

    Nothing where a name is missing, or where they are none of volumes.
    """
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) and n for n in names):
        return ""
    letters = "".join(name[0].lower() for name in names)
    is_volume = {"y", "x"} <= {*letters} <= {*"tczyx"} and len({*letters}) == len(letters)
    return letters if is_volume else ""


def _axes_of(axes: list) -> tuple[str, list[str | None]]:
    """Letters and units of the axes; those of version 0.3 are letters alone."""
    named = [{"name": axis} if isinstance(axis, str) else axis for axis in axes]
    letters = [axis["name"].lower() for axis in named]
    # "channel" and "time" may be written out; the first letter tells them apart from z, y and x.
    return "".join(name[0] for name in letters), [axis.get("unit") for axis in named]


def _scale_of(node: Mapping, num_axes: int) -> list[float]:
    """The product of a node's scale transformations."""
    scale = [1.0] * num_axes
    for step in node.get("coordinateTransformations", ()):
        if step.get("type") == "scale" and "scale" in step:
            scale = [a * float(b) for a, b in zip(scale, step["scale"], strict=True)]
    return scale


def n5_voxel(own: Mapping[str, Any], parent: Mapping[str, Any]) -> Voxel:
    """Voxel size of an N5 array, as its own attributes or those of its pyramid state it.

    Known are `pixelResolution` (n5-ij, BigDataViewer), `transform` (COSEM) and `resolution` in nm
    (Paintera). A pyramid states the size of its finest level, its arrays their
    `downsamplingFactors`.
    """
    if (voxel := _n5_stated(own)) != UNKNOWN:
        return voxel
    voxel, factors = _n5_stated(parent), own.get("downsamplingFactors", [1, 1, 1])
    if not (isinstance(factors, list) and len(factors) == 3):
        return voxel
    return tuple(s and s * f for s, f in zip(voxel, factors[::-1], strict=True))


def _n5_stated(attributes: Mapping[str, Any]) -> Voxel:
    """Voxel size in one set of attributes."""
    try:
        if "transform" in attributes:
            stated = attributes["transform"]
            axes, units = stated["axes"], stated["units"]
            sizes = {a: in_nm(s, u) for a, s, u in zip(axes, stated["scale"], units, strict=True)}
            return tuple(sizes.get(axis) for axis in "zyx")
        stated = attributes.get("pixelResolution", attributes.get("resolution", ()))
        unit = attributes.get("units", "nm")
        if isinstance(stated, Mapping):
            stated, unit = stated["dimensions"], stated.get("unit")
        units = unit if isinstance(unit, list) else [unit] * len(stated)
        # Those of N5's own programs count from x on.
        x, y, z = (in_nm(side, unit) for side, unit in zip(stated, units, strict=True))
        return z, y, x
    except (LookupError, TypeError, ValueError):
        return UNKNOWN  # of another dialect
