"""Names of weights files, and the paths of a conversion."""

from collections.abc import Iterable
from pathlib import Path

from core.files import check_writable

WEIGHT_SUFFIXES = (".ckpt", ".pth", ".pt", ".safetensors")


def check_conversion(sources: Iterable[Path], output: Path) -> None:
    """Check paths of a conversion of weights before anything is read.

    Raises:
        FileNotFoundError: no such source, or no folder for the output.
        FileExistsError: the output is there already.
        ValueError: the output's name does not end in one of `WEIGHT_SUFFIXES`.
        OSError: nothing can be written there.
    """
    for source in sources:
        if not source.is_file():
            raise FileNotFoundError(f"{source}: no such checkpoint")
    if output.exists():
        raise FileExistsError(f"{output} exists. Name another file or remove it.")
    if output.suffix not in WEIGHT_SUFFIXES:
        raise ValueError(f"{output}: expected a name that ends in {', '.join(WEIGHT_SUFFIXES)}")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"{output.parent}: no such folder")
    check_writable(output)
