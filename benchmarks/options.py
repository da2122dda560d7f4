"""Options of the benchmarks whose cases stand in a file of their own."""

from dataclasses import dataclass
from pathlib import Path

from cldm.options import DEFAULT_CONFIG, SamplingOptions
from core.command_line.options import OptionError, option, positive_float, positive_int
from core.files import refuse_existing
from core.hardware.compiling import MODE, MODES, check_compile, compile_option
from core.hardware.device_options import device_option, pick_device

CASES = "guided step", "decoding", "training step"  # of the comparison with diffusers


@dataclass(frozen=True)
class GpuOptions:
    """Cases to measure, and the time for them."""

    config: Path = option(DEFAULT_CONFIG, Path, "YAML", "model configuration")
    device: str = device_option("cuda")
    output: Path | None = option(None, Path, "FILE", "write the results as JSON; none if not given")
    batches: tuple[int, ...] = option(
        (1, 4, 8, 16, 32), positive_int, "INT", "images drawn together", nargs="+"
    )
    train_batch: int = option(4, positive_int, "INT", "images per training step")
    steps: int = option(20, positive_int, "INT", "sampling steps of DPM-Solver++, with guidance")
    compile_mode: str = option(MODE, help="mode of torch.compile", choices=MODES)
    seconds: float = option(270.0, positive_float, "FLOAT", "no case begins that would end later")

    def check(self):
        """Raise OptionError or OSError for a device, a number of steps or an output to refuse."""
        pick_device(self.device)
        self.sampling.check()
        if self.output:
            refuse_existing(self.output, overwrite=False)

    @property
    def sampling(self) -> SamplingOptions:
        """DPM-Solver++ on whole batches, both halves of the guidance in one pass."""
        return SamplingOptions(sampler="dpmpp", steps=self.steps, joint=True)


@dataclass(frozen=True)
class PairOptions:
    """Device, precision and sizes, of both sides."""

    device: str = device_option()
    precision: tuple[str, ...] = option(
        ("32", "bf16"), help="of the products, by turns", nargs="+", choices=("32", "bf16")
    )
    batch: int = option(1, positive_int, "INT", "images drawn together")
    train_batch: int = option(1, positive_int, "INT", "images per training step")
    repeats: int = option(3, positive_int, "INT", "timed calls of each case in a round")
    rounds: int = option(1, positive_int, "INT", "times that all is measured")
    cases: tuple[str, ...] = option(CASES, help="what to measure", nargs="+", choices=CASES)
    compile: bool = compile_option()

    def check(self):
        """Raise OptionError for a device that is not there or cannot compile."""
        check_compile(self.compile, pick_device(self.device).type)
        if self.train_batch > self.batch:
            raise OptionError("train_batch", f"at most --batch, which is {self.batch}")
