"""A training run: its folder, its trainer, and its way from start to end."""

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

from core.hardware.devices import float32_products
from core.lightning import position, read_last, wait_for_last
from core.notices import notify
from core.recording.records import DATA
from core.recording.run_files import LAST
from core.weights.torch_files import load_pickle
from training.callbacks.agreement import CountOverlap
from training.callbacks.building import build_callbacks
from training.callbacks.checkpoints import SaveLast
from training.data.batches import BatchesOfProcess, SeededBatches, ValidationBatches
from training.data.data_record import fingerprint_data
from training.data.datasets import DataSets
from training.data.loaders import build_loader
from training.folder.card import weights_notes, write_model_card
from training.folder.output_options import build_loggers
from training.folder.run_folder import RunFolder
from training.folder.start_record import START, fingerprint_start
from training.names import BEST, BESTS
from training.processes import Processes
from training.run_options import TrainingOptions
from training.step.latents import LatentCache
from training.step.module import ControlTraining
from training.trainer import build_trainer


class TrainingRun:
    """One run in its folder, new or resumed.

    Args:
        options: those of the command line, checked.
        datasets: what it is trained on and validated with.
        processes: where it runs.
        run_dir: its folder.
    Attributes:
        resumed: whether the folder holds a run that goes on.
    """

    def __init__(
        self,
        options: TrainingOptions,
        datasets: DataSets,
        processes: Processes,
        run_dir: Path,
    ):
        self.options, self.datasets, self.processes = options, datasets, processes
        self.run_dir, self.resumed = run_dir, options.resuming.resume_training is not None
        self.folder = RunFolder(run_dir)
        self.whole_batch = options.optimization.whole_batch(processes)
        self._notify_of_no_validation()
        self.save_last = SaveLast(run_dir, options.output.save_every, self.whole_batch)

    def _notify_of_no_validation(self) -> None:
        """Warn where the training ends before its first validation."""
        optimization = self.options.optimization
        steps = optimization.total_steps(len(self.datasets.train), self.processes)
        if (optimization.validate_every or 0) > steps:
            notify(
                f"--validate_every {optimization.validate_every}: the training has {steps} steps, "
                "so it never validates, and the weights that are kept are its last ones"
            )

    def build_trainer(self, count_overlap: CountOverlap | None) -> Trainer:
        """Lightning's trainer with all callbacks, the network of the validation FID included.

        Args:
            count_overlap: the segmenter that drawn images are shown to; None for none.
        Raises:
            FileNotFoundError, ValueError, OSError, RuntimeError: see `build_validation_fid`.
        """
        options = self.options
        callbacks = build_callbacks(options, self.datasets, self.run_dir, count_overlap)
        condition, licence = self.datasets.train.condition, options.output.licence
        # `SaveLast` comes last: it saves what the callbacks before it have noted of the same step.
        return build_trainer(
            options.optimization,
            self.processes,
            options.processes.precision,
            self.run_dir,
            build_loggers(options.output, self.run_dir),
            options.output.log_every,
            [*callbacks, self.save_last],
            partial(weights_notes, self.run_dir, condition, licence),
        )

    def reopen_folder(self, trainer: Trainer) -> None:
        """Make sure that the run can go on in its folder.

        Raises:
            FileNotFoundError, ValueError, RuntimeError: as `RunFolder.reopen` and
                `SaveLast.load_state_dict`.
        """
        if trainer.is_global_zero:  # the folder belongs to all processes
            self.folder.reopen(self.datasets, self.options.read_once, self.options.deciding)
        else:
            wait_for_last(self.run_dir)
        self._check_checkpoint()  # Lightning would do it after the minutes that a model takes

    def check_folder(self) -> None:
        """Check what `reopen_folder` would refuse, but for a process that trains there now.

        Nothing is written. Raises like it.
        """
        self.folder.compare(self.datasets, self.options.read_once, self.options.deciding)
        self._check_checkpoint()

    def _check_checkpoint(self) -> None:
        checkpoint, flaw = read_last(self.run_dir)
        if flaw:
            notify(f"{flaw} The training would go on from the one before.")
        states = checkpoint.get("callbacks", {})
        if self.save_last.state_key in states:
            self.save_last.load_state_dict(states[self.save_last.state_key])

    def open_folder(self, trainer: Trainer, write_record: Callable[[Path], None]) -> None:
        """Make the folder of a new run, with its records.

        Args:
            write_record: function that writes the options to a path.
        Raises:
            RuntimeError, OSError: as `RunFolder.open`.
        """
        if not trainer.is_global_zero:
            return
        first = self.options.model.resume_path, self.options.model.base_weights_path
        records = {
            DATA: fingerprint_data(self.datasets, self.options.read_once),
            START: fingerprint_start(filter(None, first), self.options.deciding),
        }
        # A job with a name may have ended before its first checkpoint.
        may_exist = self.options.output.run_id is not None
        self.folder.open(write_record, records, may_exist)

    def fit(self, trainer: Trainer, module: ControlTraining) -> None:
        """Train to the end.

        Raises:
            KeyboardInterrupt, StoppedForRequeue: the run was asked to stop. All is saved, unless
                it was asked twice.
        """
        train, validation = self._loaders(trainer, module.encoders.cache)
        last = self.run_dir / LAST if self.resumed else None
        command = ["python", "train.py", "--resume_training", str(self.run_dir)]
        with (
            self.save_last.telling_stop(f"to continue: {shlex.join(command)}"),
            float32_products(self.options.processes.precision),
        ):
            trainer.fit(module, train, validation, ckpt_path=last, weights_only=True)

    def _loaders(
        self, trainer: Trainer, cache: LatentCache
    ) -> tuple[DataLoader, DataLoader | None]:
        """Loaders of this process's parts of the batches, from the position of the run on."""
        options = self.options.optimization
        epoch = start = 0
        if self.resumed:
            # Read before Lightning restores it: workers start to read ahead at once.
            epoch, start = position(load_pickle(self.run_dir / LAST, "cpu"))
        train, validation = self.datasets
        views = self.options.samples.views_per_image
        batches = SeededBatches(len(train), self.whole_batch, options.seed, views, epoch, start)
        train_loader = self._loader(trainer, train, batches, cache)
        if not validation:
            return train_loader, None
        in_order = ValidationBatches(validation, self.whole_batch)
        return train_loader, self._loader(trainer, validation, in_order, cache)

    def _loader(self, trainer: Trainer, dataset, batches, cache: LatentCache) -> DataLoader:
        own = BatchesOfProcess(batches, trainer.global_rank, trainer.world_size, cache)
        return build_loader(dataset, own, self.options.data.num_workers, self.processes.on_gpu)

    def keep_best(self, trainer: Trainer) -> Path:
        """The file of the best weights; written now if the run was shorter than an epoch."""
        best = trainer.checkpoint_callback  # the first of `best_checkpoints`
        path = self.run_dir / f"{BEST}{best.FILE_EXTENSION}"
        if not best.best_model_path:
            trainer.save_checkpoint(path, weights_only=True)
        return path

    def write_card(self, trainer: Trainer) -> Path | None:
        """Write the card beside the weights; returns its path, None in the other processes."""
        if not trainer.is_global_zero:
            return None
        train, validation = self.datasets
        options = self.options
        return write_model_card(
            self.run_dir,
            [path for name in BESTS for path in self.run_dir.glob(f"{name}.*")],
            train.condition,
            (len(train), len(validation) if validation else 0),
            (options.optimization, options.samples, options.conditions, options.model),
            {name: float(value) for name, value in sorted(trainer.callback_metrics.items())},
            options.output.licence,
        )
