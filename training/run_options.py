"""The options of a training run, and those that a resumed run takes over."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cldm.options import SamplingOptions
from conditions import ConditionOptions
from core.command_line.groups import free_names, group, groups_of
from core.command_line.option_sources import RUN_CONTROL
from core.command_line.options import option
from core.imaging.image_options import ImageOptions
from core.recording.records import RECORD, read_record
from core.recording.run_files import LAST, can_restore
from core.sample_options import SampleOptions
from training.folder.output_options import OutputOptions
from training.options import (
    NETWORK_FLAGS,
    SAMPLING,
    SAMPLING_FLAGS,
    AgreementOptions,
    CacheOptions,
    DataOptions,
    MemoryOptions,
    OptimizationOptions,
    TrainedModelOptions,
    ValidationFidOptions,
    ValidationNetworkOptions,
)
from training.processes import ProcessOptions


@dataclass(frozen=True)
class ResumeOptions:
    """The run that goes on."""

    resume_training: Path | None = option(
        None,
        Path,
        "RUN",
        "continue a run in its folder: weights, optimizer, step and data order; "
        "takes that run's options",
        free_on_resume=True,
    )


@dataclass(frozen=True)
class TrainingOptions:
    """All options of a training, by group.

    Attributes:
        dry_run: whether to stop once the plan is shown.
        values: all of them by name, for the record of the run.
    """

    data: DataOptions = group("data")
    conditions: ConditionOptions = group("conditions")
    samples: SampleOptions = group("samples")
    cache: CacheOptions = group("cache")
    model: TrainedModelOptions = group("model")
    optimization: OptimizationOptions = group("optimization")
    processes: ProcessOptions = group("processes")
    memory: MemoryOptions = group("memory")
    validation_fid: ValidationFidOptions = group("validation FID")
    fid_sampling: SamplingOptions = group("images of the validation FID", SAMPLING_FLAGS, SAMPLING)
    fid_network: ValidationNetworkOptions = group("network of the validation FID", NETWORK_FLAGS)
    agreement: AgreementOptions = group("agreement of drawn images with their masks")
    output: OutputOptions = group("output")
    resuming: ResumeOptions = group("resuming")
    images: ImageOptions = group("image files")
    dry_run: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def read_once(self) -> dict[str, Path]:
        """The files that decide the model, the texts of every step and the scores, by option."""
        files = {
            "cldm_config_path": self.model.cldm_config_path,
            "prompts_file": self.samples.prompts_file,
            "agreement_segmenter": self.agreement.agreement_segmenter,
        }
        if self.validation_fid.enable_val_fid:
            files["fid_weights_path"] = self.fid_network.weights_path
        return {name: path for name, path in files.items() if path}

    @property
    def deciding(self) -> dict[str, Any]:
        """Options that decide the training, by name.

        Paths are left out: files may move, and their contents are compared.
        """
        return {
            name: value
            for name, value in self.values.items()
            if name not in FREE_ON_RESUME and not isinstance(value, Path)
        }

    def check(self) -> None:
        """Raise ValueError where options of different groups contradict each other."""
        needs_validation = {
            "enable_val_fid": self.validation_fid.enable_val_fid,
            "validate_every": self.optimization.validate_every,
            "patience": self.optimization.patience,
            "agreement_segmenter": self.agreement.agreement_segmenter,
        }
        for name, given in needs_validation.items():
            if given and not self.data.has_validation:
                raise ValueError(f"--{name} needs --val_image_path")
        if self.output.save_control_only and not self.model.sd_locked:
            raise ValueError(
                "--save_control_only would lose the decoder that --sd_locked false trains"
            )


GROUPS = groups_of(TrainingOptions)
# Options that a resumed run may change: they decide where, how fast and how long it trains, but not
# the weights after any given step.
FREE_ON_RESUME = {*RUN_CONTROL, *free_names(GROUPS)}


def read_saved_options(run_dir: Path, option: str) -> dict:
    """Options of the run that is to be continued, by name.

    Args:
        option: the one that names the run, for the message.
    Raises:
        FileNotFoundError: the folder lacks the record or the checkpoint to go on from.
    """
    has_record = (run_dir / RECORD).is_file()
    if not (has_record and can_restore(run_dir)):
        raise FileNotFoundError(
            f"{run_dir / (LAST if has_record else RECORD)}: not there, so {option} cannot continue "
            "the run in this folder"
        )
    return read_record(run_dir)
