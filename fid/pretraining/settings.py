"""Settings of the pre-trainings: a YAML file and changes to it, with keys and types checked."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import yaml
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from core.yaml_files import read_yaml, to_plain

ALIASES = {  # the two published configurations have other names for these keys
    "data_file": "data_path",
    "model_path": "model_dir",
}
# Keys of the published configurations that Lightning or the command line settles here.
UNUSED = {
    "world_size",
    "rank",
    "dist_url",
    "dist_backend",
    "multiprocessing_distributed",
    "logging",
    "gpu",
    "seed",
}


@dataclass
class RecipeSettings:
    """The keys that both recipes have; the YAML files beside the recipes say what they mean."""

    experiment_name: str = MISSING
    data_path: Path = MISSING
    model_dir: Path = MISSING
    arch: str = MISSING
    workers: int = MISSING
    epochs: int = MISSING
    print_freq: int = MISSING
    batch_size: int = MISSING
    resume: Path | None = MISSING
    norms: list[float] = MISSING

    def check(self) -> None:
        """Raise ValueError where values do not go together."""
        if self.arch != "resnet50":
            raise ValueError(
                f"arch is {self.arch}, expected resnet50, the network of the CEM backbones"
            )
        if len(self.norms) != 2 or self.norms[1] <= 0:
            raise ValueError(
                f"norms is {self.norms}, expected mean and standard deviation in [0, 1] units"
            )


AnySettings = TypeVar("AnySettings", bound=RecipeSettings)


def find_config(path: Path, folder: Path) -> Path:
    """`path`, or the file of that bare name in `folder` where the present folder has none.

    The published commands name the configuration alone, although it lies beside the script.
    """
    beside = folder / path
    return beside if path.name == str(path) and not path.exists() and beside.exists() else path


def read_settings(kind: type[AnySettings], path: Path, changes: Sequence[str] = ()) -> AnySettings:
    """The settings of a recipe from a YAML file, checked.

    Args:
        kind: dataclass that names the recipe's keys and their types.
        changes: texts `key=value` that replace values of the file; the value is YAML.
    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no YAML mapping; a key is missing or unknown; a value has another
            type or does not go together with the others.
    """
    # Plain values: the keys change names before OmegaConf checks them.
    content = to_plain(read_yaml(path))
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected one `key: value` per line")
    content = {ALIASES.get(key, key): value for key, value in content.items() if key not in UNUSED}
    if content.get("resume") == "":  # as published, for None
        content["resume"] = None
    if isinstance(content.get("norms"), dict):  # named numbers: mean, then standard deviation
        content["norms"] = list(content["norms"].values())
    settings = _merged(OmegaConf.structured(kind), content, f"{path}: ")
    for change in changes:  # one by one, so that a message can name the wrong one
        settings = _merged(settings, _parsed(change), "--set ")
    try:
        return _complete(settings)
    except (OmegaConfBaseException, ValueError) as error:
        raise ValueError(f"{path}: {str(error).splitlines()[0]}") from error


def _complete(settings):
    """The object of the dataclass, checked; raises ValueError or OmegaConf's errors."""
    missing = OmegaConf.missing_keys(settings)
    if missing:
        # The first in the file's order, whatever order OmegaConf reports.
        in_order = [field.name for field in fields(OmegaConf.get_type(settings))]
        raise ValueError(f"{min(missing, key=in_order.index)} is missing")
    complete = OmegaConf.to_object(settings)
    complete.check()
    return complete


def _parsed(change: str) -> dict:
    """`key=value` as {key: value}."""
    if "=" not in change:
        raise ValueError(f"--set {change}: expected key=value")
    try:
        return to_plain(OmegaConf.from_dotlist([change]))
    except (yaml.YAMLError, ValueError, OmegaConfBaseException) as error:
        reason = "the value is no YAML" if isinstance(error, yaml.YAMLError) else error
        raise ValueError(f"--set {change}: {reason}") from error


def _merged(settings, values: dict, source: str):
    """`settings` with `values` in place of its own; errors begin with `source`."""
    known = {field.name for field in fields(OmegaConf.get_type(settings))}
    for key in values:
        if key not in known:
            raise ValueError(f"{source}{key}: not a key of this recipe")
    try:
        return OmegaConf.merge(settings, values)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]  # the others name OmegaConf's classes
        raise ValueError(f"{source}{error.full_key}: {reason}") from error
