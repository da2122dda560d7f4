"""Pre-train a ResNet-50 on electron micrographs without labels: MoCo v2, as for CEM500K.

    python fid/pretraining/mocov2/train.py --data_path my_images --model_dir models/my_moco

`current.pth.tar` in the output folder has the published layout: compute_cem_fid.py --weights-path
takes it.
"""

import pytorch_lightning as pl

from core.options import read_options
from fid.pretraining.loop import (
    RUN_FLAGS,
    EpochFiles,
    FileOptions,
    RunOptions,
    build_parser,
    build_trainer,
    fit,
    prepare_folder,
)
from fid.pretraining.mocov2.moco import CONFIG, MoCo, MocoSettings, copy_name
from fid.pretraining.settings import read_settings
from share import run_script


def main(argv=None):
    args = build_parser(__doc__, CONFIG).parse_args(argv)
    run = read_options(RunOptions, args, RUN_FLAGS)
    settings = read_settings(MocoSettings, args.config, run.changes)
    settings = prepare_folder(settings, read_options(FileOptions, args))
    pl.seed_everything(run.seed, verbose=False)
    files = EpochFiles(settings.model_dir, "current.pth.tar", copy_name(settings.save_freq))
    trainer = build_trainer(settings, files, run)
    if settings.batch_size % trainer.world_size:
        raise ValueError(
            f"{args.config}: batch_size {settings.batch_size} does not split over "
            f"{trainer.world_size} GPUs"
        )
    fit(trainer, MoCo(settings), settings, settings.batch_size // trainer.world_size, run.seed)


if __name__ == "__main__":
    run_script(main)
