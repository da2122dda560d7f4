"""The card beside weights, and the notes in them."""

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import ModelCard

from conditions import ConditionOptions, create_condition
from core.command_line.options import option
from core.files import sha256_of, write_json
from training.folder.card import weights_notes, write_model_card
from training.folder.start_record import START, fingerprint_start, read_start


@dataclass(frozen=True)
class Options:
    batch_size: int = 4
    prompts_file: Path = Path("/home/me/prompts.txt")
    key: str = option("hidden", secret=True)
    image_size: int | None = None


def test_a_card_holds_what_is_known_and_no_paths(tmp_path):
    for name in ("ini.ckpt", "EM_best_results.ckpt"):
        (tmp_path / name).write_text(name)
    write_json(tmp_path / START, fingerprint_start([tmp_path / "ini.ckpt"], {}))
    condition = create_condition("segmentation", ConditionOptions(num_classes=4))
    path = write_model_card(
        tmp_path,
        [tmp_path / "EM_best_results.ckpt"],
        condition,
        (12, 3),
        [Options()],
        {"val/loss": 0.123456789},
        None,
    )
    card = ModelCard.load(path)
    assert card.data.license == "unknown" and "controlnet" in card.data.tags
    for words in (
        "`segmentation`: 4 hint channels, classes 0 to 3",
        "12 pairs of image and condition, 3 to validate",
        sha256_of(tmp_path / "EM_best_results.ckpt"),
        f"| `ini.ckpt` | `{sha256_of(tmp_path / 'ini.ckpt')}` |",
        "| `val/loss` | `0.123457` |",
        "| `batch_size` | `4` |",
        "Not stated. State it in the block above",
    ):
        assert words in card.text
    for private in ("/home", "hidden", str(tmp_path)):
        assert private not in card.content


def test_notes_of_runs_of_older_versions(tmp_path):
    assert read_start(tmp_path) == {}
    notes = weights_notes(tmp_path, create_condition("depth"), "mit", {})
    assert notes["classes"] == "none" and notes["base_sha256"] == "" and notes["licence"] == "mit"
