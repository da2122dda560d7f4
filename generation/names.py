"""Names in the folder of a run: which files belong to one image.

All files of an image share an ending. `images/` and `masks/` put `image_` before it, so pairs have
equal names; each folder of `conditions/` puts its own name before it.
"""

IMAGES, MASKS, CONDITIONS = "images", "masks", "conditions"
IMAGE_PREFIX = "image_"
MASK = "mask"  # branch of the published masks


def name_ending(number: int, copy: int) -> str:
    """The published ending of file names, `cond<number>_batch<copy>_sample0.png`.

    Args:
        number: of the condition set in the run.
        copy: number of the image among those of its set.
    """
    # The published code wrote one copy of a set in each batch by default, so `sample` was 0.
    return f"cond{number}_batch{copy}_sample0.png"


def image_name(ending: str) -> str:
    """Name of an image, and of its mask."""
    return IMAGE_PREFIX + ending


def condition_name(folder: str, ending: str) -> str:
    """Name of a picture in `conditions/<folder>/`."""
    return f"{folder}_{ending}"
