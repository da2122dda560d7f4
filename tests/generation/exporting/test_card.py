"""The card of a data set says what it holds, and nothing of the machine it was made on."""

import numpy as np
import pytest
from huggingface_hub import DatasetCard

from core.imaging.images import write_png
from core.imaging.labels import IGNORE, read_labels
from generation.exporting.dataset import ExportOptions, check_export, export_dataset


@pytest.mark.parametrize(("layout", "folders"), [("pairs", "`images/`"), ("nnunet", "`labelsTr/`")])
def test_a_card_of_an_export(run_dir, pairs, tmp_path, layout, folders):
    real, names = (pairs / "images", pairs / "masks"), ("background", "cell", "nucleus")
    options = ExportOptions(tmp_path / "Dataset501_x", real, layout, names, "cc-by-4.0")
    export_dataset(options, run_dir, check_export(options, 3), 3)
    card = DatasetCard.load(options.export_dataset / "README.md")
    assert card.data.license == "cc-by-4.0" and card.data.size_categories == ["n<1K"]
    assert card.data.task_categories == ["image-segmentation"]
    text = " ".join(card.text.split())
    for words in (
        "10 pairs of image and mask: 6 real, 4 generated",
        folders,
        "64 x 64 pixels",
        "Groups: 6",
        "| `2` | `nucleus` |",
        "Pixel size: not recorded",
        "## Intended use",
        "## Limits",
    ):
        assert words in text
    assert str(tmp_path) not in card.content and "ignored" not in card.content


@pytest.mark.parametrize(("layout", "label"), [("coco", 255), ("nnunet", 3)])
def test_a_card_names_the_label_of_ignored_pixels(run_dir, tmp_path, layout, label):
    mask = run_dir / "masks" / "image_cond0_batch1_sample0.png"
    labels = read_labels(mask).astype(np.uint8)
    labels[:9] = IGNORE
    write_png(mask, labels)
    options = ExportOptions(tmp_path / "Dataset501_x", None, layout)
    export_dataset(options, run_dir, [], 3)
    card = (options.export_dataset / "README.md").read_text()
    assert f"Masks mark pixels to be ignored with {label}." in card
