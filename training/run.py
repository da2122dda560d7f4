"""A training run: its options, its folder, and everything that is built for it."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import TQDMProgressBar
from torch.utils.data import DataLoader

from cldm.model import create_model
from cldm.sampling import SamplingOptions
from conditions import ConditionOptions
from core.cards import CARD
from core.checkpoints import load_pickle
from core.files import FileState, remove_leftovers, state_of, whole_folder, write_json
from core.lightning import LAST, PREVIOUS, position, print_once, restore_last, stop_as_interrupt
from core.notices import notify
from core.progress import PROGRESS, Progress
from core.records import DATA, RECORD, read_record
from core.run_lock import RunLock
from core.signals import StoppedForRequeue
from dataset import SampleOptions, collate
from fid.backbones.loading import CemOptions
from training.agreement import AgreementOptions, Count, ValidationAgreement
from training.batches import BatchesOfProcess, SeededBatches, ValidationBatches
from training.card import START, fingerprint_start, weights_notes, write_model_card
from training.checkpoints import BEST, BESTS, SaveLast, align_weights, best_checkpoints
from training.data import DataOptions, DataSets
from training.data_record import check_same_data, fingerprint_data
from training.frozen import FrozenEncoders
from training.latents import GB, CacheOptions, LatentCache
from training.loss_curve import LOSS_PICTURE, LossCurve
from training.module import ControlTraining, StartOptions
from training.outputs import OutputOptions, build_loggers
from training.patience import Patience
from training.previews import TrainingPreviews
from training.processes import Processes, ProcessOptions
from training.trainer import OptimizationOptions, build_trainer
from training.validation import ValidationFidOptions, build_validation_fid

# Options that a resumed run may change: they decide where, how fast and how long it trains, but not
# the weights after any given step.
FREE_ON_RESUME = {
    "resume_training", "run_id", "output_root", "options_file", "dry_run", "max_epochs",
    "max_steps", "gpus", "num_processes", "num_nodes", "num_workers", "logger", "logger_freq",
    "wandb_api_key", "max_pixels", "save_every", "log_every", "latent_memory", "validate_every",
    "patience", "licence",
}  # fmt: skip


@dataclass(frozen=True)
class TrainingOptions:
    """All groups of a training's options."""

    data: DataOptions
    conditions: ConditionOptions
    samples: SampleOptions
    cache: CacheOptions
    model: StartOptions
    optimization: OptimizationOptions
    processes: ProcessOptions
    validation_fid: ValidationFidOptions
    fid_sampling: SamplingOptions
    fid_network: CemOptions
    agreement: AgreementOptions
    output: OutputOptions

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


def read_saved_options(run_dir: Path, option: str) -> dict:
    """Options of the run that is to be continued, by name.

    Args:
        option: the one that names the run, for the message.
    Raises:
        FileNotFoundError: the folder lacks the record or the checkpoint to go on from.
    """
    missing = [name for name in (RECORD, LAST) if not (run_dir / name).is_file()]
    if missing and not (missing == [LAST] and (run_dir / PREVIOUS).is_file()):
        raise FileNotFoundError(
            f"{run_dir / missing[0]}: not there, so {option} cannot continue the run in this folder"
        )
    return read_record(run_dir)


class TrainingRun:
    """One run in its folder, new or resumed.

    Args:
        options: all of them.
        datasets: what it is trained on and validated with.
        processes: where it runs.
        run_dir: its folder.
        resumed: whether the folder holds a run that goes on.
    """

    def __init__(
        self,
        options: TrainingOptions,
        datasets: DataSets,
        processes: Processes,
        run_dir: Path,
        resumed: bool,
    ):
        self.options, self.datasets, self.processes = options, datasets, processes
        self.run_dir, self.resumed = run_dir, resumed
        self.lock = RunLock(run_dir, "training")
        self.first_weights: dict[Path, FileState | None] = {}  # files that a new run starts from
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

    def build_trainer(self, count: Count | None) -> Trainer:
        """Lightning's trainer with all callbacks, the network of the validation FID included.

        Args:
            count: the segmenter that drawn images are shown to; None for none.
        Raises:
            FileNotFoundError, ValueError, OSError, RuntimeError: see `build_validation_fid`.
        """
        options, condition = self.options, self.datasets.train.condition
        folder = self.run_dir / "image_log" / "train"
        callbacks = [
            TQDMProgressBar(),
            TrainingPreviews(options.output.logger_freq, folder=folder, preview=condition.preview),
            LossCurve(self.run_dir),
            Progress(self.run_dir),
        ]
        if options.validation_fid.enable_val_fid:
            groups = options.validation_fid, options.fid_sampling, options.fid_network
            validation = self.datasets.validation
            callbacks.append(build_validation_fid(*groups, validation, self.run_dir))
        if count:
            number, sampling = options.agreement.agreement_images, options.fid_sampling
            validation = self.datasets.validation
            callbacks.append(ValidationAgreement(validation, count, number, sampling))
        callbacks += best_checkpoints(
            self.run_dir,
            has_validation=self.datasets.validation is not None,
            monitor_fid=options.validation_fid.monitor == "val/cem_fid",
            monitor_agreement=count is not None,
            control_only=options.output.save_control_only,
        )
        if patience := options.optimization.patience:
            callbacks.append(Patience(patience))
        # `SaveLast` comes last: it saves what the callbacks before it have noted of the same step.
        return build_trainer(
            options.optimization,
            self.processes,
            options.processes.precision,
            self.run_dir,
            build_loggers(options.output, self.run_dir),
            options.output.log_every,
            [*callbacks, self.save_last],
            partial(weights_notes, self.run_dir, condition, options.output.licence),
        )

    def build_module(self) -> ControlTraining:
        """The model with the weights that the run starts or goes on from."""
        options = self.options.model
        params = {"sd_locked": options.sd_locked, "only_mid_control": options.only_mid_control}
        # Of a run that goes on, the lock guards the file.
        if not self.resumed:
            files = filter(None, (options.resume_path, options.base_weights_path))
            self.first_weights = {path: state_of(path) for path in files}
        model = create_model(
            options.cldm_config_path,
            self.run_dir / LAST if self.resumed else options.resume_path,
            self.datasets.train.condition.hint_channels,
            options.init_extra_hint,
            {"model": {"params": params}},
            base_path=None if self.resumed else options.base_weights_path,
        )
        align_weights(model)  # or a resumed run would differ in the last bits
        # Each process keeps the views that it meets; no latents travel between processes.
        cache = LatentCache(self.options.cache.latent_memory * GB, self.run_dir)
        encoders = FrozenEncoders(model, cache)
        optimization = self.options.optimization
        return ControlTraining(model, encoders, optimization.learning_rate, optimization.ema_decay)

    def reopen_folder(self, trainer: Trainer) -> None:
        """Lock the folder of a run that goes on, and make sure that it can.

        Raises:
            RuntimeError: another process trains there, or the data are not those of the run.
            FileNotFoundError, ValueError: as `restore_last`.
        """
        if not trainer.is_global_zero:  # the folder belongs to all processes
            return
        self.lock.acquire()
        remove_leftovers(self.run_dir)  # of a process that was killed while it saved
        if done := restore_last(self.run_dir):
            print_once(f"warning: {done}", file=sys.stderr)
        record = fingerprint_data(self.datasets)
        if (self.run_dir / DATA).exists():
            check_same_data(self.run_dir / DATA, record)
        else:  # a run of an older version
            write_json(self.run_dir / DATA, record)

    def open_folder(self, trainer: Trainer, write_record: Callable[[Path], None]) -> None:
        """Make and lock the folder of a new run, with its records.

        Args:
            write_record: function that writes the options to a path.
        Raises:
            RuntimeError: another process trains there.
            OSError: the folder exists, or cannot be made.
        """
        if not trainer.is_global_zero:
            return
        data, start = fingerprint_data(self.datasets), fingerprint_start(self.first_weights)
        # A job with a name may have ended before its first checkpoint.
        if not (self.options.output.run_id is not None and self.run_dir.is_dir()):
            # Made whole: a process that is killed here leaves no folder that nothing can read.
            with whole_folder(self.run_dir) as folder:
                write_record(folder / RECORD)
                write_json(folder / DATA, data)
                write_json(folder / START, start)
            self.lock.acquire()
            return
        self.lock.acquire()
        write_record(self.run_dir / RECORD)
        write_json(self.run_dir / DATA, data)
        write_json(self.run_dir / START, start)

    def fit(self, trainer: Trainer, module: ControlTraining) -> None:
        """Train to the end.

        Raises:
            KeyboardInterrupt, StoppedForRequeue: the run was asked to stop; all is saved.
        """
        train, validation = self._loaders(trainer, module.encoders.cache)
        last = self.run_dir / LAST if self.resumed else None
        try:
            with stop_as_interrupt(), self._watch_weights():
                trainer.fit(module, train, validation, ckpt_path=last, weights_only=True)
        except KeyboardInterrupt as stop:
            # Printed here, where step and folder are known, before the process ends.
            print_once(
                f"stopped at step {trainer.global_step}; "
                f"to continue: python train.py --resume_training {self.run_dir}",
                flush=True,
            )
            if self.save_last.signal_received == signal.SIGUSR1:
                raise StoppedForRequeue from stop
            raise

    @contextmanager
    def _watch_weights(self) -> Iterator[None]:
        """Warn at the end of the block where a file of the first weights was overwritten.

        Frozen tensors are mapped from it: what is written in place is what the model computes with.
        A file that takes the name of another leaves the other as it was.
        """
        try:
            yield
        finally:
            for path, before in self.first_weights.items():
                now = state_of(path)
                if before and now and now != before and now.same_file(before):
                    print_once(
                        f"warning: {path} was overwritten during the training. Unless its "
                        "content stayed the same, train again.",
                        file=sys.stderr,
                    )

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
        workers = self.options.data.num_workers
        own = BatchesOfProcess(batches, trainer.global_rank, trainer.world_size, cache)
        return DataLoader(
            dataset,
            batch_sampler=own,
            collate_fn=collate,
            num_workers=workers,
            persistent_workers=workers > 0,  # starting them anew would delay every epoch
        )

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

    def plan(self) -> str:
        """Text for people: data, steps and files of the run."""
        train, validation = self.datasets
        options, output = self.options.optimization, self.options.output
        per_epoch = options.batches_per_epoch(len(train), self.processes)
        every = options.validate_every
        best = f"{BEST}.safetensors" if output.save_control_only else f"{BEST}.ckpt"
        pairs = f"{len(train)} training and {len(validation) if validation else 0} validation pairs"
        return "\n".join(
            [
                f"{pairs}, {train.image_size} x {train.image_size} pixels, "
                f"pixel size {train.pixel_size or 'unknown'}",
                options.describe(len(train), self.processes),
                f"{per_epoch} batches per epoch, "
                f"{options.total_steps(len(train), self.processes)} optimizer steps in all"
                + (f", validation every {every} steps" if every else ""),
                f"run folder: {self.run_dir}",
                f"files: {RECORD}, {LAST} every {output.save_every} steps, {best}, {CARD}, "
                f"{LOSS_PICTURE}, {PROGRESS}, image_log/train/ every {output.logger_freq} batches, "
                f"loggers: {', '.join(output.logger_names)}",
            ]
        )
