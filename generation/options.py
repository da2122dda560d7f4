"""Options of what loads torch: the model, its inputs, the grain, the gate and the drawing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import config
from cldm.options import DEFAULT_CONFIG
from core.command_line.options import (
    OptionError,
    fraction,
    non_negative_int,
    option,
    positive_float,
    positive_int,
)
from core.hardware.compiling import check_compile, compile_option
from core.hardware.device_options import (
    check_precision,
    cuda_graphs_option,
    device_option,
    pick_device,
    precision_option,
)
from core.imaging.resampling import pixel_size_option


@dataclass(frozen=True)
class ModelOptions:
    """Files of the model, and where and how precisely it computes."""

    config_yaml_path: Path = option(DEFAULT_CONFIG, Path, "YAML", "model configuration")
    model_weights_path: Path = option(
        Path("./models/EM_best_results.ckpt"),
        Path,
        "FILE",
        "trained weights, .ckpt, .pth or .safetensors",
    )
    base_weights_path: Path | None = option(
        None, Path, "FILE", "Stable Diffusion weights; the first branch's file when not given"
    )
    device: str = device_option()
    precision: str = precision_option()
    compile: bool = compile_option()

    def check(self):
        """Raise ValueError for a device that is not there, or one that cannot do what is asked."""
        check_precision(self.precision, self.device_type)
        check_compile(self.compile, self.device_type)

    @property
    def device_type(self) -> str:
        """The kind of device that computes, `cpu`, `cuda` or `mps`; raises as `pick_device`."""
        return pick_device(self.device).type


@dataclass(frozen=True)
class InputOptions:
    """Treatment of conditions that are incomplete, or of a size that the model does not take."""

    skip_missing_edges: bool = option(
        False, bool, help="leave conditions out for which a branch has no file, instead of stopping"
    )
    pad: bool = option(
        False,
        bool,
        help="mirror conditions up to a size that the model takes, and crop the images back",
    )
    pixel_size: float | None = pixel_size_option("conditions")


@dataclass(frozen=True)
class GrainOptions:
    """A measured grain to add."""

    grain: Path | None = option(
        None,
        Path,
        "FILE",
        "add this grain, a file of utils/fit_grain.py; each image draws its own from its seed",
    )

    def files(self) -> dict[str, Path]:
        """The grain's file by a name for the record of a run."""
        return {} if self.grain is None else {"grain": self.grain}


@dataclass(frozen=True)
class GateOptions:
    """Decisions of a segmenter that knows real pairs about generated ones."""

    gate_segmenter: Path | None = option(
        None, Path, "FILE", "segmenter of utils/train_segmenter.py, trained on the real pairs"
    )
    min_agreement: float | None = option(
        None,
        fraction,
        "X",
        "draw images again whose mean IoU with their mask is lower; try 0.8 of what "
        "the segmenter reaches on real images",
    )
    max_redraws: int = option(
        2, non_negative_int, "INT", "redraws of an image at most; the best one is kept"
    )
    ignore_ratio: float | None = option(
        None,
        positive_float,
        "R",
        "mark pixels as 255, to be ignored, whose loss exceeds R times the mean of their class on "
        "--gate_pairs; FreeMask takes 1.25",
    )
    resample: bool = option(
        False,
        bool,
        help="draw the more images of a mask the higher --gate_segmenter's loss is on the classes "
        "that it shows, one at least",
    )
    gate_pairs: Sequence[Path] | None = option(
        None,
        Path,
        ("IMAGES", "MASKS"),
        "real pairs, whose loss --ignore_ratio and --resample compare with",
        nargs=2,
    )

    @property
    def is_on(self) -> bool:
        """Tell whether images are judged at all."""
        return self.gate_segmenter is not None

    def files(self) -> dict[str, Path]:
        """The segmenter's file by a name for the record of a run."""
        return {"gate_segmenter": self.gate_segmenter} if self.is_on else {}

    def check(self):
        """Raise OptionError where an option lacks another that it needs."""
        comparing = [name for name in ("ignore_ratio", "resample") if getattr(self, name)]
        deciding = [*comparing, *(["min_agreement"] if self.min_agreement is not None else [])]
        if self.gate_segmenter and not deciding:
            reason = "decides nothing without --min_agreement, --ignore_ratio or --resample"
            raise OptionError("gate_segmenter", reason)
        if deciding and not self.gate_segmenter:
            raise OptionError(deciding[0], "needs --gate_segmenter")
        if comparing and self.gate_pairs is None:
            raise OptionError(comparing[0], "needs --gate_pairs")
        if self.gate_pairs and not comparing:
            raise OptionError("gate_pairs", "needs --ignore_ratio or --resample")


@dataclass(frozen=True)
class DrawingOptions:
    """Options that change the speed, and no more than the last bits of an image.

    A run that began on one machine can therefore go on with other values on another.
    """

    batch_size_per_inference: int = option(
        1,
        positive_int,
        "INT",
        "images computed together; the last bits of an image can differ with it on a GPU and with "
        "--joint, else no bit does",
        free_on_resume=True,
    )
    cuda_graphs: bool = cuda_graphs_option()
    save_memory: bool = option(
        config.save_memory,
        bool,
        help="keep on the GPU only what the current phase needs: slower, but it fits small cards",
        free_on_resume=True,
    )
