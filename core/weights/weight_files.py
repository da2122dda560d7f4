"""Names of weights files, files of safetensors, and the paths of a conversion."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open

from core.files import check_writable

WEIGHT_SUFFIXES = (".ckpt", ".pth", ".pt", ".safetensors")
# In every folder that diffusers saves: of a network, or of a pipeline of several.
DIFFUSERS_CONFIGS = ("config.json", "model_index.json")
CONVERT = "Run python utils/convert_control.py THIS NEW.safetensors and take the new file"


def check_weights_file(path: Path) -> None:
    """Check that a file of weights is there, without reading it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a folder.
    """
    if any((path / name).is_file() for name in DIFFUSERS_CONFIGS):
        raise ValueError(
            f"{path}: is a folder of diffusers, expected a file. A ControlNet can be converted. "
            f"{CONVERT}."
        )
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, expected a file of weights. Name a file in it.")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint. Check the path.")


def is_safetensors(path: Path) -> bool:
    """Tell whether a file is one of safetensors, by its content and not by its name.

    It begins with the size of its header, in 8 bytes of which the upper half is 0, and the brace
    that opens the header.

    Raises:
        FileNotFoundError: no such file.
    """
    with open(path, "rb") as file:
        return file.read(9)[4:] == b"\0\0\0\0{"


@contextmanager
def open_safetensors(path: Path, framework: str, device: str = "cpu") -> Iterator[safe_open]:
    """A file of safetensors, to read from in the block; arguments as those of `safe_open`.

    Raises:
        ValueError: it is missing or damaged, also where only the block finds that out.
    """
    try:
        with safe_open(path, framework, device) as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path}: cannot be read as safetensors ({error}). It may be truncated; "
            "download or copy it again."
        ) from error


def check_conversion(sources: Iterable[Path], output: Path) -> None:
    """Check paths of a conversion of weights before anything is read.

    Raises:
        FileNotFoundError: no such source, or no folder for the output.
        ValueError: as `check_weights_file`.
        FileExistsError: the output is there already.
        ValueError: the output's name does not end in one of `WEIGHT_SUFFIXES`.
        OSError: nothing can be written there.
    """
    for source in sources:
        check_weights_file(source)
    if output.exists():
        raise FileExistsError(f"{output} exists. Name another file or remove it.")
    if output.suffix not in WEIGHT_SUFFIXES:
        raise ValueError(f"{output}: expected a name that ends in {', '.join(WEIGHT_SUFFIXES)}")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"{output.parent}: no such folder")
    check_writable(output)
