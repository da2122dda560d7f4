"""Lines of the manifest: the files of an image, and how it is made."""

from collections.abc import Mapping, Sequence

from core.command_line.option_sources import plain
from core.imaging.pairing import IMAGES, MASKS
from generation.names import CONDITIONS, condition_name, image_name
from generation.planning.branches import Branch, condition_folders, has_labels
from generation.planning.plan import PlannedImage

# Options that every line repeats
IMAGE_OPTIONS = (
    *("sampler", "ddim_steps", "scale", "strength", "eta"),  # what is drawn
    *("guidance_interval", "guess_mode"),
    *("joint", "precision", "compile"),  # how exactly
)
# Options that few runs have. The checksum of the grain is among the weights.
RARE_OPTIONS = ("grain", "stack")
# Options of a run with a quality gate
GATE_OPTIONS = ("min_agreement", "max_redraws", "ignore_ratio", "resample")


def image_line(
    planned: PlannedImage,
    branches: Sequence[Branch],
    options: Mapping,
    weights: Mapping[str, str],
) -> dict:
    """The line of a planned image; the paths of its files are relative to the run's folder.

    Args:
        branches: what steers the run's images.
        options: of the run, by name.
        weights: SHA-256 of the weights by the name of their branch.
    """
    image, ending = image_name(planned.ending), planned.ending
    names = [branch.name for branch in branches]
    pixel_size = branches[0].pixel_size
    gate = GATE_OPTIONS if options.get("gate_segmenter") else ()
    return {
        "image": f"{IMAGES}/{image}",
        "mask": f"{MASKS}/{image}" if has_labels(branches) else None,
        "conditions": {
            folder: f"{CONDITIONS}/{folder}/{condition_name(folder, ending)}"
            for folder in condition_folders(branches)
        },
        "sources": dict(zip(names, map(str, planned.conditions.files), strict=True)),
        "prompt": planned.prompt,
        "seed": planned.seed,
        "weights": weights,
        "pixel_size_nm": pixel_size and list(pixel_size),
        "options": {name: options[name] for name in (*IMAGE_OPTIONS, *gate)}
        | {"strengths": {branch.name: branch.strength for branch in branches}}
        | _start_of(planned)
        | plain({name: options[name] for name in RARE_OPTIONS if options.get(name)}),
    }


def _start_of(planned: PlannedImage) -> dict:
    """The real image that this one begins with, and its ratio; nothing for pure noise."""
    if planned.conditions.image is None:
        return {}
    return {
        "encode_ratio": planned.encode_ratio,
        "encoded_image": str(planned.conditions.image),
    }
