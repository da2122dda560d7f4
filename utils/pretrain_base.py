"""Train a base model (autoencoder, then U-Net with its text encoder) on images without labels.

    python utils/pretrain_base.py --image_path phantoms/train/images --output base.safetensors

Without `--init` it starts from nothing; `--init BASE` adapts a given base to the images of another
microscope. A second call goes on where the first one was stopped. Like any Stable Diffusion
checkpoint, the result then goes through `tool_add_control.py`. The losses are in `training/base/`.
"""

from contextlib import closing

from core.command_line.groups import add_groups, read_groups
from core.command_line.option_sources import add_run_control, dry_run_text, parse_all
from core.command_line.options import new_parser, read_options
from core.imaging.image_options import ImageOptions, add_image_options
from core.imaging.images import list_images
from core.prompts import read_prompts
from core.recording.run_lock import RunLock
from core.signals import requeue_at_once, stops_ignored
from core.weights.weight_files import check_weights_file
from share import run_script
from training.base.options import GROUPS, BaseOptions


def parse_args(argv=None):
    """The options of the command line."""
    parser = new_parser(__doc__)
    add_groups(parser, GROUPS)
    add_image_options(parser)
    add_run_control(parser)
    return parse_all(parser, argv)


def train_stages(model, images, prompts, options: BaseOptions, cache, work) -> None:
    """Train both stages, each from where it was stopped."""
    from training.base.autoencoder import train_autoencoder  # here, as in `main`
    from training.base.loop import StageRun
    from training.base.unet import base_weights, save_halfway, train_unet

    files, unet = options.files, options.unet

    def stage(name: str) -> StageRun:
        run = options.run
        return StageRun(run.seed, run.precision, work.stage(name), files.save_every)

    if options.autoencoder.steps:  # first: the U-Net is trained on the latents that it gives
        run = stage("autoencoder")
        train_autoencoder(model, images, options.autoencoder, unet.image_size, run)
        # Hours of work: they are saved before the second stage can fail.
        save_halfway(base_weights(model), files.halfway)
        print(f"autoencoder trained: {files.halfway}")
    if unet.steps:
        train_unet(model, images, prompts, unet, cache, stage("unet"))


def main(argv=None):
    args = parse_args(argv)
    # Here, because what works loads torch, which takes longer than reading the options.
    import pytorch_lightning as pl

    from cldm.configuration import read_config
    from core.weights.checkpoints import save_weights
    from ldm.modules.encoders.tokenizer import notify_of_cut
    from training.base.data import read_images
    from training.base.unet import base_weights, build_base
    from training.base.work_folder import WorkFolder
    from training.step.latents import GB, LatentCache

    read_options(ImageOptions, args).apply()
    options = BaseOptions(**read_groups(GROUPS, args))
    options.check()
    files, seed = options.files, options.run.seed
    read_config(files.config)
    if files.init:
        check_weights_file(files.init)
    prompts, paths = read_prompts(files.prompts_file), list_images(files.image_path)
    notify_of_cut(prompts, "--prompts_file")
    plan = options.plan_text(len(paths), len(prompts))
    work = WorkFolder(files)
    if args.dry_run:
        if files.goes_on:
            work.compare(vars(args), paths)
        print(dry_run_text(vars(args), plan))
        return
    print(plan)
    files.output.parent.mkdir(parents=True, exist_ok=True)
    # Not of the output: a name with another suffix has the same folder.
    lock = RunLock.of_file(files.work_folder, "training a base")
    with closing(lock):
        # Outside of the steps a stop costs nothing: what a stage did is saved, files are whole.
        with requeue_at_once():
            lock.acquire()
            options.require_new_files()  # again: the last holder of the lock may have written them
            work.open(vars(args), paths)
            pl.seed_everything(seed, verbose=False)  # before the model, whose weights are random
            model = build_base(files.config, files.init)
            # Both stages crop the same images: the larger crop decides which ones are too small.
            largest = max(options.unet.image_size, options.autoencoder.image_size)
            cache = LatentCache(options.cache.latent_memory * GB, work.path)
            train_stages(model, read_images(paths, largest), prompts, options, cache, work)
        # A second call would find the weights, and refuse to replace them.
        with stops_ignored():
            save_weights(base_weights(model), files.output)
            print(f"written: {files.output}")
            work.remove()


if __name__ == "__main__":
    run_script(main)
