"""Turn condition pictures into images with a trained ControlNet.

    python generate.py --model_weights_path models/EM_best_results.ckpt --mask_dir data/test/masks
"""

import argparse
import json
import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from cldm.model import create_model, load_state_dict, read_config
from cldm.sampling import SamplingOptions, sample_images
from dataset import PROMPTS, condition_paths, hint_channels, mask_to_hint, read_mask, read_prompts
from ldm.data.batches import sample_seed
from ldm.data.files import whole_file, write_png
from share import new_run_id, run_script, write_run_record
from utils.options import fraction, non_negative_float, positive_int

PRECISIONS = {"16": torch.float16, "32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Sample:
    """One picture to make: everything about it follows from the run's seed, its condition's name and its number.

    Attributes:
        condition: number of the condition in the run.
        copy: number of the picture among those of its condition.
        size: (height, width) of the condition.
    """

    condition: int
    copy: int
    mask: Path
    size: tuple[int, int]
    prompt: str
    seed: int

    @property
    def name(self) -> str:
        """The published file name; there, too, a batch holds one copy by default."""
        return f"cond{self.condition}_batch{self.copy}_sample0.png"


def plan_samples(masks: list[Path], sizes: list[tuple[int, int]], copies: int, seed: int, prompts) -> list[Sample]:
    """All pictures of a run in order; batch size, order of work and other masks change none of them."""
    samples = []
    for i, (mask, size) in enumerate(zip(masks, sizes, strict=True)):
        for copy in range(copies):
            own_seed = sample_seed(seed, mask.stem, copy)
            prompt = prompts[sample_seed(own_seed, "prompt", 0) % len(prompts)]
            samples.append(Sample(i, copy, mask, size, prompt, own_seed))
    return samples


def make_batches(samples: list[Sample], batch_size: int) -> list[list[Sample]]:
    """Batches of pictures of equal size, which may belong to different masks."""
    by_size = [list(group) for _, group in groupby(sorted(samples, key=lambda s: s.size), key=lambda s: s.size)]
    return [group[i : i + batch_size] for group in by_size for i in range(0, len(group), batch_size)]


def pad_to_multiple(hint: np.ndarray, multiple: int) -> np.ndarray:
    """(H, W, C) -> mirrored at the right and lower border to multiples of `multiple`, however small the picture is."""
    padding = [(0, -side % multiple) for side in hint.shape[:2]]
    return np.pad(hint, [*padding, (0, 0)], mode="symmetric")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    model = parser.add_argument_group("model")
    model.add_argument("--config_yaml_path", type=Path, default=Path("./models/cldm_v15.yaml"), metavar="YAML", help="model configuration")
    weights = Path("./models/EM_best_results.ckpt")
    model.add_argument("--model_weights_path", type=Path, default=weights, metavar="FILE", help="trained weights, .ckpt, .pth or .safetensors")
    model.add_argument("--mask_model_path", type=Path, metavar="FILE", help="weights of the mask branch; --model_weights_path when not given")
    model.add_argument("--base_weights_path", type=Path, metavar="FILE", help="Stable Diffusion weights, where the trained file holds the control branch alone")
    model.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="auto takes a GPU where there is one")
    model.add_argument("--precision", choices=sorted(PRECISIONS), default="32", help="16 and bf16 compute in mixed precision")
    inputs = parser.add_argument_group("conditions")
    inputs.add_argument("--generation_mode", choices=("mask_only",), default="mask_only", help="which conditions steer the model")
    inputs.add_argument("--mask_dir", type=Path, required=True, metavar="DIR", help="masks of class indices")
    inputs.add_argument("--num_classes", type=positive_int, default=3, metavar="INT", help="classes of the masks, as in training")
    inputs.add_argument("--pad", action="store_true", help="mirror masks up to a size that the model takes, and crop the images back")
    inputs.add_argument("--prompts_file", type=Path, metavar="FILE", help="one prompt per line, in place of the 37 built-in ones")
    sampling = parser.add_argument_group("sampling")
    sampling.add_argument("--n_augmentations_per_mask", type=positive_int, default=1, metavar="INT", help="images per mask")
    sampling.add_argument("--batch_size_per_inference", type=positive_int, default=1, metavar="INT", help="images computed together; changes none of them")
    sampling.add_argument("--sampler", choices=("ddim", "dpmpp"), default="ddim", help="dpmpp is deterministic and needs about 20 steps")
    sampling.add_argument("--ddim_steps", type=positive_int, default=70, metavar="INT", help="sampling steps, whichever sampler")
    sampling.add_argument("--strength", type=non_negative_float, default=2.0, metavar="FLOAT", help="factor of the control residuals")
    sampling.add_argument("--scale", type=non_negative_float, default=9.0, metavar="FLOAT", help="classifier-free guidance, 1 for none")
    sampling.add_argument("--eta", type=fraction, default=1.0, metavar="FLOAT", help="stochasticity of DDIM")
    sampling.add_argument("--guess_mode", action="store_true", help="weaker control towards the shallow layers, none in the unconditional pass")
    sampling.add_argument("--seed", type=int, default=-1, metavar="INT", help="of noise and prompts; -1 draws one, which the run records")
    output = parser.add_argument_group("output")
    output.add_argument("--output_base_dir", type=Path, default=Path("my_synth_data"), metavar="DIR", help="where the run's folder is made")
    args = parser.parse_args(argv)
    if args.seed < -1:
        parser.error("--seed: expected -1 or a number of at least 0")
    if args.device in ("cuda", "mps") and not getattr(torch, args.device).is_available():
        parser.error(f"--device {args.device}: not available on this machine")
    if args.device == "auto":
        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    if args.device == "cpu" and args.precision == "16":
        parser.error("--precision 16 needs a GPU; use 32 on a CPU")
    if args.sampler == "ddim" and not 1 <= args.ddim_steps <= 1000:
        parser.error("--ddim_steps: expected 1 to 1000")
    return args


def check_masks(args, multiple: int) -> tuple[list[Path], list[tuple[int, int]]]:
    """Masks and their sizes; every file is read once, before the model loads."""
    masks = condition_paths(args.mask_dir)
    sizes = []
    for path in tqdm(masks, desc="checking masks", disable=len(masks) < 200, leave=False):
        height, width = read_mask(path, args.num_classes).shape
        if (height % multiple or width % multiple) and not args.pad:
            raise ValueError(f"{path}: {width} x {height} pixels, expected multiples of {multiple}. Resize it, or use --pad.")
        sizes.append((height, width))
    return masks, sizes


def size_multiple(config: dict) -> int:
    """What height and width must divide by: the autoencoder's factor times the U-Net's."""
    params = config["params"]
    levels = len(params["first_stage_config"]["params"]["ddconfig"]["ch_mult"]) + len(params["unet_config"]["params"]["channel_mult"])
    return 2 ** (levels - 2)


def load_model(args):
    weights = args.mask_model_path or args.model_weights_path
    if args.base_weights_path:
        weights = [args.base_weights_path, weights]
    elif not any(key.startswith("model.diffusion_model.") for key in load_state_dict(weights)):
        raise ValueError(f"{weights}: holds no Stable Diffusion weights. Name those it was trained on with --base_weights_path.")
    model = create_model(args.config_yaml_path, weights, hint_channels("segmentation", args.num_classes))
    return model.to(args.device)


def write_state(path: Path, args, config, samples, masks):
    """`generate_state.json`: what was asked for, and prompt and seed of every picture."""
    state = {
        "args": vars(args),
        "primary_condition_key": "mask",
        "condition_paths": {"mask": masks},
        "mask_paths": masks,
        "condition_records": [
            {"image": f"image_{s.name}", "mask": s.mask, "prompt": s.prompt, "seed": s.seed, "size": s.size} for s in samples
        ],
        "config": config,
        "saved_at": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(state, indent=1, default=str) + "\n")


def generate(model, batches, args, run_dir, multiple):
    """Draw every batch and write its files, the image last: where it is, its mask is too."""
    options = SamplingOptions(args.ddim_steps, args.scale, args.strength, args.eta, args.guess_mode, args.sampler)
    total = sum(map(len, batches))
    dtype = PRECISIONS[args.precision]
    start = time.monotonic()
    with tqdm(total=total, desc="generate", unit="image") as bar:
        for batch in batches:
            labels = [read_mask(sample.mask, args.num_classes) for sample in batch]
            hints = np.stack([pad_to_multiple(mask_to_hint(mask, args.num_classes), multiple) for mask in labels])
            with torch.autocast(args.device, dtype, enabled=dtype != torch.float32):
                pictures = sample_images(
                    model,
                    torch.from_numpy(hints).permute(0, 3, 1, 2).contiguous(),
                    [sample.prompt for sample in batch],
                    [sample.seed for sample in batch],
                    options,
                )
            for sample, mask, picture in zip(batch, labels, pictures, strict=True):
                mask = mask.astype(np.uint8)
                write_png(run_dir / "conditions" / "mask" / f"mask_{sample.name}", mask)
                write_png(run_dir / "masks" / f"image_{sample.name}", mask)
                write_png(run_dir / "images" / f"image_{sample.name}", picture[: mask.shape[0], : mask.shape[1]])
            bar.update(len(batch))
            bar.set_postfix_str(f"{60 * bar.n / (time.monotonic() - start):.1f} images/min")


def main(argv=None):
    args = parse_args(argv)
    config = read_config(args.config_yaml_path)
    multiple = size_multiple(config)
    prompts = read_prompts(args.prompts_file) if args.prompts_file else PROMPTS
    masks, sizes = check_masks(args, multiple)
    if args.seed == -1:
        args.seed = secrets.randbelow(2**31)
    samples = plan_samples(masks, sizes, args.n_augmentations_per_mask, args.seed, prompts)
    batches = make_batches(samples, args.batch_size_per_inference)
    print(f"{len(samples)} images of {len(masks)} masks, seed {args.seed}, on {args.device}")
    model = load_model(args)
    run_dir = args.output_base_dir / f"run_{new_run_id()}"
    for folder in ("images", "masks", "conditions/mask"):
        (run_dir / folder).mkdir(parents=True)
    write_run_record(run_dir / "args.json", args)
    write_state(run_dir / "generate_state.json", args, config, samples, masks)
    print(f"run folder: {run_dir}", flush=True)
    try:
        generate(model, batches, args, run_dir, multiple)
    except KeyboardInterrupt:
        print(f"\n{len(list((run_dir / 'images').iterdir()))} of {len(samples)} images are whole in {run_dir / 'images'}")
        raise
    print(f"images: {run_dir / 'images'}\nmasks of the same names: {run_dir / 'masks'}")


if __name__ == "__main__":
    run_script(main)
