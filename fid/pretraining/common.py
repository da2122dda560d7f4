"""What both pre-trainings share: configuration, views of images, order of samples, checkpoints, the trainer's set-up."""

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.strategies import DDPStrategy
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

from core.checkpoints import load_pickle
from core.files import remove_leftovers, whole_file
from core.images import list_images, read_grey
from core.lightning import LAST, WholeFileIO, position
from core.lightning import PRECISIONS as LIGHTNING_PRECISIONS
from core.options import non_negative_int
from core.progress import Progress
from core.seeds import sample_seed
from fid.images import sound_images

ALIASES = {
    "data_file": "data_path",
    "model_path": "model_dir",
}  # the published configurations disagree
SHARED_KEYS = (
    "experiment_name",
    "data_path",
    "model_dir",
    "arch",
    "workers",
    "epochs",
    "print_freq",
    "batch_size",
    "resume",
    "norms",
)
OF_OTHER_LAUNCHERS = (  # keys of the published configurations that Lightning or this code settles
    "world_size", "rank", "dist_url", "dist_backend", "multiprocessing_distributed", "logging", "gpu",
)  # fmt: skip


def read_config(path: Path, changes: Sequence[str] = ()) -> dict:
    """A flat YAML configuration; `changes` are `key=value` texts that override it.

    Raises:
        FileNotFoundError, ValueError: no such file, not a mapping, or an unknown key in `changes`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such configuration file")
    try:
        config = yaml.safe_load(path.read_text())
        overrides = {
            key: yaml.safe_load(value)
            for key, _, value in (change.partition("=") for change in changes)
        }
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path}: expected one `key: value` per line")
    unknown = [key for key in overrides if key not in config]
    if unknown:
        raise ValueError(f"--set {unknown[0]}: not a key of {path}; there are {', '.join(config)}")
    return config | overrides


class Settings(argparse.Namespace):
    """A configuration with the keys of a recipe as attributes.

    Raises:
        ValueError: a key is missing or unknown.
    """

    def __init__(self, config: dict, needed: Sequence[str], path: Path):
        config = {
            ALIASES.get(key, key): value
            for key, value in config.items()
            if key not in OF_OTHER_LAUNCHERS
        }
        missing, unknown = (
            [key for key in needed if key not in config],
            [key for key in config if key not in needed],
        )
        if missing or unknown:
            raise ValueError(
                f"{path}: {f'{missing[0]} is missing' if missing else f'{unknown[0]} is not a key of this recipe'}"
            )
        if config["arch"] != "resnet50":
            raise ValueError(
                f"{path}: arch is {config['arch']}, expected resnet50, the network that compute_cem_fid.py reads"
            )
        super().__init__(**config)


class GaussianNoise(torch.nn.Module):
    """Adds noise whose variance is drawn log-uniformly from 1e-5 to 1e-4; keeps (1, H, W) in [0, 1]."""

    def forward(self, x):
        variance = 10 ** torch.empty(()).uniform_(-5, -4)
        return (x + variance.sqrt() * torch.randn_like(x)).clamp(0, 1)


class GaussianBlur(torch.nn.Module):
    """Blurs (1, H, W) with a deviation drawn from 0.1 to 2 pixels."""

    def forward(self, x):
        sigma = float(torch.empty(()).uniform_(0.1, 2))
        return TF.gaussian_blur(x, kernel_size=2 * int(3 * sigma + 1) + 1, sigma=sigma)


def view(size: int, smallest: float, largest: float, mean: float, std: float) -> v2.Compose:
    """The published augmentation of a grey image, (1, H, W) in [0, 1] -> normalised (1, size, size).

    Args:
        smallest, largest: share of the image's area that a crop takes.
    The published chain jitters hue and saturation of three equal channels, which does nothing; here are its other parts.
    """
    return v2.Compose([
        v2.RandomApply([v2.RandomRotation(180, v2.InterpolationMode.BILINEAR)], p=0.5),
        v2.RandomResizedCrop(size, (smallest, largest), antialias=True),
        v2.ColorJitter(brightness=0.4, contrast=0.4),
        v2.RandomApply([GaussianBlur()], p=0.5),
        v2.RandomHorizontalFlip(),
        v2.RandomVerticalFlip(),
        v2.RandomApply([GaussianNoise()], p=0.5),
        v2.Normalize([mean], [std]),
    ])  # fmt: skip


class Views(Dataset):
    """Several views of each image: `dataset[index, seed]` is a list of tensors (1, size, size) that depends on index and seed alone."""

    def __init__(self, paths: Sequence[Path], views: Sequence[v2.Compose]):
        self.paths, self.views = paths, views

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, item):
        index, seed = item
        grey = torch.from_numpy(read_grey(self.paths[index]))[None]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return [view(grey) for view in self.views]


class SeededShard(Sampler):
    """(index, seed) of one process's share of each epoch; order, choice and seeds follow from the run's seed and the epoch.

    Args:
        weights: None visits every image once; otherwise images are drawn with these probabilities, with replacement.
        shard, shards: which process of how many; all get equally many.
    """

    def __init__(
        self,
        length: int,
        seed: int,
        weights: torch.Tensor | None = None,
        shard: int = 0,
        shards: int = 1,
    ):
        self.length, self.seed, self.weights, self.shard, self.shards = (
            length,
            seed,
            weights,
            shard,
            shards,
        )
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this as an epoch begins."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length // self.shards

    def __iter__(self) -> Iterator[tuple[int, int]]:
        name = f"epoch {self.epoch}"
        generator = torch.Generator().manual_seed(sample_seed(self.seed, name, -1))
        if self.weights is None:
            order = torch.randperm(self.length, generator=generator)
        else:
            order = torch.multinomial(
                self.weights, self.length, replacement=True, generator=generator
            )
        for place in range(self.shard, len(self) * self.shards, self.shards):
            yield int(order[place]), sample_seed(self.seed, name, place)


def group_weights(paths: Sequence[Path], root: Path, gamma: float) -> torch.Tensor:
    """Probability of each image: sub-folders of `root` count as (1 / images in it) ** gamma per image; sums to 1."""
    groups = [
        path.relative_to(root).parts[0] if len(path.relative_to(root).parts) > 1 else ""
        for path in paths
    ]
    counts = Counter(groups)
    weights = torch.tensor([counts[group] ** -gamma for group in groups], dtype=torch.float64)
    return weights / weights.sum()


class EpochFiles(Callback):
    """After every epoch: the checkpoint in the published layout, and from time to time a copy under a name of its own.

    Args:
        name: of the file that is always the newest.
        copy_name: function from the epoch to the name of a copy to keep, or None.
    """

    def __init__(self, folder: Path, name: str, copy_name):
        self.folder, self.name, self.copy_name = folder, name, copy_name

    def on_train_epoch_end(self, trainer, pl_module):
        if not trainer.is_global_zero:
            return
        content = pl_module.published() | {
            "epoch": trainer.current_epoch + 1,
            "optimizer": trainer.optimizers[0].state_dict(),
            "norms": [float(number) for number in pl_module.settings.norms],
        }
        for name in filter(None, (self.name, self.copy_name(trainer.current_epoch))):
            with whole_file(self.folder / name) as temporary:
                torch.save(content, temporary)

    def on_train_end(self, trainer, pl_module):
        if trainer.is_global_zero:
            print(
                f"for compute_cem_fid.py --weights-path: {self.folder / self.name}\nto go on: --resume {self.folder / LAST}"
            )


def build_parser(description: str, config: Path) -> argparse.ArgumentParser:
    """Options of both trainings."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("config", type=Path, nargs="?", default=config, help="YAML configuration")
    files = parser.add_argument_group("files")
    files.add_argument(
        "--data_path",
        type=Path,
        metavar="DIR",
        help="images, sub-folders included; the configuration's when not given",
    )
    files.add_argument(
        "--model_dir",
        type=Path,
        metavar="DIR",
        help="where checkpoints and losses go; the configuration's when not given",
    )
    files.add_argument(
        "--resume",
        type=Path,
        metavar="FILE",
        help=f"{LAST} of a run to go on with: weights, optimizer, queue, epoch",
    )
    run = parser.add_argument_group("run")
    run.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="values in place of the configuration's",
    )
    run.add_argument(
        "--device",
        choices=("auto", "cpu", "gpu"),
        default="auto",
        help="auto takes all GPUs, or the CPU where there is none",
    )
    run.add_argument(
        "--precision",
        choices=("32", "bf16"),
        help="of the arithmetic, bf16 mixed with 32; 32, or on GPUs the recipe's, when not given",
    )
    run.add_argument(
        "--seed",
        type=non_negative_int,
        default=0,
        metavar="INT",
        help="of weights, order and augmentation",
    )
    return parser


def read_settings(args: argparse.Namespace, keys: Sequence[str]) -> Settings:
    """Configuration and options as one, and the folder of the run made.

    Raises:
        FileNotFoundError, ValueError: see `read_config` and `Settings`; `--resume` is no checkpoint of a run.
        FileExistsError: another run's checkpoints would be overwritten.
    """
    settings = Settings(read_config(args.config, args.set), (*SHARED_KEYS, *keys), args.config)
    settings.data_path, settings.model_dir = (
        args.data_path or Path(settings.data_path),
        args.model_dir or Path(settings.model_dir),
    )
    settings.resume = args.resume or (Path(settings.resume) if settings.resume else None)
    last = settings.model_dir / LAST
    if settings.resume and not settings.resume.is_file():
        raise FileNotFoundError(f"--resume {settings.resume}: no such file")
    if settings.resume and "loops" not in load_pickle(settings.resume, "cpu"):
        raise ValueError(
            f"--resume {settings.resume}: holds weights alone, expected the {LAST} of a run"
        )
    if not settings.resume and last.exists():
        raise FileExistsError(
            f"{last}: exists already. Name another --model_dir, or go on with --resume {last}."
        )
    settings.model_dir.mkdir(parents=True, exist_ok=True)
    return settings


def build_trainer(
    settings: Settings,
    args: argparse.Namespace,
    files: EpochFiles,
    precision: str = "32",
    sync_batchnorm: bool = False,
) -> pl.Trainer:
    """Lightning's trainer on all GPUs, or on the CPU; `precision` is the recipe's, on GPUs where `args` names none."""
    gpus = 0 if args.device == "cpu" else torch.cuda.device_count()
    return pl.Trainer(
        accelerator=args.device,
        devices=gpus or 1,
        strategy=DDPStrategy(broadcast_buffers=False)
        if gpus > 1
        else "auto",  # or SwAV's queues would all become the first GPU's
        precision=LIGHTNING_PRECISIONS[args.precision or (precision if gpus else "32")],
        sync_batchnorm=sync_batchnorm,
        max_epochs=settings.epochs,
        use_distributed_sampler=False,
        log_every_n_steps=settings.print_freq,
        enable_model_summary=False,
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


def fit(
    trainer: pl.Trainer,
    recipe: pl.LightningModule,
    settings: Settings,
    batch_size: int,
    seed: int,
    gamma: float | None = None,
) -> None:
    """Train `recipe` on the images of `settings.data_path`.

    Args:
        recipe: has `views()`, the augmentations that make the views of an image.
        batch_size: images per process.
        gamma: see `group_weights`; None visits every image once per epoch.
    Raises:
        ValueError: an unreadable image, or fewer images than a batch.
    """
    paths, _ = sound_images(list_images(settings.data_path, recursive=True))
    weights = None if gamma is None else group_weights(paths, settings.data_path, gamma)
    sampler = SeededShard(len(paths), seed, weights, trainer.global_rank, trainer.world_size)
    if settings.resume:
        sampler.epoch, _ = position(
            load_pickle(settings.resume, "cpu")
        )  # workers read ahead before Lightning says which epoch it is
    if len(sampler) < batch_size:
        raise ValueError(
            f"{settings.data_path}: {len(sampler)} images per process, fewer than a batch of {batch_size}. Lower it: --set batch_size=..."
        )
    loader = DataLoader(
        Views(paths, recipe.views()),
        batch_size,
        sampler=sampler,
        num_workers=settings.workers,
        drop_last=True,
    )
    if trainer.is_global_zero:
        remove_leftovers(settings.model_dir)
        print(
            f"{len(paths)} images, {len(loader)} batches of {batch_size} an epoch, {trainer.world_size} process(es), {settings.epochs} epochs",
            flush=True,
        )
    try:
        trainer.fit(recipe, loader, ckpt_path=settings.resume, weights_only=True)
    except SystemExit as end:  # how Lightning ends after Ctrl-C
        raise KeyboardInterrupt from end
