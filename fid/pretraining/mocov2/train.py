"""Pre-train a ResNet-50 on electron micrographs without labels: MoCo v2, as for CEM500K.

    python fid/pretraining/mocov2/train.py --data_path my_images --model_dir models/my_moco

`current.pth.tar` in the output folder has the published layout: compute_cem_fid.py --weights-path
takes it.
"""

from functools import partial

from fid.pretraining.mocov2.settings import CONFIG, MocoSettings
from fid.pretraining.script import pretrain
from share import run_script


def train(settings, run):
    """Train the recipe, by its settings and the options of the run."""
    # Here, because it loads torch, which takes longer than reading the options.
    from fid.pretraining.files import EpochFiles
    from fid.pretraining.loop import build_trainer, train_recipe
    from fid.pretraining.mocov2.moco import MoCo, copy_name

    files = EpochFiles(settings.model_dir, "current.pth.tar", copy_name(settings.save_freq))
    trainer = build_trainer(settings, files, run)
    if settings.batch_size % trainer.world_size:
        raise ValueError(
            f"batch_size {settings.batch_size} does not split over {trainer.world_size} GPUs. "
            "Change it: --set batch_size=..."
        )
    per_process = settings.batch_size // trainer.world_size
    train_recipe(trainer, MoCo(settings), settings, per_process, run.seed)


main = partial(pretrain, __doc__, CONFIG, MocoSettings, train)


if __name__ == "__main__":
    run_script(main)
