"""Both sides of the comparison with diffusers, in small."""

import pytest

from benchmarks import beside_diffusers
from benchmarks.beside_diffusers import CASES, PairOptions, main, measure


@pytest.mark.parametrize("side", ["ours", "diffusers"])
def test_a_side_is_measured(side, micro_yaml, monkeypatch):
    if side == "diffusers":
        pytest.importorskip("diffusers")  # req-test-cu12.txt lacks it
    monkeypatch.setattr(beside_diffusers, "DEFAULT_CONFIG", micro_yaml)
    monkeypatch.setattr(beside_diffusers, "WIDTHS", (32, 32, 32, 32))
    monkeypatch.setattr(beside_diffusers, "VAE_WIDTHS", (32, 32, 32, 32))
    monkeypatch.setattr(beside_diffusers, "SIDE", 128)
    options = PairOptions(device="cpu", precision="bf16", batch=2, train_batch=1, repeats=1)
    found = measure(side, options)
    assert set(found) == set(CASES)
    assert all(seconds > 0 and memory > 0 for seconds, memory in found.values())


def test_the_table_shows_ratios(monkeypatch, capsys):
    monkeypatch.setattr(
        beside_diffusers,
        "in_fresh_process",
        lambda _, side, options: dict.fromkeys(CASES, (1.0 if side == "ours" else 2.0, 3.0)),
    )
    main(["--device", "cpu", "--batch", "4"])
    assert "| guided step | 1 | 2 | 0.50 | 3.00 | 3.00 |" in capsys.readouterr().out
    with pytest.raises(ValueError, match="--train_batch: at most --batch"):
        main(["--device", "cpu", "--train_batch", "2"])
