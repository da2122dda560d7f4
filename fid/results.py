"""Results of the scores: how they state what they rest on, are printed, compared and written."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from core.command_line.options import option
from core.files import write_json
from core.imaging.image_header import stated_bit_depth
from core.recording.records import Record
from fid.preprocessing import RESIZE_RULES
from fid.scarce import FEW_IMAGES

if TYPE_CHECKING:  # it takes seconds to load, and programs read their options before
    from fid.backbones.loading import Backbone

Interval = Annotated[list[float], Field(min_length=2, max_length=2)]
# Fields of a result that two results must share to stand in one table.
COMPARABLE = (
    "real_dir",
    "num_real",
    "backbone",
    "weights_sha256",
    "image_size",
    "resize",
    "normalization_mean",
    "normalization_std",
    "bit_depth",
)
# Value of a field in results that were made before there was such a field.
LACKING = {"bit_depth": None}


class Score(Record):
    """Fields of a result that people compare; see `fid.scoring.compare` and `fid.scarce`."""

    fid: float
    num_real: int
    num_generated: int
    real_dir: str
    gen_dir: str | None = None
    backbone: str
    image_size: int
    kid: float | None = None
    kid_std: float | None = None
    scarce: bool = False
    fid_interval: Interval | None = None
    fid_infinity: float | None = None
    floor_fid: float | None = None
    floor_size: int | None = None
    generated_fid_at_floor_size: float | None = None


class ComparableScore(Score):
    """A score with what must be equal where two stand in one table; see `COMPARABLE`."""

    weights_sha256: str
    resize: str
    normalization_mean: float | list[float]
    normalization_std: float | list[float]


@dataclass(frozen=True)
class ResultOptions:
    """File of a result, and a note in it."""

    output_json: Path = option(
        Path("fid.json"), Path, "FILE", "result; the time (UTC) is added to its name"
    )
    data_volume: str | None = option(None, None, "TEXT", "copied into the result")


def describe(backbone: "Backbone") -> dict:
    """Network and preprocessing of features, as a result states them."""
    preprocessing = backbone.preprocessing
    # As published: a number for one channel, a list for three.
    mean, std = (
        list(values) if len(values) > 1 else values[0]
        for values in (preprocessing.mean, preprocessing.std)
    )
    return {
        "backbone": backbone.name,
        "weights": backbone.weights,
        "weights_sha256": backbone.sha256,
        "image_size": preprocessing.size,
        "resize": f"{preprocessing.resize}: {RESIZE_RULES[preprocessing.resize]}",
        "normalization_mean": mean,
        "normalization_std": std,
        "bit_depth": stated_bit_depth(),
    }


def check_comparable(results: dict[str, dict]) -> None:
    """Check that results were made the same way.

    Args:
        results: by name; all are compared with the first.
    Raises:
        ValueError: two differ in one of the fields `COMPARABLE`.
        KeyError: a result lacks one of them.
    """
    for name, result in results.items():
        other, reference = next(iter(results.items()))
        for field in COMPARABLE:  # the first that differs says enough
            mine, theirs = ((LACKING | one)[field] for one in (result, reference))
            if mine != theirs:
                raise ValueError(
                    f"{name} and {other} do not belong in one table: {field} is {mine} and "
                    f"{theirs}. Score both again with the same options and real images."
                )


def summary_text(result: dict) -> str:
    """The scores of a result, a line each, with a warning where they rest on few images."""
    lines = [
        f"FID {result['fid']:.4f}  {result['num_real']} real, {result['num_generated']} generated "
        f"images, {result['backbone']}, {result['image_size']} px"
    ]
    if "kid" in result:
        error = "" if result["kid_std"] is None else f" +- {result['kid_std']:.2g}"
        size = result["kid_subset_size"]
        used = f"subsets of {size}" if size else "all images at once"
        lines.append(f"KID {result['kid']:.6f}{error}  {used}")
    for name in ("precision", "recall", "density", "coverage"):
        if result.get(name) is not None:
            lines.append(f"{name} {result[name]:.4f}")
    return "\n".join(lines + (_scarcity_lines(result) if result.get("scarce") else []))


def _scarcity_lines(result: dict) -> list[str]:
    """The worth of an FID from few images, from the fields of a `ScarceReport`."""
    n = min(result["num_real"], result["num_generated"])
    lines = [
        f"Fewer than {FEW_IMAGES} images ({n}): this FID is biased upwards and must not be "
        "compared with one from other numbers of images. Judge by KID."
    ]
    if result["fid_interval"]:
        low, high = result["fid_interval"]
        lines.append(f"  95 % interval of the FID       {low:.4f} .. {high:.4f} (bootstrap)")
    lines.append(f"  for infinitely many images     {result['fid_infinity']:.4f} (extrapolated)")
    if result["floor_fid"] is not None:
        each = f"({result['floor_size']} images each)"
        generated = result["generated_fid_at_floor_size"]
        lines += [
            f"  real against real              {result['floor_fid']:.4f} {each}",
            f"  generated against real         {generated:.4f} {each}",
        ]
    return lines


def write_result(path: Path, result: dict) -> Path:
    """Write a result as JSON under `path` with the result's time in its name.

    Returns:
        The file's path. No earlier result is overwritten: a number is added to its name instead.
    """
    # The result's own time, not the clock's: name and content agree.
    time = datetime.fromisoformat(result["timestamp_utc"])
    stamped = first = path.with_stem(f"{path.stem}_{time:%Y%m%d_%H%M}")
    number = 1
    while stamped.exists():  # the name has minutes only
        number += 1
        stamped = first.with_stem(f"{first.stem}_{number}")
    write_json(stamped, result)
    return stamped
