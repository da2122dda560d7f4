"""Both sides of the comparison with diffusers, in small."""

import pytest

from benchmarks import full_size, sides
from benchmarks.beside_diffusers import main
from benchmarks.costs import Cost
from benchmarks.options import CASES, PairOptions
from benchmarks.sides import measure


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("side", ["ours", "diffusers"])
def test_a_side_is_measured(side, case, micro_yaml, monkeypatch):
    if side == "diffusers":
        pytest.importorskip("diffusers")  # req-test-cu12.txt lacks it
    monkeypatch.setattr(sides, "DEFAULT_CONFIG", micro_yaml)
    monkeypatch.setattr(sides, "WIDTHS", (32, 32, 32, 32))
    monkeypatch.setattr(sides, "VAE_WIDTHS", (32, 32, 32, 32))
    monkeypatch.setattr(sides, "SIDE", 128)
    options = PairOptions(device="cpu", batch=2, train_batch=1, repeats=1)
    cost = measure(side, case, options, "bf16")
    assert cost.seconds > 0
    assert 0 <= cost.above < cost.peak


def test_the_table_shows_ratios(monkeypatch, capsys):
    seconds = {"ours": iter([1.0, 9.0, 2.0, 3.0, 3.0, 3.0]), "diffusers": iter([4.0, 4.0, 1.0] * 2)}
    monkeypatch.setattr(
        full_size,
        "in_fresh_process",
        lambda _, side, case, options, precision: Cost(next(seconds[side]), 3.0, 0.5),
    )
    main(["--device", "cpu", "--batch", "4", "--rounds", "3", "--cases", "decoding"])
    *_, exact, rounded = capsys.readouterr().out.splitlines()
    assert exact == "| decoding | 32 | 2 | 4 | 0.50 | 3.00 | 3.00 | 0.50, 0.50 |"
    assert rounded == "| decoding | bf16 | 3 | 4 | 0.75 | 3.00 | 3.00 | 0.50, 0.50 |"
    with pytest.raises(ValueError, match="--train_batch: at most --batch"):
        main(["--device", "cpu", "--train_batch", "2"])
