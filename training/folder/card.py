"""The card of a training: what its weights are, for people and for the Hugging Face hub."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from cldm.base_encoder import encoder_values
from conditions import Condition
from core.cards import (
    CARD,
    UNKNOWN_LICENCE,
    UNKNOWN_SIZE,
    card_table,
    licence_text,
    write_card,
)
from core.files import sha256_of
from core.imaging.known_sizes import pixel_size_of_training, size_note
from core.recording.records import DATA
from core.weights.notes import CONDITION, ENCODER_VALUES, STARTED_FROM
from training.folder.start_record import read_start

TAGS = ["controlnet", "electron-microscopy", "image-generation", "natural2nanoscale"]
LICENCE_HINT = (
    "Weights that were trained from Stable Diffusion are derived from it: its licence covers them "
    "too. The licence of the training images may forbid to share what was learned from them."
)
LIMITS = (
    "The branch draws what its training images showed: other samples, stains, microscopes and "
    "pixel sizes are outside of what it knows. A generated image is no measurement: nothing about "
    "a specimen follows from it. Images may follow their conditions loosely, and may resemble "
    "training images closely; both can be scored. Report sets made with it as generated."
)
USE = (
    "Meant for training segmentation networks: it draws electron micrographs for given conditions, "
    "so that few labelled images become many. Not meant for diagnosis, and not for figures that "
    "readers would take for observations."
)


def weights_notes(
    run_dir: Path,
    condition: Condition,
    licence: str | None,
    tensors: Mapping[str, torch.Tensor],
) -> dict[str, str]:
    """Texts by name with which a safetensors file describes itself.

    Args:
        tensors: of the whole model by name, its base included.
    """
    values = encoder_values(tensors)
    return {
        "format": "pt",
        CONDITION: condition.name,
        "encoding": f"{condition.hint_channels} hint channels in [0, 1]",
        "classes": str(condition.options.num_classes) if condition.carries_labels else "none",
        STARTED_FROM: ", ".join(f"{n} {digest}" for n, digest in read_start(run_dir).items()),
        **({ENCODER_VALUES: values} if values else {}),
        "licence": licence or UNKNOWN_LICENCE,
        **size_note(pixel_size_of_training(run_dir)),
    }


def shown_options(groups: Iterable[object]) -> list[tuple[str, object]]:
    """(name, value) of options that say how a training was done; no paths and no secrets."""
    rows = []
    for group in groups:
        for field in dataclasses.fields(group):
            value = getattr(group, field.name)
            private = isinstance(value, Path) or field.metadata.get("secret")
            if not private and value is not None:
                rows.append((field.name, value))
    return rows


def write_model_card(
    run_dir: Path,
    weights: Iterable[Path],
    condition: Condition,
    counts: tuple[int, int],
    options: Iterable[object],
    scores: Mapping[str, float],
    licence: str | None,
) -> Path:
    """Write `CARD` beside the weights of a run; returns its path.

    Args:
        weights: files in the run's folder that the card describes.
        counts: training pairs and validation pairs.
        options: groups of options that are listed.
        scores: of the last epoch, by name.
        licence: of the weights, as the hub names it.
    """
    files = [(path.name, path.stat().st_size, sha256_of(path)) for path in weights]
    hint = f"{condition.hint_channels} hint channels"
    labels = f", classes 0 to {condition.options.num_classes - 1}"
    data = [f"- {counts[0]} pairs of image and condition, {counts[1]} to validate"]
    if (run_dir / DATA).exists():
        data.append(f"- SHA-256 of `{DATA}`, the list of their checksums: "
                    f"`{sha256_of(run_dir / DATA)}`")  # fmt: skip
    data.append(f"- Pixel size: {pixel_size_of_training(run_dir) or UNKNOWN_SIZE}")
    sections = {
        "What it is": f"A control branch (ControlNet) that was shown conditions of the kind "
        f"`{condition.name}`: {hint}{labels if condition.carries_labels else ''}.",
        "Files": card_table(("file", "bytes", "SHA-256"), files),
        "Started from": card_table(("file", "SHA-256"), list(read_start(run_dir).items())),
        "Data": "\n".join(data),
        "Scores of the last epoch": card_table(
            ("score", "value"), [(n, f"{v:.6g}") for n, v in scores.items()]
        ),
        "Options": card_table(("option", "value"), shown_options(options)),
        "Intended use": USE,
        "Limits": LIMITS,
        "Licence": licence_text(licence, LICENCE_HINT),
    }
    metadata = {
        "license": licence or UNKNOWN_LICENCE,
        "library_name": "natural2nanoscale",
        "pipeline_tag": "image-to-image",
        "tags": TAGS,
    }
    path = run_dir / CARD
    write_card(path, metadata, f"{condition.name} to electron micrographs", sections)
    return path
