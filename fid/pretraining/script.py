"""The command line of both pre-trainings, and the order of their work."""

import argparse
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import (
    add_options,
    new_parser,
    option_names,
    read_options,
)
from core.imaging.image_options import ImageOptions, add_image_options
from core.imaging.images import list_images
from core.recording.run_lock import RunLock
from fid.pretraining.options import PretrainingFileOptions, PretrainingRunOptions
from fid.pretraining.settings import AnySettings, find_config, read_settings

# `set`, the option's published name, is a name of Python.
RUN_FLAGS = {"changes": "set", "device": "device", "precision": "precision", "seed": "seed"}


def parse_args(doc: str, config: Path, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of both scripts.

    Args:
        doc: the script's docstring.
        config: the published configuration.
        argv: the command line; the process's own when not given.
    """
    parser = new_parser(doc)
    parser.add_argument("config", type=Path, nargs="?", default=config, help="YAML configuration")
    add_options(parser, PretrainingFileOptions, "files")
    add_options(parser, PretrainingRunOptions, "run", flags=RUN_FLAGS)
    add_image_options(parser)
    add_run_control(parser)
    return parse_all(parser, argv)


def pretrain(
    doc: str,
    config: Path,
    kind: type[AnySettings],
    train: Callable[[AnySettings, PretrainingRunOptions], None],
    argv: Sequence[str] | None = None,
) -> None:
    """The whole of both scripts: read and check, seed torch, make the run's folder, train.

    Args:
        doc, config, argv: as in `parse_args`.
        kind: class of the recipe's settings.
        train: function that trains the recipe, from its settings and the options of the run.
    Raises:
        ValueError, FileNotFoundError, FileExistsError: see `read_settings`, and `with_files` and
            `train_recipe` in `fid.pretraining.loop`.
    """
    args = parse_args(doc, config, argv)
    # Here, because what works loads torch, which takes longer than reading the options.
    import pytorch_lightning as pl
    from pytorch_lightning.utilities import rank_zero_only

    from fid.pretraining.files import with_files

    read_options(ImageOptions, args).apply()
    run = read_options(PretrainingRunOptions, args, RUN_FLAGS)
    settings = read_settings(kind, find_config(args.config, config.parent), run.changes)
    files = read_options(PretrainingFileOptions, args)
    settings = with_files(settings, files, restore=not args.dry_run)
    if args.dry_run:
        images = len(list_images(settings.data_path, recursive=True))
        plan = (
            f"{settings}\n{images:,} images, {settings.epochs} epochs; "
            f"all files go to {settings.model_dir}"
        )
        print(dry_run_text(vars(args), plan, hidden=["config"]))
        return
    settings.model_dir.mkdir(parents=True, exist_ok=True)
    # Before a network is built: the seed decides its first weights.
    pl.seed_everything(run.seed, verbose=False)
    lock = RunLock(settings.model_dir, "training")
    with closing(lock):
        if rank_zero_only.rank == 0:  # on several GPUs Lightning starts this script again for each
            lock.acquire()
        with option_names(RUN_FLAGS):
            train(settings, run)
