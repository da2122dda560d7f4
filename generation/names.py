"""Names in the folder of a run: which files belong to one image.

All files of an image share an ending. `images/` and `masks/` put `image_` before it, so pairs have
equal names; each folder of `conditions/` puts its own name before it.
"""

CONDITIONS = "conditions"  # beside `IMAGES` and `MASKS` of `core.imaging.pairing`
IMAGE_PREFIX = "image_"
MASK = "mask"  # branch of the published masks
# Number in file names of the first image of a condition set
FIRST_BATCH = 1
OLDER_FIRST_BATCH = 0  # in runs of older versions


def name_ending(number: int, batch: int, sample: int = 0) -> str:
    """The published ending of file names, `cond<number>_batch<batch>_sample<sample>.png`.

    Runs put one image of a set in each batch, as the published code does by default. So names
    depend on no batch size: `batch` is the number of the image among those of its set.

    Args:
        number: of the condition set in the run, from 0.
        batch: from `FIRST_BATCH`.
        sample: of the image in its batch, from 0.
    """
    return f"cond{number}_batch{batch}_sample{sample}.png"


def image_name(ending: str) -> str:
    """Name of an image, and of its mask."""
    return IMAGE_PREFIX + ending


def condition_name(folder: str, ending: str) -> str:
    """Name of a picture in `conditions/<folder>/`."""
    return f"{folder}_{ending}"
