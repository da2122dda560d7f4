"""Fine-tune the control branch of a ControlNet on images and their conditions (Zhang et al. 2023).

python train.py --image_path data/train/images --mask_path data/train/masks --resume_path models/control_sd15_ini.ckpt
"""

import argparse
import json
import os
import signal
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities import rank_zero_only
from torch.utils.data import BatchSampler, DataLoader

from cldm.logger import ImageLogger
from cldm.model import create_model, native_size, read_config, size_multiple
from cldm.sampling import PREVIEW, sample_images
from conditions import CONDITIONS
from core.checkpoints import load_pickle
from core.files import remove_leftovers
from core.lightning import LAST, WholeFileIO, position
from core.lightning import PRECISIONS as LIGHTNING_PRECISIONS
from core.options import (
    add_bool,
    add_options,
    fraction,
    non_negative_int,
    parse_given,
    positive_float,
    positive_int,
    read_options,
    refuse_changes,
    with_defaults,
)
from core.progress import Progress
from core.prompts import read_prompts
from core.records import new_run_id, write_run_record
from core.signals import StoppedForRequeue
from dataset import MyDataset, ValidationSet, check_pairs
from fid.backbones import CEM
from fid.backbones.loading import CemOptions, load_backbone
from fid.validation import ValidationFid
from share import run_script
from training.batches import SeededBatches, Share, WeightedSamples
from training.checkpoints import BEST, ControlOnlyCheckpoint, SaveLast, align_weights
from training.loss_curve import LossCurve

BEST_FID = "EM_best_fid"
FID_SAMPLING = {
    "steps": "fid_ddim_steps", "scale": "fid_guidance_scale",
    "eta": "fid_eta", "strength": "fid_control_strength",
}  # fmt: skip
CONDITION_OPTION = {"segmentation": "mask_path", "edge": "edge_path", "rgba": "rgba_path"}
FREE_ON_RESUME = {  # options that a resumed run may change without becoming another run
    "resume_training", "run_id", "max_epochs", "max_steps", "gpus", "num_processes", "num_nodes", "num_workers",
    "logger", "logger_freq", "wandb_api_key", "save_every", "log_every",
}  # fmt: skip
RUN_ID_VARIABLE = "TRAIN_RUN_ID"  # by which the processes that Lightning starts learn the name of the run's folder

say = rank_zero_only(print)


def build_parser():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    data = parser.add_argument_group("data")
    for split in ("", "val_"):
        what = "validation" if split else "training"
        data.add_argument(f"--{split}image_path", type=Path, metavar="DIR", help=f"{what} images")
        data.add_argument(
            f"--{split}mask_path",
            type=Path,
            metavar="DIR",
            help=f"{what} masks of class indices, for --condition_type segmentation",
        )
        data.add_argument(
            f"--{split}edge_path",
            type=Path,
            metavar="DIR",
            help=f"{what} edge maps, for --condition_type edge",
        )
        data.add_argument(
            f"--{split}rgba_path",
            type=Path,
            metavar="DIR",
            help=f"{what} RGBA tensors, for --condition_type rgba",
        )
    data.add_argument(
        "--condition_type",
        choices=CONDITIONS,
        default="segmentation",
        help="what the control branch is shown",
    )
    data.add_argument(
        "--num_classes",
        type=positive_int,
        default=3,
        metavar="INT",
        help="classes of the masks, one hint channel each",
    )
    data.add_argument(
        "--rgba_alpha_scale",
        type=positive_float,
        default=1.0,
        metavar="FLOAT",
        help="factor of the alpha (edge) channel, clipped to 1",
    )
    data.add_argument(
        "--image_size",
        type=positive_int,
        metavar="PIXELS",
        help="side of the training crops; the configuration's when not given",
    )
    data.add_argument("--crop_scale", type=fraction, nargs=2, default=(0.08, 1.0), metavar=("MIN", "MAX"),
                      help="share of an image's area that a training crop takes")  # fmt: skip
    data.add_argument("--views_per_image", type=non_negative_int, default=32, metavar="INT",
                      help="augmented views of each image, shown by turns and encoded once; 0 draws and encodes a new one in every epoch")  # fmt: skip
    data.add_argument(
        "--prompts_file",
        type=Path,
        metavar="FILE",
        help="one prompt per line, in place of the 37 built-in ones",
    )
    data.add_argument(
        "--prompt_drop",
        type=fraction,
        default=0.0,
        metavar="P",
        help="share of samples trained with the empty prompt, which guidance relies on",
    )
    data.add_argument(
        "--num_workers",
        type=non_negative_int,
        default=0,
        metavar="INT",
        help="processes that read images; 0 reads in the training process",
    )

    model = parser.add_argument_group("model")
    model.add_argument(
        "--cldm_config_path",
        type=Path,
        default=Path("./models/cldm_v15.yaml"),
        metavar="YAML",
        help="model configuration",
    )
    model.add_argument("--resume_path", "--resume", type=Path, default=Path("./models/control_sd15_ini.ckpt"), metavar="FILE",
                       help="weights to initialise from, .ckpt, .pth or .safetensors; optimizer and step start anew")  # fmt: skip
    model.add_argument("--init_extra_hint", choices=("random", "zeros"), default="random",
                       help="first hint convolution where --resume_path has fewer hint channels: anew, or kept and zeros added")  # fmt: skip
    add_bool(model, "--sd_locked", True, "keep the Stable Diffusion decoder frozen")
    add_bool(model, "--only_mid_control", False, "use the middle block's residual alone")

    run = parser.add_argument_group("training")
    run.add_argument(
        "--batch_size",
        type=positive_int,
        default=2,
        metavar="INT",
        help="images per step and process, that is, per GPU",
    )
    run.add_argument(
        "--accumulate_grad_batches",
        type=positive_int,
        default=1,
        metavar="INT",
        help="batches per optimizer step",
    )
    run.add_argument(
        "--learning_rate", type=positive_float, default=1e-5, metavar="FLOAT", help="of AdamW"
    )
    run.add_argument(
        "--max_epochs", type=positive_int, default=600, metavar="INT", help="passes over the images"
    )
    run.add_argument(
        "--max_steps",
        type=positive_int,
        metavar="INT",
        help="optimizer steps; ends the run if reached before --max_epochs",
    )
    run.add_argument(
        "--seed",
        type=non_negative_int,
        default=0,
        metavar="INT",
        help="of data order, crops, prompts and noise",
    )
    run.add_argument(
        "--gpus",
        type=int,
        metavar="INT",
        help="GPUs to use: 0 for the CPU, -1 for all; 1 when not given, or the CPU where there is none",
    )
    run.add_argument(
        "--num_processes",
        type=positive_int,
        default=1,
        metavar="INT",
        help="training processes per machine where there is no GPU (--gpus 0)",
    )
    run.add_argument(
        "--num_nodes",
        type=positive_int,
        default=1,
        metavar="INT",
        help="machines, each with --gpus GPUs; srun or torchrun starts the processes",
    )
    run.add_argument(
        "--precision",
        choices=sorted(LIGHTNING_PRECISIONS),
        default="32",
        help="16 and bf16 compute in mixed precision",
    )
    run.add_argument("--resume_training", type=Path, metavar="RUN",
                     help="continue a run in its folder: weights, optimizer, step and data order; takes that run's options")  # fmt: skip

    fid = parser.add_argument_group(
        "validation FID",
        "needs validation data; a number of this size and so few images compares with nothing but other epochs",
    )
    add_bool(
        fid,
        "--enable_val_fid",
        False,
        "after each validation draw an image for every validation condition; log val/cem_fid and val/cem_kid",
    )
    fid.add_argument(
        "--fid_batch_size", type=positive_int, default=2, metavar="INT", help="images drawn at once"
    )
    fid.add_argument(
        "--fid_num_workers",
        type=non_negative_int,
        default=0,
        metavar="INT",
        help="processes that read the validation pairs",
    )
    add_options(parser, PREVIEW, "images that the distance is computed of", flags=FID_SAMPLING)
    fid.add_argument(
        "--fid_backbone", choices=tuple(CEM), default="cem500k", help="network that scores"
    )
    fid.add_argument(
        "--fid_image_size",
        type=positive_int,
        default=512,
        metavar="PIXELS",
        help="height and width it sees (compute_cem_fid.py: 224)",
    )
    fid.add_argument(
        "--fid_device",
        choices=("cuda", "cpu"),
        default="cuda",
        help="where it runs; the CPU where there is no GPU",
    )
    fid.add_argument(
        "--fid_download_dir",
        type=Path,
        metavar="DIR",
        help="where its weights are downloaded to; fid/weights when not given",
    )
    fid.add_argument("--fid_weights_path", type=Path, metavar="FILE", help="its weights")
    fid.add_argument(
        "--fid_seed",
        type=non_negative_int,
        default=1234,
        metavar="INT",
        help="of the images, the same ones after every epoch",
    )
    fid.add_argument(
        "--monitor",
        choices=("val/loss", "val/cem_fid"),
        default="val/loss",
        help=f"val/cem_fid also keeps {BEST_FID}, the best epoch by FID",
    )

    output = parser.add_argument_group("output")
    output.add_argument(
        "--output_root",
        type=Path,
        default=Path("./models"),
        metavar="DIR",
        help="where the run's folder is made",
    )
    output.add_argument("--run_id", metavar="NAME",
                        help=f"name of that folder; a run of this name that has a {LAST} is continued, so a requeued job goes on")  # fmt: skip
    output.add_argument(
        "--save_every",
        type=positive_int,
        default=500,
        metavar="STEPS",
        help=f"optimizer steps between two {LAST}",
    )
    add_bool(
        output,
        "--save_control_only",
        False,
        f"keep the best control branch alone, as {BEST}.safetensors, a quarter of the size",
    )
    output.add_argument(
        "--logger",
        choices=("csv", "tensorboard", "wandb"),
        nargs="+",
        default=["csv", "tensorboard"],
        help="where losses and pictures go",
    )
    output.add_argument(
        "--logger_freq",
        type=positive_int,
        default=300,
        metavar="BATCHES",
        help="batches between image logs",
    )
    output.add_argument(
        "--log_every",
        type=positive_int,
        default=10,
        metavar="STEPS",
        help="steps between logged losses",
    )
    output.add_argument(
        "--wandb_project",
        default="EM-ControlNet",
        metavar="NAME",
        help="project in Weights & Biases",
    )
    output.add_argument(
        "--wandb_api_key",
        metavar="KEY",
        help="or the environment's WANDB_API_KEY; turns that logger on, is never stored",
    )
    return parser


def parse_args(argv=None):
    """Options; those of the run when `--resume_training`, or `--run_id` where it is there already, names one."""
    parser = build_parser()
    given = parse_given(parser, argv)
    args = with_defaults(parser, given)
    resumed = args.resume_training
    if args.run_id and not resumed and (args.output_root / args.run_id / LAST).is_file():
        resumed = args.output_root / args.run_id
    if resumed:
        option = "--resume_training" if args.resume_training else "--run_id"
        saved = read_saved_options(resumed)
        refuse_changes(parser, given, saved, FREE_ON_RESUME, option)
        args = with_defaults(parser, given, saved)
        args.resume_training = resumed
    option = CONDITION_OPTION[args.condition_type]
    for needed in ("image_path", option):
        if getattr(args, needed) is None:
            parser.error(f"--{needed} is needed for --condition_type {args.condition_type}")
    if (args.val_image_path is None) != (getattr(args, f"val_{option}") is None):
        parser.error(f"--val_image_path and --val_{option} belong together")
    if args.enable_val_fid and not args.val_image_path:
        parser.error("--enable_val_fid needs --val_image_path")
    if args.monitor == "val/cem_fid" and not args.enable_val_fid:
        parser.error("--monitor val/cem_fid needs --enable_val_fid")
    if args.save_control_only and not args.sd_locked:
        parser.error("--save_control_only would lose the decoder that --sd_locked false trains")
    if args.crop_scale[0] > args.crop_scale[1] or not args.crop_scale[0]:
        parser.error("--crop_scale: expected 0 < MIN <= MAX <= 1")
    if args.gpus is not None and (
        args.gpus < -1
        or args.gpus > torch.cuda.device_count()
        or (args.gpus and not torch.cuda.is_available())
    ):
        parser.error(
            f"--gpus {args.gpus}: this machine has {torch.cuda.device_count()}; --gpus 0 trains on the CPU"
        )
    if args.num_processes > 1 and args.gpus != 0 and torch.cuda.is_available():
        parser.error(
            "--num_processes is for the CPU, with --gpus 0; on GPUs, --gpus says how many processes there are"
        )
    try:
        read_options(PREVIEW, args, FID_SAMPLING)
    except ValueError as error:
        parser.error(str(error))
    if args.precision == "16" and (args.gpus == 0 or not torch.cuda.is_available()):
        parser.error("--precision 16 needs a GPU; use 32 on a CPU")
    if (
        args.wandb_api_key
        or os.environ.get("WANDB_API_KEY")
        or os.environ.get("WANDB_MODE") == "offline"
    ):
        args.logger = [*args.logger, "wandb"] if "wandb" not in args.logger else args.logger
    return args


def read_saved_options(run_dir: Path) -> dict:
    """Options of an earlier run; raises FileNotFoundError where there is nothing to go on from."""
    for name in ("args.json", LAST):
        if not (run_dir / name).is_file():
            raise FileNotFoundError(
                f"{run_dir / name}: not there, so --resume_training cannot go on from this folder"
            )
    return json.loads((run_dir / "args.json").read_text())["args"]


def image_size(args) -> int:
    """Side of the crops in pixels: the option, or what the configuration is made for."""
    config = read_config(args.cldm_config_path)
    if args.image_size is None:
        return native_size(config)
    if args.image_size % size_multiple(config):
        raise ValueError(
            f"--image_size {args.image_size}: must be a multiple of {size_multiple(config)} for {args.cldm_config_path}"
        )
    return args.image_size


def build_datasets(args):
    """Training set and, where one is given, validation set; every file is checked."""
    prompts = read_prompts(args.prompts_file)
    shared = {
        "condition_type": args.condition_type,
        "rgba_alpha_scale": args.rgba_alpha_scale,
        "num_classes": args.num_classes,
        "image_size": image_size(args),
        "prompts": prompts,
    }
    option = CONDITION_OPTION[args.condition_type]
    train_set = MyDataset(
        args.image_path,
        getattr(args, option),
        augment=True,
        prompt_drop=args.prompt_drop,
        crop_scale=tuple(args.crop_scale),
        **shared,
    )
    check_pairs(train_set.pairs, train_set.condition)
    val_set = None
    if args.val_image_path:
        val_set = ValidationSet(
            MyDataset(args.val_image_path, getattr(args, f"val_{option}"), **shared)
        )
        check_pairs(val_set.dataset.pairs, val_set.dataset.condition)
    return train_set, val_set


def build_loggers(args, run_dir):
    loggers = []
    if "csv" in args.logger:
        loggers.append(CSVLogger(run_dir, name="csv", flush_logs_every_n_steps=args.log_every))
    if "tensorboard" in args.logger:
        loggers.append(TensorBoardLogger(run_dir, name="tensorboard", version=""))
    if "wandb" in args.logger:
        if args.wandb_api_key:
            os.environ["WANDB_API_KEY"] = args.wandb_api_key
        loggers.append(
            WandbLogger(
                project=args.wandb_project,
                name=run_dir.name,
                id=run_dir.name,
                save_dir=run_dir,
                resume="allow",
            )
        )
    return loggers


def build_val_fid(args, val_set) -> ValidationFid | None:
    """The callback that scores validation images, where it is asked for."""
    if not args.enable_val_fid:
        return None
    if len(val_set) < 2:
        raise ValueError(
            f"--enable_val_fid: {len(val_set)} validation image has no spread to compare, expected at least two"
        )
    options = read_options(PREVIEW, args, FID_SAMPLING)

    def draw(model, samples, seeds):
        hint = torch.stack([sample.hint for sample in samples])
        return sample_images(model, [hint], [sample.prompt for sample in samples], seeds, options)

    device = args.fid_device if torch.cuda.is_available() else "cpu"
    network = CemOptions(
        args.fid_backbone, args.fid_weights_path, args.fid_download_dir, args.fid_image_size, device
    )
    backbone = load_backbone(network, "--fid_weights_path")
    return ValidationFid(
        val_set, backbone, draw, args.fid_batch_size, args.fid_num_workers, args.fid_seed
    )


def count_processes(args) -> tuple[bool, int]:
    """Whether the training is on GPUs, and its processes per machine.

    Raises:
        ValueError: srun or torchrun started another number of processes than the options ask for.
    """
    on_gpu = args.gpus != 0 and torch.cuda.is_available()
    per_node = (
        (torch.cuda.device_count() if args.gpus == -1 else args.gpus or 1)
        if on_gpu
        else args.num_processes
    )
    for launcher, variable in (
        ("torchrun", "WORLD_SIZE" if "TORCHELASTIC_RUN_ID" in os.environ else ""),
        ("srun", "SLURM_STEP_NUM_TASKS"),
    ):
        started = int(os.environ.get(variable, per_node * args.num_nodes))
        if started != per_node * args.num_nodes:
            raise ValueError(
                f"{launcher} started {started} process(es), but --{'gpus' if on_gpu else 'num_processes'} {per_node} and --num_nodes {args.num_nodes} "
                f"need {per_node * args.num_nodes}"
            )
        if started > 1 and variable in os.environ and not (args.run_id or args.resume_training):
            raise ValueError(
                f"--run_id is needed with {started} processes of {launcher}: all work in one folder"
            )
    return on_gpu, per_node


def name_run(args, processes: int) -> str:
    """Name of a new run's folder, the same in all its processes."""
    if args.run_id:
        return args.run_id
    return os.environ.setdefault(RUN_ID_VARIABLE, new_run_id()) if processes > 1 else new_run_id()


def build_trainer(args, run_dir, on_gpu, per_node, save_last, has_validation, val_fid=None):
    processes = per_node * args.num_nodes
    if not on_gpu:
        say("training on the CPU" + ("" if args.gpus == 0 else ": no GPU found"))
    accumulated = (
        f" x {args.accumulate_grad_batches} batches" if args.accumulate_grad_batches > 1 else ""
    )
    say(
        f"{save_last.whole_batch * args.accumulate_grad_batches} images per optimizer step ({args.batch_size} x {processes} process(es){accumulated}), "
        f"learning rate {args.learning_rate:g}"
    )
    # All that is trained gets a gradient in every step (see `trainable_parameters`). Where gradients add up over batches, the
    # first of them are not exchanged, which a static graph does not allow.
    ddp = DDPStrategy(
        static_graph=args.accumulate_grad_batches == 1,
        find_unused_parameters=False,
        gradient_as_bucket_view=True,
    )
    best_class = ControlOnlyCheckpoint if args.save_control_only else ModelCheckpoint
    monitored = {BEST: "val/loss" if has_validation else "train/loss_epoch"}
    if args.monitor == "val/cem_fid":
        monitored[BEST_FID] = args.monitor
    best = [
        best_class(
            dirpath=run_dir,
            filename=name,
            monitor=metric,
            save_weights_only=True,
            enable_version_counter=False,
        )
        for name, metric in monitored.items()
    ]
    callbacks = [
        TQDMProgressBar(),
        ImageLogger(run_dir, args.logger_freq),
        LossCurve(run_dir),
        Progress(run_dir),
        *([val_fid] if val_fid else []),
        *best,
        save_last,
    ]
    return pl.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=per_node,
        num_nodes=args.num_nodes,
        strategy=ddp if processes > 1 else "auto",
        use_distributed_sampler=False,  # `Share` does it
        precision=LIGHTNING_PRECISIONS[args.precision],
        max_epochs=args.max_epochs,
        max_steps=args.max_steps or -1,
        accumulate_grad_batches=args.accumulate_grad_batches,
        log_every_n_steps=args.log_every,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        logger=build_loggers(args, run_dir),
        callbacks=callbacks,
        plugins=[WholeFileIO(kept=("control_model.",))],
    )


def main(argv=None):
    args = parse_args(argv)
    train_set, val_set = build_datasets(args)
    say(
        f"{len(train_set)} training and {len(val_set) if val_set else 0} validation pairs, {train_set.image_size} x {train_set.image_size} pixels"
    )

    val_fid = build_val_fid(args, val_set)

    on_gpu, per_node = count_processes(args)
    run_dir = args.resume_training or args.output_root / name_run(args, per_node * args.num_nodes)
    save_last = SaveLast(run_dir, args.save_every, args.batch_size * per_node * args.num_nodes)
    trainer = build_trainer(
        args, run_dir, on_gpu, per_node, save_last, val_set is not None, val_fid
    )
    epoch = start = 0
    last = None
    if args.resume_training:
        last = run_dir / LAST
        epoch, start = position(load_pickle(last, "cpu"))
        weights = last
    else:
        weights = args.resume_path
    model = create_model(
        args.cldm_config_path,
        weights,
        train_set.condition.hint_channels,
        args.init_extra_hint,
    ).train()
    align_weights(model)
    model.first_stage_model.eval()
    model.learning_rate = args.learning_rate
    model.sd_locked = args.sd_locked
    model.only_mid_control = args.only_mid_control
    if args.resume_training and trainer.is_global_zero:
        remove_leftovers(run_dir)
    elif trainer.is_global_zero:
        run_dir.mkdir(
            parents=True, exist_ok=bool(args.run_id)
        )  # a job may have ended before its first checkpoint
        write_run_record(run_dir / "args.json", vars(args))
    say(f"run folder: {run_dir}", flush=True)

    share = trainer.global_rank, trainer.world_size
    batches = SeededBatches(
        len(train_set), save_last.whole_batch, args.seed, args.views_per_image, epoch, start
    )
    workers = {"num_workers": args.num_workers, "persistent_workers": args.num_workers > 0}
    train_loader = DataLoader(
        WeightedSamples(train_set), batch_sampler=Share(batches, *share), **workers
    )
    val_loader = None
    if val_set:
        in_order = BatchSampler(range(len(val_set)), save_last.whole_batch, drop_last=False)
        val_loader = DataLoader(
            WeightedSamples(val_set), batch_sampler=Share(in_order, *share), **workers
        )
    try:
        trainer.fit(model, train_loader, val_loader, ckpt_path=last, weights_only=True)
    except SystemExit as end:  # how Lightning ends after a signal that SaveLast has dealt with
        say(
            f"stopped at step {trainer.global_step}; to continue: python train.py --resume_training {run_dir}",
            flush=True,
        )
        raise (
            StoppedForRequeue if save_last.signal_received == signal.SIGUSR1 else KeyboardInterrupt
        ) from end
    best = trainer.checkpoint_callback
    best_path = run_dir / f"{BEST}{best.FILE_EXTENSION}"
    if not best.best_model_path:  # the run was shorter than an epoch, so nothing was compared
        trainer.save_checkpoint(best_path, weights_only=True)
    say(f"weights: {best_path}\nlosses: {run_dir / 'loss.png'}")


if __name__ == "__main__":
    run_script(main)
