"""The cases of `benchmarks/gpu.py`, and the report of what was measured."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.options import GpuOptions
from benchmarks.random_model import build_random_model, matmul_flops, random_batch
from cldm.configuration import native_size
from cldm.layer_precision import round_layers
from cldm.recorded import record_drawing, record_training, stop_recording
from cldm.sampling import sample_images
from cldm.speed import speed_up_drawing
from core import notices
from core.command_line.options import OptionError
from core.files import write_json
from core.hardware.compiling import check_compile
from core.hardware.devices import mixed_precision, peak_memory, wait_for

GOAL_BATCH = 16  # compiled first: it is the batch of the goal, 8 images/s on an H100
# Seconds that a case may take, which must be left when it begins. A second batch size compiles
# kernels for any size, so the first two cases compile.
CASE_SECONDS, COMPILE_SECONDS, COMPILING_CASES = 10, 80, 2
TIMED_STEPS = 5  # of a training, after two that warm up
COLUMNS = {
    "what": "what", "precision": "precision", "compiled": "compiled", "batch": "batch",
    "rate": "per second", "memory": "peak GiB", "share": "share of bf16 peak", "note": "note",
}  # fmt: skip


class Report:
    """Results, written after every case, so that a killed benchmark keeps what it has.

    Args:
        facts: of the machine.
        output: file of JSON; None for none.
        seconds: as the option; counted from here.
    """

    def __init__(self, facts: dict, output: Path | None, seconds: float):
        self.facts, self.output = facts, output
        self.rows: list[dict] = []
        self.end = time.monotonic() + seconds

    def add(self, case: dict, needs: float, measure: Callable[[], dict]) -> None:
        """Add the row of a case; the reason stands in its note where it could not be measured.

        Args:
            case: its first columns.
            needs: seconds that it may take.
            measure: function that returns the other columns.
        """
        found = {"note": "no time left"}
        if time.monotonic() + needs <= self.end:
            notices.report(" ".join([*map(str, case.values()), "..."]))
            found = self._measure(measure)
        self.rows.append({**case, **found})
        if self.output:
            write_json(self.output, {**self.facts, "rows": self.rows})

    def _measure(self, measure):
        try:
            return measure()
        except Exception as error:  # one case must not cost the others; the note tells
            # The second is a CPU's way to say it.
            full = isinstance(error, torch.OutOfMemoryError) or "can't allocate" in str(error)
            if full:
                return {"note": "out of memory"}
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            return {"note": f"failed, {reason[:120]}"}
        finally:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    @property
    def has_failed(self) -> bool:
        """Tell whether a case failed for another reason than memory or time."""
        return any(row.get("note", "").startswith("failed") for row in self.rows)

    def markdown(self) -> str:
        """The facts, and the rows as a table."""
        facts = [f"- {key.replace('_', ' ')}: {_text(fact)}" for key, fact in self.facts.items()]
        lines = [list(COLUMNS.values()), ["---"] * len(COLUMNS)]
        lines += [[_text(row.get(key)) for key in COLUMNS] for row in self.rows]
        return "\n".join([*facts, "", *(f"| {' | '.join(line)} |" for line in lines)])


def _text(value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def memory_of(device: torch.device, work: Callable[[], float]) -> tuple[float, float]:
    """The result of `work` and its peak memory in GiB; on a CPU that of the process so far."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    result = work()
    return result, peak_memory(device)


class Bench:
    """The model on its device, with a measurement for each kind of case."""

    def __init__(self, options: GpuOptions, device: torch.device):
        self.options, self.device = options, device
        self.model, config = build_random_model(options.config, device)
        self.side = native_size(config)
        self.peak = matmul_flops(device)  # FLOP a second
        self.flops_per_image = self._count_flops()

    def draw(self, batch: int, steps: int) -> None:
        """Draw a batch in bf16; returns when its pictures are on the host."""
        channels = self.model.control_model.hint_channels
        hints = [torch.rand(batch, channels, self.side, self.side)]
        sampling = dataclasses.replace(self.options.sampling, steps=steps)
        with mixed_precision(self.device.type, "bf16"):
            sample_images(self.model, hints, [""] * batch, list(range(batch)), sampling)

    def _count_flops(self):
        with FlopCounterMode(display=False) as counter:
            self.draw(1, self.options.steps)
        return counter.get_total_flops()

    def images(self, batch: int) -> dict:
        """Columns of a batch of images."""

        def seconds():
            self.draw(batch, 2)  # compiles, allocates, chooses kernels and records them
            start = time.perf_counter()
            self.draw(batch, self.options.steps)
            return time.perf_counter() - start

        taken, memory = memory_of(self.device, seconds)
        rate = batch / taken
        share = rate * self.flops_per_image / self.peak
        return {"rate": rate, "memory": memory, "share": share}

    def training(self, precision: str) -> dict:
        """Columns of a training on cached latents."""
        model, batch = self.model.train(), self.options.train_batch
        model.freeze_the_rest()
        optimizer = torch.optim.AdamW(model.trainable_parameters(), lr=1e-5, fused=True)
        inputs = random_batch(model, batch, self.side, self.device)
        if self.device.type == "cuda":
            record_training(model)

        def step():
            with mixed_precision(self.device.type, precision):
                losses = model.sample_losses(*inputs)  # (N,)
            losses.mean().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        def seconds():
            step(), step()
            wait_for(self.device)
            start = time.perf_counter()
            for _ in range(TIMED_STEPS):
                step()
            wait_for(self.device)
            return (time.perf_counter() - start) / TIMED_STEPS

        try:
            taken, memory = memory_of(self.device, seconds)
            return {"rate": 1 / taken, "memory": memory}
        finally:
            optimizer.zero_grad(set_to_none=True)
            model.eval().requires_grad_(True)
            stop_recording(model)  # what is recorded is of one precision

    def prepare_drawing(self) -> None:
        """Round the weights of layers to bf16; record on a GPU."""
        round_layers(self.model, torch.bfloat16)
        if self.device.type == "cuda":
            record_drawing(self.model)

    def compile(self) -> None:
        """Compile from now on what draws images, instead of recording it."""
        model = self.model
        stop_recording(model)
        speed_up_drawing(model, compiled=True, mode=self.options.compile_mode)


def measure_all(bench: Bench, report: Report) -> None:
    """Add the rows of all cases, those that compile last."""
    for precision in ("32", "tf32", "bf16"):
        if (precision, bench.device.type) == ("tf32", "cpu"):
            continue  # the same as 32 there
        case = {"what": "training steps", "precision": precision, "compiled": False}
        case["batch"] = bench.options.train_batch
        report.add(case, CASE_SECONDS, lambda p=precision: bench.training(p))
    bench.prepare_drawing()  # as `generate.py` loads them; a training does not
    images = {"what": "images", "precision": "bf16", "compiled": False}
    for batch in bench.options.batches:
        report.add({**images, "batch": batch}, CASE_SECONDS, lambda b=batch: bench.images(b))
    try:
        check_compile(True, bench.device.type)
    except OptionError as error:
        notices.report(f"without compiled networks: --compile {error.message}")
        return
    bench.compile()
    order = sorted(bench.options.batches, key=lambda batch: batch != GOAL_BATCH)
    for i, batch in enumerate(order):
        needs = COMPILE_SECONDS if i < COMPILING_CASES else CASE_SECONDS
        case = {**images, "compiled": True, "batch": batch}
        report.add(case, needs, lambda b=batch: bench.images(b))
