"""Packages that only some programs need, and that `req.txt` therefore leaves out."""

import importlib
from types import ModuleType


def optional_package(name: str, purpose: str, requirements: str) -> ModuleType:
    """The package of a name, imported.

    Args:
        name: of the package, or of a module in it.
        purpose: of the package, for the message: "reading MRC files".
        requirements: the file that lists it.
    Raises:
        RuntimeError: it is not installed; says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"{purpose} needs the package {name.partition('.')[0]}. "
            f"Install it: pip install -r {requirements}"
        ) from error
