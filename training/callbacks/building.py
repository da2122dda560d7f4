"""The callbacks of a run, as its options ask for them."""

from pathlib import Path

from pytorch_lightning.callbacks import Callback, TQDMProgressBar

from core.recording.progress import Progress
from training.callbacks.agreement import CountOverlap, ValidationAgreement
from training.callbacks.checkpoints import best_checkpoints
from training.callbacks.loss_curve import LossCurve
from training.callbacks.patience import Patience
from training.callbacks.previews import TrainingPreviews
from training.callbacks.validation import build_validation_fid
from training.data.datasets import DataSets
from training.run_options import TrainingOptions


def build_callbacks(
    options: TrainingOptions, datasets: DataSets, run_dir: Path, count_overlap: CountOverlap | None
) -> list[Callback]:
    """All callbacks but the one that saves the last checkpoint, which must come behind them.

    Args:
        run_dir: folder of the run.
        count_overlap: the segmenter that drawn images are shown to; None for none.
    Raises:
        FileNotFoundError, ValueError, OSError, RuntimeError: see `build_validation_fid`.
    """
    validation, sampling = datasets.validation, options.fid_sampling
    callbacks = [
        TQDMProgressBar(),
        TrainingPreviews(
            options.output.logger_freq,
            folder=run_dir / "image_log" / "train",
            preview=datasets.train.condition.preview,
            epoch_starts=options.output.logger_epoch_starts,
        ),
        LossCurve(run_dir),
        Progress(run_dir),
    ]
    if options.validation_fid.enable_val_fid:
        groups = options.validation_fid, sampling, options.fid_network
        callbacks.append(build_validation_fid(*groups, validation, run_dir))
    if count_overlap:
        number = options.agreement.agreement_images
        callbacks.append(ValidationAgreement(validation, count_overlap, number, sampling))
    callbacks += best_checkpoints(
        run_dir,
        has_validation=validation is not None,
        monitor_fid=options.validation_fid.monitor == "val/cem_fid",
        monitor_agreement=count_overlap is not None,
        control_only=options.output.save_control_only,
    )
    if patience := options.optimization.patience:
        callbacks.append(Patience(patience))
    return callbacks
