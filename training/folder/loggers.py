"""Loggers of Lightning as a training uses them."""

from pathlib import Path

from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

from training.folder.output_options import OutputOptions


def csv_logger(options: OutputOptions, run_dir: Path) -> CSVLogger:
    """A logger that writes tables."""
    return CSVLogger(run_dir, name="csv", flush_logs_every_n_steps=options.log_every)


def tensorboard_logger(options: OutputOptions, run_dir: Path) -> TensorBoardLogger:
    """A logger that writes files for TensorBoard."""
    # Without a version, so a resumed run goes on in the same folder.
    return TensorBoardLogger(run_dir, name="tensorboard", version="")
