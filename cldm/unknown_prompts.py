"""Warning of weights whose prompts are unknown: of the published ones, above all."""

from pathlib import Path

from core.notices import notify
from core.recording.records import RECORD
from core.weights.torch_files import load_pickle
from core.weights.weight_files import is_safetensors

TRAINED = "pytorch-lightning_version"  # key in the checkpoints of a training


def notify_of_unknown_prompts(weights: Path, prompts_file: Path | None) -> None:
    """Warn where another program trained a checkpoint, and no prompts are given.

    The published weights saw 37 prompts of their own, and follow other sentences less well. A
    training of this project leaves its record beside its weights.

    Raises:
        ValueError: as `load_pickle`.
    """
    elsewhere = weights.is_file() and not (weights.parent / RECORD).exists()
    if prompts_file or not elsewhere or is_safetensors(weights):
        return
    content = load_pickle(weights, "cpu")
    if isinstance(content, dict) and TRAINED in content:
        notify(
            f"{weights}: no record of its training is beside it, so its prompts are unknown. The "
            "published weights want a file with those of the published code, its dataset.py"
        )
