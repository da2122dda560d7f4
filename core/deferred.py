"""Functions of modules that are loaded when the function is called.

Registries list networks with their names, options and files, which programs need for their help.
The code of the networks loads torch, which takes seconds.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Deferred:
    """A function named as `package.module:function`; calling it imports the module and calls it."""

    place: str

    def __call__(self, *args, **named) -> Any:
        module, name = self.place.split(":")
        return getattr(import_module(module), name)(*args, **named)
