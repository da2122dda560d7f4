"""The base of a control branch, told by the encoder of its U-Net.

The encoder stays locked while a branch is trained. The checksum of a file does not tell the base:
the same weights come in 16 bits too, or beside a fresh control branch. So the notes of a branch
hold some values of the encoder.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from cldm.first_values import are_same_weights, first_values
from cldm.names import UNET
from core.files import sha256_of
from core.notices import notify
from core.weights.foreign_layouts import load_original
from core.weights.notes import BASE_ENCODER, ENCODER_VALUES, STARTED_FROM, read_notes

PARTS = tuple(f"{UNET}{part}." for part in ("time_embed", "input_blocks", "middle_block"))
HASHED = 256  # values of each tensor, of which notes of older versions hold a checksum


def encoder_values(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """`first_values` of the encoder; of SD 1.5, whose encoder has 298 tensors, 3 kB.

    Args:
        tensors: by their published names.
    Returns:
        Numbers in float16, in base 64; None where there is no U-Net.
    """
    values = first_values(_encoder(tensors)).astype("<f2")
    return base64.b64encode(values.tobytes()).decode() if values.size else None


def _encoder(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of the encoder."""
    return {name: tensor for name, tensor in tensors.items() if name.startswith(PARTS)}


def encoder_mark(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """SHA-256 of values in the encoder as float16, which notes of older versions hold.

    Copies in float32 and in float16 have the same, copies in bfloat16 another.

    Args:
        tensors: by their published names.
    Returns:
        Hexadecimal digits; None where there is no U-Net.
    """
    encoder, digest = _encoder(tensors), hashlib.sha256()
    for name in sorted(encoder):
        values = encoder[name].detach().flatten()[:HASHED].to("cpu", torch.float16)
        digest.update(name.encode() + values.numpy().tobytes())
    return digest.hexdigest() if encoder else None


def notify_of_other_base(weights: Path, base: Path) -> None:
    """Warn where the notes in a file tell that its branch was trained on another base.

    Raises:
        FileNotFoundError, ValueError: as `load_original`.
    """
    notes = read_notes(weights)
    if _tells_base(notes) and _is_another(notes, load_original(base)):
        notify(
            f"{weights}: its control branch was trained on {_started_from(notes)}, but {base} is "
            "another base. tool_transfer_control.py moves a branch to another base."
        )


def refuse_other_base(weights: Path, base: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Check that a branch was trained on a base, as far as the notes in its file tell it.

    Notes of older versions hold checksums of files alone. A base is none of these files where the
    training started from a file that held the control branch too, so there is only a warning.

    Args:
        weights: file with the control branch.
        base, tensors: file of the base, and its tensors by their published names.
    Raises:
        RuntimeError: it was trained on another base.
        ValueError: a damaged file.
    """
    notes = read_notes(weights)
    if _tells_base(notes):
        if _is_another(notes, tensors):
            raise RuntimeError(
                f"{weights}: its control branch was trained on {_started_from(notes)}, but {base} "
                "is another base. Give the base of that training."
            )
    elif notes.get(STARTED_FROM) and sha256_of(base) not in notes[STARTED_FROM]:
        notify(
            f"{weights}: its training started from {_started_from(notes)}, and {base} is another "
            "file. Where its base is another one too, the moved control branch is wrong."
        )


def _tells_base(notes: Mapping[str, str]) -> bool:
    """Tell whether notes hold what an encoder can be compared with."""
    return ENCODER_VALUES in notes or BASE_ENCODER in notes


def _is_another(notes: Mapping[str, str], base: Mapping[str, torch.Tensor]) -> bool:
    """Tell whether notes are of another encoder; a file without one is for others to refuse."""
    if ENCODER_VALUES not in notes:
        return encoder_mark(base) not in (None, notes[BASE_ENCODER])
    noted = np.frombuffer(base64.b64decode(notes[ENCODER_VALUES]), "<f2").astype(np.float32)
    found = first_values(_encoder(base))
    return found.size > 0 and not are_same_weights(found, noted)


def _started_from(notes: Mapping[str, str]) -> str:
    """The files that a training started from, with the beginnings of their checksums."""
    started = notes.get(STARTED_FROM, "")
    started = re.sub(r" ([0-9a-f]{8})[0-9a-f]{56}", r" (SHA-256 \1...)", started)
    return started or "a base that its notes do not name"
