"""The trainer and the loop that both pre-trainings share."""

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.strategies import DDPStrategy
from torch.utils.data import DataLoader

from core.command_line.options import OptionError
from core.files import remove_leftovers
from core.hardware.bf16 import notify_of_slow_bf16
from core.imaging.images import list_images
from core.lightning import (
    WholeFileIO,
    lightning_precision,
    position,
    stop_as_interrupt,
)
from core.notices import report
from core.recording.progress import Progress
from core.weights.torch_files import load_pickle
from fid.images import sound_images
from fid.pretraining.files import EpochFiles
from fid.pretraining.options import PretrainingRunOptions
from fid.pretraining.settings import RecipeSettings
from fid.pretraining.views import SeededShard, Views, group_weights


def build_trainer(
    settings: RecipeSettings,
    files: EpochFiles,
    run: PretrainingRunOptions,
    gpu_precision: str = "32",
    sync_batchnorm: bool = False,
) -> pl.Trainer:
    """Lightning's trainer on all GPUs, or on the CPU.

    Args:
        gpu_precision: the recipe's, one of `PRECISIONS`, where `run` names none.
        sync_batchnorm: batch norms see the batches of all GPUs.
    """
    # The CPU trains in one process: more would compete for its cores.
    gpus = 0 if run.device == "cpu" else torch.cuda.device_count()
    precision = run.precision or (gpu_precision if gpus else "32")
    notify_of_slow_bf16("cuda" if gpus else "cpu", precision)
    # Sent buffers would overwrite the queues of all GPUs with the first one's (SwAV).
    strategy = DDPStrategy(broadcast_buffers=False) if gpus > 1 else "auto"
    return pl.Trainer(
        accelerator=run.device,
        devices=gpus or 1,
        strategy=strategy,
        precision=lightning_precision(precision),
        sync_batchnorm=sync_batchnorm,
        max_epochs=settings.epochs,
        use_distributed_sampler=False,  # `SeededShard` shares the images out
        log_every_n_steps=settings.print_freq,
        enable_model_summary=False,  # it would print the same ResNet each time
        logger=CSVLogger(settings.model_dir, name=settings.experiment_name),
        callbacks=[
            TQDMProgressBar(),
            Progress(settings.model_dir),
            files,
            ModelCheckpoint(
                settings.model_dir,
                "last",
                save_on_train_epoch_end=True,
                enable_version_counter=False,
            ),
        ],
        plugins=[WholeFileIO()],
    )


def train_recipe(
    trainer: pl.Trainer,
    recipe: pl.LightningModule,
    settings: RecipeSettings,
    batch_size: int,
    seed: int,
    gamma: float | None = None,
) -> None:
    """Train `recipe` on the images of `settings.data_path`.

    Args:
        recipe: has `views()`, the augmentations that make the views of an image.
        batch_size: images per process.
        seed: of order and augmentation.
        gamma: see `group_weights`; None visits every image once per epoch.
    Raises:
        FileNotFoundError, ValueError: no image, or an unreadable one.
        OptionError: fewer images than a batch.
        KeyboardInterrupt: after Ctrl-C.
    """
    paths, _ = sound_images(list_images(settings.data_path, recursive=True))
    weights = None if gamma is None else group_weights(paths, settings.data_path, gamma)
    sampler = SeededShard(len(paths), seed, weights, trainer.global_rank, trainer.world_size)
    if settings.resume:  # workers read ahead before Lightning says which epoch it is
        sampler.epoch, _ = position(load_pickle(settings.resume, "cpu"))
    if len(sampler) < batch_size:  # `drop_last` would leave no batch, and Lightning end at once
        raise OptionError(
            "changes",
            f"{settings.data_path} has {len(sampler)} images per process, fewer than a batch of "
            f"{batch_size}. Lower batch_size.",
        )
    loader = DataLoader(
        Views(paths, recipe.views()),
        batch_size,
        sampler=sampler,
        num_workers=settings.workers,
        drop_last=True,  # MoCo's queue takes whole batches
    )
    if trainer.is_global_zero:
        remove_leftovers(settings.model_dir)  # of an earlier process that was killed
        report(
            f"{len(paths)} images, {len(loader)} batches of {batch_size} an epoch, "
            f"{trainer.world_size} process(es), {settings.epochs} epochs"
        )
    with stop_as_interrupt():
        trainer.fit(recipe, loader, ckpt_path=settings.resume, weights_only=True)
