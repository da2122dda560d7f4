"""A training from its trainer to its card; what can fail early comes first."""

from contextlib import closing
from functools import partial

from core.command_line.groups import secret_names
from core.command_line.option_sources import naming_record
from core.notices import report
from core.recording.records import write_run_record
from core.signals import stops_ignored
from training.callbacks.agreement import CountOverlap
from training.callbacks.loss_curve import LOSS_PICTURE
from training.model import build_module
from training.run import TrainingRun
from training.run_options import GROUPS


def execute(run: TrainingRun, count_overlap: CountOverlap | None) -> None:
    """Train to the end, keep the best weights and describe them.

    Args:
        count_overlap: the segmenter that drawn images are shown to; None for none.
    Raises:
        FileNotFoundError, ValueError, RuntimeError, OSError, KeyboardInterrupt: see the functions
            of `TrainingRun`.
    """
    options, resumed = run.options, run.options.resuming.resume_training
    # The trainer loads the network of the FID, whose errors should not wait for the model.
    with naming_record(resumed):
        trainer = run.build_trainer(count_overlap)
    record = partial(
        write_run_record,
        options=options.values,
        kind="training",
        secret_names=secret_names(GROUPS),
    )
    with closing(run.folder.lock):
        if run.resumed:
            run.reopen_folder(trainer)
        with naming_record(resumed):
            module = build_module(run, trainer.strategy.root_device)
        if not run.resumed:
            run.open_folder(trainer, record)
        run.fit(trainer, module)
        # In seconds all is done. A job that stopped here would be requeued, or fail, for nothing.
        with stops_ignored():
            report(f"weights: {run.keep_best(trainer)}\nlosses: {run.run_dir / LOSS_PICTURE}")
            report(f"card: {run.write_card(trainer)}")
