"""Pre-train a ResNet-50 on electron micrographs without labels: SwAV, as for CEM1.5M.

    python fid/pretraining/swav/train.py --data_path my_images --model_dir models/my_swav

`checkpoint.pth.tar` in the output folder has the published layout: compute_cem_fid.py
--backbone cem1.5m --weights-path takes it.
"""

from functools import partial

from fid.pretraining.script import pretrain
from fid.pretraining.swav.settings import CONFIG, SwavSettings
from share import run_script


def train(settings, run):
    """Train the recipe, by its settings and the options of the run."""
    # Here, because it loads torch, which takes longer than reading the options.
    from fid.pretraining.files import EpochFiles
    from fid.pretraining.loop import build_trainer, train_recipe
    from fid.pretraining.swav.swav import SwAV, copy_name

    kept = copy_name(settings.checkpoint_freq, settings.epochs)
    files = EpochFiles(settings.model_dir, "checkpoint.pth.tar", kept)
    precision = "16" if settings.use_fp16 else "32"
    trainer = build_trainer(settings, files, run, precision, sync_batchnorm=True)
    queue_length = settings.queue_length // trainer.world_size  # per process, in whole batches
    recipe = SwAV(settings, queue_length - queue_length % settings.batch_size)
    train_recipe(trainer, recipe, settings, settings.batch_size, run.seed, settings.weight_gamma)


main = partial(pretrain, __doc__, CONFIG, SwavSettings, train)


if __name__ == "__main__":
    run_script(main)
