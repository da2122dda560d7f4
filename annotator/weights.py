"""Published weights of detectors: their addresses, and their places on this machine."""

import os
from pathlib import Path

from core.fetching.downloads import WeightsFile, find_weights

CKPTS = Path(__file__).parent / "ckpts"
# Environment variable that names another folder of weights: looked in first, and downloaded to.
CKPTS_VARIABLE = "ANNOTATOR_CKPTS"
HUB = "https://huggingface.co/lllyasviel"


def published(
    name: str, folder: str = "ControlNet/resolve/main/annotator/ckpts", **known
) -> WeightsFile:
    """A file that the authors of ControlNet host.

    Args:
        folder: path in their account on the Hugging Face hub.
        known: further fields of `WeightsFile`: checksum, licence.
    """
    return WeightsFile(name, f"{HUB}/{folder}/{name}", **known)


def find_checkpoint(
    file: WeightsFile, weights: str | Path | None = None, option: str = "argument weights"
) -> Path:
    """Path of a published file.

    A file that is missing is downloaded into the first folder that was looked in.

    Args:
        weights: that file, or a folder that holds it. When not given, the folder that the
            environment variable `CKPTS_VARIABLE` names is looked in, then `CKPTS`.
        option: the script's name for `weights`, for messages.
    Raises:
        FileNotFoundError, ValueError, OSError: see `core.fetching.downloads.find_weights`.
    """
    if weights is not None and not Path(weights).is_dir():
        return find_weights(file, option, Path(weights))
    folders = [weights] if weights else [*filter(None, [os.environ.get(CKPTS_VARIABLE)]), CKPTS]
    return find_weights(file, option, folders=list(map(Path, folders)))


def further_weights(weights: str | Path | None) -> Path | None:
    """Place of a detector's further files, for `find_checkpoint`: the folder of the main file.

    Args:
        weights: of the main file, as in `find_checkpoint`.
    """
    if weights is None or Path(weights).is_dir():
        return weights
    return Path(weights).parent
