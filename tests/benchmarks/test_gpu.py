"""The benchmark of GPUs, on a CPU: rows, failures, exit codes, and what it imports."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from benchmarks import gpu_cases, random_model
from benchmarks.gpu import main
from benchmarks.gpu_cases import COMPILE_SECONDS, Report, measure_all
from benchmarks.options import GpuOptions

# Packages that a bare machine may lack
MISSING = {
    "PIL", "cv2", "lightly", "matplotlib", "open_clip", "pydantic", "pytorch_lightning", "scipy",
    "skimage", "tifffile", "torchvision", "transformers", "wandb",
}  # fmt: skip


def test_a_whole_run(micro_yaml, tmp_path, capsys, caplog):
    caplog.set_level("INFO", "reports")
    output = tmp_path / "gpu.json"
    words = f"--config {micro_yaml} --device cpu --output {output} --batches 1 2 --steps 1"
    main([*words.split(), "--train_batch", "1"])
    content = json.loads(output.read_text())
    rows = [(row["what"], row["precision"], row["batch"]) for row in content["rows"]]
    assert rows == [
        ("training steps", "32", 1),
        ("training steps", "bf16", 1),
        ("images", "bf16", 1),
        ("images", "bf16", 2),
    ]
    assert all(row["rate"] > 0 and row["memory"] > 0 for row in content["rows"])
    assert all(0 < row["share"] < 10 for row in content["rows"][2:])
    assert content["error_of_prediction"] == content["error_of_gradient"] == 0
    shown = capsys.readouterr().out
    assert "without compiled networks: --compile needs a CUDA GPU" in caplog.text
    assert "| images | bf16 | no | 2 |" in shown and "- torch: " in shown


def test_cases_that_cannot_be_measured_are_rows(tmp_path):
    report = Report({"device": "a card"}, tmp_path / "a.json", seconds=60)

    def failing(error):
        def measure():
            raise error

        return measure

    report.add({"batch": 1}, 1, failing(torch.OutOfMemoryError("CUDA out of memory. Tried")))
    report.add({"batch": 2}, 1, failing(RuntimeError("DefaultCPUAllocator: can't allocate memory")))
    assert not report.has_failed
    report.add({"batch": 3}, 1, failing(RuntimeError("no kernel\nat a place")))
    report.add({"batch": 4}, 61, lambda: {"rate": 1.0})
    report.add({"batch": 5}, 1, lambda: {"rate": 12.345})
    notes = [row.get("note") for row in report.rows]
    assert notes[:2] == ["out of memory"] * 2
    assert notes[2:] == ["failed, RuntimeError: no kernel", "no time left", None]
    assert report.has_failed
    assert json.loads((tmp_path / "a.json").read_text())["rows"] == report.rows
    assert "| 5 | 12.3 |" in report.markdown() and "| out of memory |" in report.markdown()


def test_compiled_networks_come_last_and_the_batch_of_the_goal_first(monkeypatch):
    monkeypatch.setattr(gpu_cases, "check_compile", lambda wanted, device_type: None)
    calls = []
    bench = SimpleNamespace(
        options=GpuOptions(batches=(1, 16, 32)),
        device=torch.device("cuda"),
        images=lambda batch: calls.append(batch) or {},
        training=lambda precision: calls.append(precision) or {},
        prepare_drawing=lambda: calls.append("round"),
        compile=lambda: calls.append("compile"),
    )
    report = Report({}, None, seconds=COMPILE_SECONDS + 30)
    measure_all(bench, report)
    assert calls == ["32", "tf32", "bf16", "round", 1, 16, 32, "compile", 16, 1, 32]
    assert [row["compiled"] for row in report.rows] == [False] * 6 + [True] * 3
    # Without the time to compile, what was measured stays.
    calls.clear()
    report = Report({}, None, seconds=COMPILE_SECONDS - 30)
    measure_all(bench, report)
    assert [row.get("note") for row in report.rows[6:]] == ["no time left"] * 2 + [None]


@pytest.mark.parametrize(("error", "code"), [(9e-4, 0), (2e-3, 1), (float("nan"), 1)])
def test_an_error_against_the_cpu_ends_in_exit_code_1(error, code, monkeypatch, capsys):
    bench = SimpleNamespace(model=None, side=64, flops_per_image=1e12, peak=1e12)
    monkeypatch.setattr(gpu_cases, "Bench", lambda options, device: bench)
    monkeypatch.setattr(random_model, "errors_against_cpu", lambda *given: {"prediction": error})
    monkeypatch.setattr(gpu_cases, "measure_all", lambda bench, report: None)
    if code == 0:
        main(["--device", "cpu"])
        return
    with pytest.raises(SystemExit) as end:
        main(["--device", "cpu"])
    assert end.value.code == 1
    assert "prediction: differs from the CPU by more than 0.001" in capsys.readouterr().err


def test_what_is_there_is_not_overwritten(tmp_path, error_line):
    (tmp_path / "a.json").touch()
    line = error_line(main, "--output", str(tmp_path / "a.json"), "--device", "cpu")
    assert "a.json: exists already" in line


def test_a_bare_machine_can_import_it_and_build_the_model(micro_yaml):
    code = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {MISSING!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Missing())
from pathlib import Path
import benchmarks.gpu, benchmarks.gpu_cases, torch
benchmarks.gpu_cases.build_random_model(Path({str(micro_yaml)!r}), torch.device("cpu"))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_a_cpu_is_measured_only_when_asked_for(error_line):
    """Stable Diffusion 1.5 would take it hours."""
    assert "--device: cuda: torch finds no GPU" in error_line(main)
