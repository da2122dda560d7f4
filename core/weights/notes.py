"""Notes: texts by name that a .safetensors file carries beside its tensors."""

from pathlib import Path

from core.weights.weight_files import is_safetensors, open_safetensors

CONDITION = "condition"  # kind of picture that a control branch was trained on
STARTED_FROM = "base_sha256"  # names and SHA-256 of the files that its training started from
ENCODER_VALUES = "base_encoder_values"  # values in the encoder of its base
BASE_ENCODER = "base_encoder"  # their checksum, in files of older versions


def read_notes(path: Path) -> dict[str, str]:
    """The notes in a file; none where it has none, is of another format or is not there.

    Raises:
        ValueError: a damaged file.
    """
    if not path.is_file() or not is_safetensors(path):
        return {}
    with open_safetensors(path, "numpy") as file:
        return file.metadata() or {}
