"""Turn condition pictures into images with a trained ControlNet.

python generate.py --model_weights_path models/EM_best_results.ckpt --mask_dir data/test/masks
"""

import argparse
import json
import os
import secrets
import shlex
import signal
import time
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from tqdm import tqdm

from cldm.model import create_control, create_model, read_config, size_multiple
from cldm.multi import MultiConditionControlNet
from cldm.sampling import SamplingOptions, sample_images
from core.checkpoints import load_state_dict
from core.downloads import sha256_of
from core.files import whole_file
from core.images import write_png
from core.options import (
    add_options,
    changed_options,
    non_negative_float,
    non_negative_int,
    parse_given,
    positive_int,
    read_options,
    refuse_changes,
    with_defaults,
)
from core.prompts import read_prompts
from core.records import new_run_id, write_run_record
from core.signals import StoppedForRequeue, StopRequest
from core.workers import in_workers
from generation.branches import (
    MODES,
    check_files,
    find_branches,
    ignored_options,
    read_condition,
)
from generation.export import check_export, export_dataset
from generation.plan import SamplePlan, join_conditions, make_batches
from generation.report import OVERVIEW, REPORT, choose, write_report
from generation.run_folder import (
    RECORD,
    STATE,
    Writer,
    append_to_manifest,
    create_run,
    filling,
    finished_images,
    only_one,
    read_record,
    remove_half_written,
    write_manifest,
)
from share import run_script

__all__ = ["MultiConditionControlNet"]  # notebooks import it from here

PRECISIONS = {"16": torch.float16, "32": torch.float32, "bf16": torch.bfloat16}
PER_PROCESS = {
    "resume_run",
    "run_id",
    "output_base_dir",
    "num_shards",
    "shard_index",
    "export_dataset",
    "include_real",
}  # options that no run hands on
FREE_ON_RESUME = PER_PROCESS | {
    "batch_size_per_inference"
}  # options that change no picture of a set
CHECKED_BY_ONE = 2000  # conditions that one process checks in the time that others need to start
SAMPLING_FLAGS = {
    "sampler": "sampler", "steps": "ddim_steps", "scale": "scale",
    "strength": "strength", "eta": "eta", "guess_mode": "guess_mode",
}  # fmt: skip
PICTURE_OPTIONS = (*SAMPLING_FLAGS.values(), "precision")  # of every picture, in the manifest


def build_parser():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    model = parser.add_argument_group("model")
    weights = Path("./models/EM_best_results.ckpt")
    model.add_argument(
        "--config_yaml_path",
        type=Path,
        default=Path("./models/cldm_v15.yaml"),
        metavar="YAML",
        help="model configuration",
    )
    model.add_argument(
        "--model_weights_path",
        type=Path,
        default=weights,
        metavar="FILE",
        help="trained weights, .ckpt, .pth or .safetensors",
    )
    model.add_argument(
        "--mask_model_path",
        type=Path,
        metavar="FILE",
        help="weights of the mask branch; --model_weights_path when not given",
    )
    model.add_argument(
        "--rgba_model_path",
        type=Path,
        metavar="FILE",
        help="weights of the RGBA branch; --model_weights_path when not given",
    )
    model.add_argument(
        "--edge_model_paths", nargs="+", metavar="NAME=FILE", help="weights of the edge branches"
    )
    model.add_argument(
        "--edge_model_path", metavar="FILE", help="deprecated: --edge_model_paths edge=FILE"
    )
    model.add_argument(
        "--base_weights_path",
        type=Path,
        metavar="FILE",
        help="Stable Diffusion weights; the first branch's file when not given",
    )
    model.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda", "mps"),
        default="auto",
        help="auto takes a GPU where there is one",
    )
    model.add_argument(
        "--precision",
        choices=sorted(PRECISIONS),
        default="32",
        help="16 and bf16 compute in mixed precision",
    )
    inputs = parser.add_argument_group("conditions")
    inputs.add_argument(
        "--generation_mode",
        choices=MODES,
        help="which conditions steer the model; follows from the given folders when not given",
    )
    inputs.add_argument("--mask_dir", type=Path, metavar="DIR", help="masks of class indices")
    inputs.add_argument(
        "--edge_dirs",
        nargs="+",
        metavar="NAME=DIR",
        help="edge maps of each edge branch, with the masks' names",
    )
    inputs.add_argument("--edge_dir", metavar="DIR", help="the same as --edge_dirs edge=DIR")
    inputs.add_argument(
        "--edge_from_images",
        type=Path,
        metavar="DIR",
        help="images whose edges, drawn on the fly, steer the branch named edge",
    )
    inputs.add_argument(
        "--edge_detector", choices=("canny",), default="canny", help="what draws them"
    )
    inputs.add_argument(
        "--canny_low",
        type=non_negative_float,
        default=100.0,
        metavar="FLOAT",
        help="threshold where an edge ends",
    )
    inputs.add_argument(
        "--canny_high",
        type=non_negative_float,
        default=200.0,
        metavar="FLOAT",
        help="threshold where an edge starts",
    )
    inputs.add_argument(
        "--rgba_dir", type=Path, metavar="DIR", help="RGBA tensors, .npz or four-channel .png"
    )
    inputs.add_argument(
        "--rgba_alpha_scale",
        type=non_negative_float,
        default=1.0,
        metavar="FLOAT",
        help="factor of the alpha (edge) channel, as in training",
    )
    inputs.add_argument(
        "--skip_missing_edges",
        action="store_true",
        help="leave masks without an edge map out instead of stopping",
    )
    inputs.add_argument(
        "--num_classes",
        type=positive_int,
        default=3,
        metavar="INT",
        help="classes of the masks, as in training",
    )
    inputs.add_argument(
        "--pad",
        action="store_true",
        help="mirror conditions up to a size that the model takes, and crop the images back",
    )
    inputs.add_argument(
        "--prompts_file",
        type=Path,
        metavar="FILE",
        help="one prompt per line, in place of the 37 built-in ones",
    )
    sampling = parser.add_argument_group("sampling")
    sampling.add_argument(
        "--n_augmentations_per_mask",
        type=positive_int,
        default=1,
        metavar="INT",
        help="images per condition",
    )
    sampling.add_argument(
        "--batch_size_per_inference",
        type=positive_int,
        default=1,
        metavar="INT",
        help="images computed together; changes none of them",
    )
    sampling.add_argument(
        "--mask_strength",
        type=non_negative_float,
        default=1.0,
        metavar="FLOAT",
        help="further factor of the mask branch; 0 leaves it out",
    )
    sampling.add_argument(
        "--edge_strengths",
        nargs="+",
        metavar="NAME=FLOAT",
        help="further factors of the edge branches, 1 where not given",
    )
    sampling.add_argument(
        "--seed",
        type=int,
        default=-1,
        metavar="INT",
        help="of noise and prompts; -1 draws one, which the run records",
    )
    add_options(parser, SamplingOptions, "sampling", flags=SAMPLING_FLAGS)
    many = parser.add_argument_group("many images, many machines")
    many.add_argument(
        "--resume_run",
        type=Path,
        metavar="RUN",
        help="make what is missing in a run's folder; takes that run's options",
    )
    many.add_argument(
        "--num_shards",
        type=positive_int,
        metavar="INT",
        help="parts that the set is made in; those of a Slurm array or torchrun, else 1",
    )
    many.add_argument(
        "--shard_index",
        type=non_negative_int,
        metavar="INT",
        help="part that this process makes, from 0",
    )
    many.add_argument(
        "--run_id",
        metavar="NAME",
        help="folder run_NAME, which all shards share; the Slurm array's number, else a new one, when not given",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output_base_dir",
        type=Path,
        default=Path("my_synth_data"),
        metavar="DIR",
        help="where the run's folder is made",
    )
    output.add_argument(
        "--export_dataset",
        type=Path,
        metavar="DIR",
        help="new folder for the finished run as images/, masks/ and splits.csv",
    )
    output.add_argument(
        "--include_real",
        type=Path,
        nargs=2,
        metavar=("IMAGES", "MASKS"),
        help="real training pairs that --export_dataset adds",
    )
    return parser


def shard_of_environment() -> tuple[int, int]:
    """(index, count) of this process in a Slurm array, in torchrun, or in both: every task of the array has all ranks then."""
    number = {name: int(os.environ.get(name, default)) for name, default in (
        ("SLURM_ARRAY_TASK_ID", 0), ("SLURM_ARRAY_TASK_MIN", 0), ("SLURM_ARRAY_TASK_STEP", 1), ("SLURM_ARRAY_TASK_COUNT", 1),
        ("RANK", 0), ("WORLD_SIZE", 1),
    )}  # fmt: skip
    task = (number["SLURM_ARRAY_TASK_ID"] - number["SLURM_ARRAY_TASK_MIN"]) // number[
        "SLURM_ARRAY_TASK_STEP"
    ]
    return task * number["WORLD_SIZE"] + number["RANK"], number["SLURM_ARRAY_TASK_COUNT"] * number[
        "WORLD_SIZE"
    ]


def parse_args(argv=None):
    """Options, and of them the mode and its branches; the options are those of the run when `--resume_run` names one."""
    parser = build_parser()
    given = parse_given(parser, argv)
    args = with_defaults(parser, given)
    if args.resume_run:
        saved = {
            key: value
            for key, value in read_record(args.resume_run).items()
            if key not in PER_PROCESS
        }
        refuse_changes(parser, given, saved, FREE_ON_RESUME, "--resume_run")
        args = with_defaults(parser, given, saved)
    if (args.num_shards is None) != (args.shard_index is None):
        parser.error("--num_shards and --shard_index belong together")
    if args.num_shards is None:
        args.shard_index, args.num_shards = shard_of_environment()
    if args.shard_index >= args.num_shards:
        parser.error(
            f"--shard_index {args.shard_index}: expected 0..{args.num_shards - 1} (--num_shards {args.num_shards})"
        )
    if args.num_shards > 1 and not args.run_id and not args.resume_run:
        if "SLURM_ARRAY_JOB_ID" not in os.environ:
            parser.error("--run_id is needed with --num_shards: all shards write into one folder")
        args.run_id = f"slurm_{os.environ['SLURM_ARRAY_JOB_ID']}"
    if args.include_real and not args.export_dataset:
        parser.error("--include_real needs --export_dataset")
    if args.export_dataset and args.num_shards > 1:
        parser.error(
            "--export_dataset needs the whole set: when all shards are done, use it with --resume_run"
        )
    if args.seed < -1:
        parser.error("--seed: expected -1 or a number of at least 0")
    if args.device in ("cuda", "mps") and not getattr(torch, args.device).is_available():
        parser.error(f"--device {args.device}: not available on this machine")
    if args.device == "auto":
        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    if args.device == "cpu" and args.precision == "16":
        parser.error("--precision 16 needs a GPU; use 32 on a CPU")
    try:
        read_options(SamplingOptions, args, SAMPLING_FLAGS)
    except ValueError as error:
        parser.error(str(error))
    if args.canny_low > args.canny_high:
        parser.error("--canny_low is above --canny_high")
    try:
        mode, branches = find_branches(args)
    except ValueError as error:
        parser.error(str(error))
    args.generation_mode = mode
    if args.export_dataset and mode == "edge_only":
        parser.error("--export_dataset: images made from edges alone have no masks")
    for name, reason in ignored_options(args, given).items():
        print(f"warning: {name} is ignored {reason}")
    return args, branches


def find_conditions(branches, skip_missing):
    """Conditions of all branches; see `join_conditions`."""
    folders = [branch.condition.list_files(branch.folder) for branch in branches]
    conditions, left_out = join_conditions(folders, skip_missing)
    if left_out:
        print(f"{left_out} conditions without an edge map are left out")
    return conditions


def check_conditions(conditions, branches, args, multiple: int) -> dict[int, tuple[int, int]]:
    """(height, width) by condition number; every file is read once, before the model loads."""
    check = partial(check_files, branches=branches, args=args, multiple=multiple)
    num_workers = len(os.sched_getaffinity(0)) if len(conditions) >= CHECKED_BY_ONE else 0
    sizes = in_workers(check, conditions, num_workers, chunk=64)
    shown = tqdm(
        sizes,
        desc="checking conditions",
        total=len(conditions),
        disable=len(conditions) < 200,
        leave=False,
    )
    return {condition.number: size for condition, size in zip(conditions, shown, strict=True)}


def pad_to_multiple(hint: np.ndarray, multiple: int) -> np.ndarray:
    """(H, W, C) -> mirrored at the right and lower border to multiples of `multiple`, however small the picture is."""
    padding = [(0, -side % multiple) for side in hint.shape[:2]]
    return np.pad(hint, [*padding, (0, 0)], mode="symmetric")


def load_model(args, branches):
    """One Stable Diffusion model, and of each branch its control network alone."""
    first, *others = branches
    weights = first.weights
    if args.base_weights_path:
        weights = [args.base_weights_path, weights]
    elif not any(key.startswith("model.diffusion_model.") for key in load_state_dict(weights)):
        raise ValueError(
            f"{weights}: holds no Stable Diffusion weights. Name those it was trained on with --base_weights_path."
        )
    splits = [branch.condition.hint_channels for branch in branches]
    model = create_model(args.config_yaml_path, weights, splits[0])
    controls = [
        create_control(args.config_yaml_path, b.weights, n)
        for b, n in zip(others, splits[1:], strict=True)
    ]
    model.control_model = MultiConditionControlNet(
        [model.control_model, *controls],
        splits,
        [b.key for b in branches],
        [b.strength for b in branches],
    )
    device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if args.device == "cuda" else args.device
    return model.to(device)


def weights_used(args, branches) -> dict[str, str]:
    """SHA-256 of each branch's file and of the base's."""
    files = {branch.key: branch.weights for branch in branches}
    if args.base_weights_path:
        files["base"] = args.base_weights_path
    for path in files.values():
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such checkpoint")
    digest = {
        path: sha256_of(path)
        for path in tqdm(set(files.values()), desc="read weights", unit="file", leave=False)
    }
    return {key: digest[path] for key, path in files.items()}


def describe_run(branches, conditions, prompts, weights, config) -> dict:
    """What a resumed run must find unchanged, beside its options."""
    paths = {branch.key: [str(c.files[i]) for c in conditions] for i, branch in enumerate(branches)}
    return {
        "primary_condition_key": branches[0].key,
        "condition_paths": paths,
        "mask_paths": paths.get("mask", []),
        "condition_records": [
            {"condition": c.number, "files": dict(zip(paths, map(str, c.files), strict=True))}
            for c in conditions
        ],
        "prompts": list(prompts),
        "weights": weights,
        "config": config,
    }


def join_run(run_dir: Path, args, description=None):
    """Take the seed of a run that is there, and make sure that it is the same run.

    Raises:
        ValueError: options, conditions, prompts or weights are not those that the run was started with.
    """
    saved = read_record(run_dir)
    if args.seed == -1:
        args.seed = saved["seed"]
    changed = changed_options(vars(args), saved, FREE_ON_RESUME)
    if changed:
        raise ValueError(
            f"{run_dir}: was started with another {changed[0]} ({saved[changed[0].lstrip('-')]}). Use that, or start a new run."
        )
    if description:
        state = json.loads((run_dir / STATE).read_text())
        names = {
            "condition_paths": "condition files",
            "prompts": "prompts",
            "weights": "weights",
            "config": "configuration",
        }
        for key, what in names.items():
            if state[key] != description[key]:
                raise ValueError(
                    f"{run_dir}: the {what} are not those that this run was started with. Put them back, or start a new run."
                )


def open_run(run_dir: Path, args, branches, description):
    """Make the run's folder or join it; folders first, the record last, so that a folder with a record is ready for use."""
    if not create_run(run_dir):
        join_run(run_dir, args, description)
        return
    if args.seed == -1:
        args.seed = secrets.randbelow(2**31)
    for folder in (
        "images",
        "masks",
        *(
            f"conditions/{name}"
            for branch in branches
            for name in branch.condition.folders(branch.key)
        ),
    ):
        (run_dir / folder).mkdir(parents=True)
    with whole_file(run_dir / STATE) as temporary:
        state = {
            "args": vars(args),
            **description,
            "saved_at": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        temporary.write_text(json.dumps(state, indent=1, default=str) + "\n")
    write_run_record(run_dir / RECORD, args)


def manifest_line(sample, args, branches, weights) -> dict:
    """Everything about one picture; paths of its files are relative to the run's folder."""
    has_labels = any(branch.condition.carries_labels for branch in branches)
    return {
        "image": f"images/image_{sample.name}",
        "mask": f"masks/image_{sample.name}" if has_labels else None,
        "conditions": {
            name: f"conditions/{name}/{name}_{sample.name}"
            for branch in branches
            for name in branch.condition.folders(branch.key)
        },
        "sources": {
            branch.key: str(path)
            for branch, path in zip(branches, sample.condition.files, strict=True)
        },
        "prompt": sample.prompt,
        "seed": sample.seed,
        "weights": weights,
        "options": {name: getattr(args, name) for name in PICTURE_OPTIONS}
        | {"strengths": {branch.key: branch.strength for branch in branches}},
    }


def write_sample(run_dir: Path, line: dict, branches, hints, picture) -> None:
    """Files of one picture, the picture itself last: where it is, the others are too."""
    for branch, hint in zip(branches, hints, strict=True):
        shown, labels = branch.condition.pictures(branch.key, hint), branch.condition.labels(hint)
        for name, pixels in shown.items():
            write_png(run_dir / line["conditions"][name], pixels)
        if labels is not None:
            write_png(run_dir / line["mask"], labels)
    write_png(run_dir / line["image"], picture)
    append_to_manifest(run_dir, line)


def generate(model, batches, total, args, branches, run_dir, multiple, weights) -> None:
    """Draw every batch and write its files while the next is drawn.

    Raises:
        KeyboardInterrupt: a stop request came; the batch at hand was finished, fewer than `total` pictures are made.
    """
    options = read_options(SamplingOptions, args, SAMPLING_FLAGS)
    dtype = PRECISIONS[args.precision]
    start = time.monotonic()
    with (
        StopRequest() as stop,
        Writer() as writer,
        tqdm(total=total, desc="generate", unit="image") as bar,
    ):
        for batch in batches:
            hints = [
                [
                    read_condition(b, path)
                    for b, path in zip(branches, sample.condition.files, strict=True)
                ]
                for sample in batch
            ]
            per_branch = [
                np.stack([pad_to_multiple(part, multiple) for part in parts])
                for parts in zip(*hints, strict=True)
            ]
            with torch.autocast(args.device, dtype, enabled=dtype != torch.float32):
                pictures = sample_images(
                    model,
                    [
                        torch.from_numpy(rearrange(h, "n h w c -> n c h w").copy())
                        for h in per_branch
                    ],
                    [sample.prompt for sample in batch],
                    [sample.seed for sample in batch],
                    options,
                )
            for sample, hint, picture in zip(batch, hints, pictures, strict=True):
                height, width = hint[0].shape[:2]
                writer.submit(
                    write_sample,
                    run_dir,
                    manifest_line(sample, args, branches, weights),
                    branches,
                    hint,
                    picture[:height, :width],
                )
            bar.update(len(batch))
            bar.set_postfix_str(f"{60 * bar.n / (time.monotonic() - start):.1f} images/min")
            if stop:
                break
    if bar.n < total:
        raise StoppedForRequeue if stop.received == signal.SIGUSR1 else KeyboardInterrupt


def finish(run_dir: Path, plan, args, branches, weights) -> int:
    """Write the manifest in the plan's order, the overview and the report; the number of pictures that are there.

    Of processes that end together the last one to come here sees the pictures of all; when these are all that are planned, it
    removes what killed processes left.
    """
    with only_one(run_dir):
        there = finished_images(run_dir)
        done = [k for k in range(len(plan)) if plan.file_name(k) in there]
        write_manifest(run_dir, (manifest_line(plan[k], args, branches, weights) for k in done))
        if done:
            sample = [
                [manifest_line(plan[k], args, branches, weights) for k in group]
                for group in choose(done, plan.copies)
            ]
            write_report(
                run_dir,
                sample,
                pictures=len(done),
                planned=len(plan),
                conditions=len(plan.conditions),
                prompts=plan.prompts,
            )
        if len(done) == len(plan):
            remove_half_written(run_dir)
    return len(done)


def main(argv=None):
    args, branches = parse_args(argv)
    config = read_config(args.config_yaml_path)
    multiple = size_multiple(config)
    prompts = read_prompts(args.prompts_file)
    conditions = find_conditions(branches, args.skip_missing_edges)
    real = (
        check_export(args.export_dataset, args.include_real, args.num_classes)
        if args.export_dataset
        else []
    )
    weights = weights_used(args, branches)
    description = describe_run(branches, conditions, prompts, weights, config)
    run_dir = args.resume_run or args.output_base_dir / f"run_{args.run_id or new_run_id()}"
    joins = (run_dir / RECORD).is_file()
    if joins:
        join_run(run_dir, args, description)
    plan = SamplePlan(conditions, args.n_augmentations_per_mask, args.seed, prompts)
    own, there = (
        plan.shard(args.shard_index, args.num_shards),
        finished_images(run_dir) if joins else set(),
    )
    todo = [k for k in own if plan.file_name(k) not in there]
    needed = {k // plan.copies: None for k in todo}  # in order, each once
    sizes = check_conditions([conditions[i] for i in needed], branches, args, multiple)
    part = (
        f" (shard {args.shard_index} of {args.num_shards}: {len(own)})"
        if args.num_shards > 1
        else ""
    )
    print(
        f"{len(plan)} images of {len(conditions)} conditions{part}, {len(own) - len(todo)} there already, {args.generation_mode}, on {args.device}"
    )
    model = load_model(args, branches) if todo else None
    open_run(run_dir, args, branches, description)
    plan.seed = args.seed
    print(f"run folder: {run_dir}, seed {args.seed}", flush=True)
    try:
        batches = make_batches((plan[k] for k in todo), sizes, args.batch_size_per_inference)
        with filling(run_dir):
            generate(model, batches, len(todo), args, branches, run_dir, multiple, weights)
    finally:
        done = finish(run_dir, plan, args, branches, weights)
        if done < len(plan):
            command = ["python", "generate.py", "--resume_run", run_dir]
            command += ["--export_dataset", args.export_dataset] if args.export_dataset else []
            command += ["--include_real", *args.include_real] if args.include_real else []
            print(
                f"\n{done} of {len(plan)} images are there; to make the missing ones: {shlex.join(map(str, command))}"
            )
    print(f"images: {run_dir / 'images'}")
    if args.generation_mode != "edge_only":
        print(f"masks of the same names: {run_dir / 'masks'}")
    print(f"to look at: {run_dir / REPORT}, {run_dir / OVERVIEW}")
    if args.export_dataset:
        pairs = export_dataset(args.export_dataset, run_dir, real, args.num_classes)
        print(f"data set of {pairs} pairs: {args.export_dataset}")


if __name__ == "__main__":
    run_script(main)
