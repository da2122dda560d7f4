"""Cards as the hub reads them."""

import pytest
from huggingface_hub import DatasetCard, ModelCard

from core.cards import as_code, card_table, licence_text, size_category, write_card


@pytest.mark.parametrize("kind", [ModelCard, DatasetCard])
def test_the_hub_reads_block_and_text(kind, tmp_path):
    metadata = {"license": "cc-by-4.0", "tags": ["a: b", "#c"]}
    write_card(tmp_path / "README.md", metadata, "Cells", {"Limits": "many", "Licence": "x"})
    card = kind.load(tmp_path / "README.md")
    assert card.data.license == "cc-by-4.0" and card.data.tags == ["a: b", "#c"]
    assert card.text.strip() == "# Cells\n\n## Limits\n\nmany\n\n## Licence\n\nx"


def test_values_cannot_break_a_table():
    assert as_code("a|b`c\nd") == "`a/b'c d`"
    assert card_table(("x", "y"), [(1, "|")]) == "| x | y |\n| --- | --- |\n| `1` | `/` |"


def test_sizes_and_licences():
    sizes = [size_category(n) for n in (999, 1000, 99_999, 10**7)]
    assert sizes == ["n<1K", "1K<n<10K", "10K<n<100K", "n>1M"]
    assert licence_text("mit", "Hint.").startswith("`mit`")
    assert licence_text(None, "Hint.").startswith("Not stated.")
