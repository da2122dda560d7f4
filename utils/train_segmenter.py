"""Train a small U-Net on images and masks, and score with it how well a folder of images follows its masks (mIoU).

A segmenter trained on real images and scored on generated ones tells whether a ControlNet obeys its masks; trained on real and
generated images together, it tells whether the generated ones help.

    python utils/train_segmenter.py train --image_path data/train/images --mask_path data/train/masks --output seg.ckpt
    python utils/train_segmenter.py score --checkpoint seg.ckpt --image_path run/images --mask_path run/conditions/mask --shuffled
"""

import argparse
import copy
import hashlib
import json
import math
import re
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchmetrics.classification import MulticlassJaccardIndex
from torchvision import tv_tensors
from torchvision.transforms import v2
from tqdm import tqdm

from core.devices import pick_device
from core.files import whole_file
from core.images import image_size, read_image, write_png
from core.options import add_bool, non_negative_int, positive_float, positive_int
from dataset import Pair, check_pairs, find_pairs, read_mask
from share import run_script

FORMAT = "em_segmenter_v1"  # names the checkpoint's layout, so that another .ckpt is told apart
ENCODER = "tu-mobilenetv3_small_100"  # for phantoms; on real EM it misses mitochondria that resnet18 finds
DECODER_CHANNELS = (48, 24, 16, 8)  # deep to shallow; as many as the encoder has levels
SIZE_MULTIPLE = 32  # pixels; what a network of five levels needs, ours has four
CACHE_BYTES = 2**30  # decoded pairs kept in memory, per worker
WARM_UP = 0.1  # share of the steps in which the learning rate rises
VALIDATIONS = 5  # evenly spaced over the training
MAX_OTHERS = 8  # masks of other images that each image is compared with by `--shuffled`
PICTURE_ROWS = 6


def read_grey(path: Path) -> torch.Tensor:
    """The image as float32 (1, H, W) in [0, 1]: the mean of its three channels."""
    return torch.from_numpy(read_image(path).mean(axis=2)).unsqueeze(0)


def reflect_to(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Extend (..., H, W) at the bottom and the right by reflection, as often as it takes; never shrinks."""
    for dim, size in ((-2, height), (-1, width)):
        n = x.shape[dim]
        if n < size:
            period = max(2 * (n - 1), 1)
            i = torch.arange(size, device=x.device) % period
            x = x.index_select(dim, torch.where(i < n, i, period - i))
    return x


def disturb(image: torch.Tensor) -> torch.Tensor:
    """Other brightness, contrast, sharpness and noise for each image of a batch, (N, 1, H, W) in [0, 1] before and after.

    Blur, because decoded latents are smoother than a microscope's images. On whole batches it takes a tenth of the time.
    """
    brightness, contrast, blur, noise = torch.rand(
        4, len(image), 1, 1, 1, device=image.device
    ).unbind()
    smooth = F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
    image = torch.lerp(image, smooth, (2 * blur - 1).clamp(min=0))  # half of the images stay sharp
    mean = image.mean(dim=(-2, -1), keepdim=True)
    image = (image - mean) * (0.7 + 0.6 * contrast) + mean + 0.3 * (brightness - 0.5)
    return (image + 0.06 * noise * torch.randn_like(image)).clamp(0, 1)


class SegmentationDataset(Dataset):
    """Random square crops of image and mask, turned and flipped alike: float32 (1, S, S) in [0, 1] and int64 (S, S).

    All randomness comes from torch's generator, which the loader seeds in workers too.
    """

    def __init__(self, pairs: list[Pair], num_classes: int, crop: int):
        self.pairs, self.num_classes, self.crop = pairs, num_classes, crop
        self.cache, self.cached_bytes = {}, 0
        self.cut = v2.Compose([v2.RandomCrop(crop), v2.RandomHorizontalFlip()])

    def __len__(self):
        return len(self.pairs)

    def _read(self, index):
        if index in self.cache:
            return self.cache[index]
        image = read_grey(self.pairs[index].image)
        mask = torch.from_numpy(
            read_mask(self.pairs[index].condition, self.num_classes).astype(np.uint8)
        )
        if self.cached_bytes < CACHE_BYTES:
            self.cache[index] = image, mask
            self.cached_bytes += image.nbytes + mask.nbytes
        return image, mask

    def __getitem__(self, index):
        image, mask = (reflect_to(x, self.crop, self.crop) for x in self._read(index))
        image, mask = self.cut(tv_tensors.Image(image), tv_tensors.Mask(mask))
        turns = int(torch.randint(4, ()))  # with the flip: all eight symmetries of the square
        return image.as_subclass(torch.Tensor).rot90(turns, (-2, -1)), mask.as_subclass(
            torch.Tensor
        ).rot90(turns, (-2, -1)).long()


def other_masks(pairs: list[Pair]) -> list[list[Path]]:
    """For each pair up to `MAX_OTHERS` masks of other pairs, evenly spread over the list, of equal size and other content.

    Not simply the next one: slices of a stack resemble their neighbours, and several images may be generated from one mask.

    Raises:
        ValueError: there is no such mask for any pair.
    """
    kinds = [
        (image_size(p.condition), hashlib.sha256(p.condition.read_bytes()).digest()) for p in pairs
    ]
    n = len(pairs)
    number = min(n - 1, MAX_OTHERS)
    shifts = [round(k * n / (number + 1)) for k in range(1, number + 1)]
    others = []
    for i in range(n):
        candidates = [(i + shift) % n for shift in shifts]
        others.append(
            [
                pairs[j].condition
                for j in candidates
                if kinds[i][0] == kinds[j][0] and kinds[i][1] != kinds[j][1]
            ]
        )
    if not any(others):
        raise ValueError(
            f"{pairs[0].condition.parent}: --shuffled needs at least two different masks of equal size"
        )
    return others


def build_segmenter(num_classes: int, encoder: str = ENCODER) -> torch.nn.Module:
    """An untrained U-Net from one grey channel to `num_classes` logits; any image size that divides by 32.

    Raises:
        ValueError: segmentation-models-pytorch has no encoder of that name.
    """
    if encoder not in smp.encoders.get_encoder_names() and not re.fullmatch(
        r"tu-\w+", encoder
    ):  # nothing that timm would download
        raise ValueError(
            f"--encoder {encoder}: not an encoder of segmentation-models-pytorch, try resnet18 or {ENCODER}"
        )
    depth = len(DECODER_CHANNELS)
    model = smp.Unet(
        encoder,
        depth,
        encoder_weights=None,
        decoder_channels=DECODER_CHANNELS,
        in_channels=1,
        classes=num_classes,
    )
    model.architecture = {"encoder": encoder, "num_classes": num_classes}
    return model.to(memory_format=torch.channels_last)


def save_segmenter(
    path: str | Path, model: torch.nn.Module, meta: dict, overwrite: bool = False
) -> None:
    """Write weights, architecture and `meta` (plain numbers, texts, lists and dicts: it must load without a pickle's code).

    Raises:
        FileExistsError: `path` exists and `overwrite` is false.
    """
    refuse_existing(path, overwrite)
    weights = {key: value.cpu() for key, value in model.state_dict().items()}
    with whole_file(path) as temporary:
        torch.save(
            {
                "format": FORMAT,
                "architecture": model.architecture,
                "state_dict": weights,
                "meta": meta,
            },
            temporary,
        )


def load_segmenter(path: str | Path, device: str | torch.device = "cpu") -> torch.nn.Module:
    """The model that `save_segmenter` wrote, in evaluation mode, its `meta` as attribute.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged or no segmenter.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["format"] != FORMAT:
            raise ValueError("another format")
        model = build_segmenter(**content["architecture"])
        model.load_state_dict(content["state_dict"])
        model.meta = content["meta"]
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:  # torch's reader meets garbage with any kind of exception
        raise ValueError(
            f"{path}: damaged, or no segmenter. Give a checkpoint that `train_segmenter.py train` wrote."
        ) from error
    return model.to(device).eval()


@torch.inference_mode()
def predict(model: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    """Class indices, int64 (H, W), of one grey image (1, H, W) in [0, 1] of any size; the model is put in evaluation mode."""
    height, width = image.shape[-2:]
    device = next(model.parameters()).device
    padded = reflect_to(
        image[None].to(device),
        *(math.ceil(n / SIZE_MULTIPLE) * SIZE_MULTIPLE for n in (height, width)),
    )
    logits = model.eval()(
        padded.contiguous(memory_format=torch.channels_last)
    )  # (1, classes, H', W')
    return logits.argmax(dim=1)[0, :height, :width].cpu()


def score(
    model: torch.nn.Module,
    pairs: list[Pair],
    num_classes: int,
    shuffled: bool = False,
    progress: bool = False,
) -> dict:
    """Intersection over union of predictions and masks, from one confusion matrix pooled over all pixels of all pairs.

    A class that occurs in no mask and no prediction has no IoU: it is None in the list and left out of the mean.

    Args:
        shuffled: also compare each prediction with masks of other images (`other_masks`): the level that chance reaches.
    Returns:
        `miou`, `iou` (one per class) and `images` (their number); with `shuffled`, `miou_shuffled` and `iou_shuffled`.
    Raises:
        ValueError: `pairs` is empty, or `shuffled` finds no other mask of equal size.
    """
    if not pairs:
        raise ValueError("no image and mask to score")
    others = other_masks(pairs) if shuffled else [[]] * len(pairs)
    matched, mixed = (
        MulticlassJaccardIndex(
            num_classes, average="none", zero_division=math.nan, validate_args=False
        )
        for _ in range(2)
    )
    for pair, other in zip(
        tqdm(pairs, desc="score", unit="image", disable=not progress), others, strict=True
    ):
        prediction = predict(model, read_grey(pair.image))
        matched.update(prediction, torch.from_numpy(read_mask(pair.condition, num_classes)))
        for path in other:
            mixed.update(prediction, torch.from_numpy(read_mask(path, num_classes)))

    def summary(metric, suffix):
        iou = metric.compute()
        return {
            f"miou{suffix}": iou.nanmean().item(),
            f"iou{suffix}": [None if math.isnan(x) else x for x in iou.tolist()],
        }

    return {
        **summary(matched, ""),
        "images": len(pairs),
        **(summary(mixed, "_shuffled") if shuffled else {}),
    }


def draw_rows(model: torch.nn.Module, pairs: list[Pair], num_classes: int) -> np.ndarray:
    """Image | mask | prediction of each pair as uint8 (H, W), one row each; class i is the grey level 255 i / (classes - 1)."""
    rows = []
    for pair in pairs:
        image = read_grey(pair.image)
        labels = torch.cat(
            [torch.from_numpy(read_mask(pair.condition, num_classes)), predict(model, image)], dim=1
        )
        rows.append(torch.cat([image[0], labels / (num_classes - 1)], dim=1))
    width = max(row.shape[1] for row in rows)
    picture = torch.cat([F.pad(row, (0, width - row.shape[1], 0, 2), value=1.0) for row in rows])
    return (picture * 255).round().to(torch.uint8).numpy()


def learning_rate_factor(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine that reaches zero after the last step."""
    warm_up = max(1, round(WARM_UP * steps))
    return min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / steps))


def train_segmenter(
    pairs: list[Pair], val_pairs: list[Pair], num_classes: int, steps: int, batch_size: int = 16, learning_rate: float = 3e-3,
    crop: int = 128, seed: int = 0, device: str | torch.device = "cpu", encoder: str = ENCODER, num_workers: int = 0,
    progress: bool = False,
) -> torch.nn.Module:  # fmt: skip
    """Train a U-Net from scratch with Dice + cross-entropy; equal arguments give equal weights on the CPU.

    Dice is computed per class over the batch, so that a class of few pixels counts as much as one of many.

    Args:
        pairs, val_pairs: files of images and masks; with `val_pairs`, which may be empty, the weights returned are those of the best
            validation mIoU (a slightly flattering figure: report the score of a third set).
        crop: side of the square training crops in pixels; smaller images are extended by reflection.
    Raises:
        RuntimeError: the loss is no longer finite.
    """
    device = torch.device(device)
    best_miou, best_weights = -1.0, None
    validate_at = (
        {round(steps * k / VALIDATIONS) for k in range(1, VALIDATIONS + 1)} if val_pairs else set()
    )
    with torch.random.fork_rng():  # the caller's random state stays as it was
        torch.manual_seed(seed)
        model = build_segmenter(num_classes, encoder).to(device)
        data = SegmentationDataset(pairs, num_classes, crop)
        sampler = RandomSampler(
            data, num_samples=steps * batch_size
        )  # permutation after permutation, so every batch is full
        loader = DataLoader(
            data,
            batch_size,
            sampler=sampler,
            num_workers=num_workers,
            pin_memory=device.type == "cuda",
        )
        optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, steps)
        )
        dice = smp.losses.DiceLoss("multiclass")
        bar = tqdm(loader, desc="train", unit="step", disable=not progress)
        for step, (image, mask) in enumerate(bar, start=1):
            model.train()
            image, mask = (
                disturb(image.to(device)).contiguous(memory_format=torch.channels_last),
                mask.to(device),
            )
            with torch.autocast(
                device.type, torch.bfloat16, enabled=device.type == "cuda"
            ):  # slow on CPUs without AMX
                logits = model(image).float()
            loss = dice(logits, mask) + F.cross_entropy(logits, mask)
            if not loss.isfinite():
                raise RuntimeError(
                    f"the loss is {loss.item()} at step {step}. Use a smaller --learning_rate."
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            shown = {"loss": f"{loss.item():.3f}", "val mIoU": f"{best_miou:.3f}"}
            if step in validate_at:
                miou = score(model, val_pairs, num_classes)["miou"]
                if miou > best_miou:
                    best_miou, best_weights = miou, copy.deepcopy(model.state_dict())
                shown["val mIoU"] = f"{miou:.3f}"
            bar.set_postfix({key: value for key, value in shown.items() if value != "-1.000"})
    if best_weights is not None:
        model.load_state_dict(best_weights)
    return model.eval()


def refuse_existing(path: str | Path, overwrite: bool) -> None:
    """Raise FileExistsError where something would be overwritten that should not be."""
    if Path(path).exists() and not overwrite:
        raise FileExistsError(f"{path}: exists already. Give another name or --overwrite.")


def gather_pairs(image_paths: list[Path], mask_paths: list[Path], num_classes: int) -> list[Pair]:
    """The pairs of several folders in one list, their sizes and labels checked."""
    pairs = [
        pair
        for folders in zip(image_paths, mask_paths, strict=True)
        for pair in find_pairs(*folders)
    ]
    check_pairs(pairs, "segmentation", num_classes)
    return pairs


def print_scores(name: str, result: dict) -> None:
    """One line: mIoU and the IoU of each class, and the same against other images' masks where it was asked for."""
    for suffix, title in (("", ""), ("_shuffled", " against masks of other images")):
        if f"miou{suffix}" in result:
            iou = ", ".join(
                f"{i}: {'absent' if x is None else f'{x:.4f}'}"
                for i, x in enumerate(result[f"iou{suffix}"])
            )
            print(
                f"{name}: mIoU {result[f'miou{suffix}']:.4f}{title} ({iou}; {result['images']} images)"
            )


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    formatter = {"formatter_class": argparse.ArgumentDefaultsHelpFormatter}
    train_parser = commands.add_parser("train", help="train a segmenter and save it", **formatter)
    score_parser = commands.add_parser(
        "score", help="score a folder of images and masks with a saved segmenter", **formatter
    )

    def add_folders(group, prefix, required, what):
        kind = {"type": Path, "nargs": "+", "required": required, "default": [], "metavar": "DIR"}
        group.add_argument(f"--{prefix}image_path", help=f"folders of {what}", **kind)
        group.add_argument(
            f"--{prefix}mask_path",
            help="their masks (class indices): one folder for each, names that match",
            **kind,
        )

    data = train_parser.add_argument_group("data")
    add_folders(data, "", True, "training images")
    add_folders(data, "val_", False, "validation images")
    data.add_argument(
        "--num_classes", type=positive_int, default=3, metavar="INT", help="masks hold 0 .. INT-1"
    )
    data.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="checkpoint to write"
    )

    training = train_parser.add_argument_group("training")
    length = training.add_mutually_exclusive_group()
    length.add_argument(
        "--epochs",
        type=positive_int,
        default=40,
        metavar="INT",
        help="passes over the training images",
    )
    length.add_argument(
        "--max_steps", type=positive_int, metavar="INT", help="optimizer steps, instead of --epochs"
    )
    training.add_argument(
        "--batch_size", type=positive_int, default=16, metavar="INT", help="crops per step"
    )
    training.add_argument(
        "--learning_rate",
        type=positive_float,
        default=3e-3,
        metavar="FLOAT",
        help="highest learning rate of AdamW",
    )
    training.add_argument(
        "--image_size",
        type=positive_int,
        default=128,
        metavar="INT",
        help="side of the crops, a multiple of 32 pixels",
    )
    training.add_argument("--encoder", default=ENCODER, metavar="NAME",
                          help="untrained encoder of segmentation-models-pytorch; real images want resnet18 (3 times slower)")  # fmt: skip
    training.add_argument(
        "--seed",
        type=non_negative_int,
        default=0,
        metavar="INT",
        help="of weights, order and augmentation",
    )
    training.add_argument(
        "--num_workers",
        type=non_negative_int,
        default=0,
        metavar="INT",
        help="processes that read images",
    )

    scoring = score_parser.add_argument_group("scoring")
    scoring.add_argument(
        "--checkpoint",
        type=Path,
        required=True,
        metavar="FILE",
        help="segmenter that `train` wrote",
    )
    add_folders(scoring, "", True, "images")
    add_bool(
        scoring,
        "--shuffled",
        False,
        help="also score against the masks of other images: the level of chance",
    )
    scoring.add_argument("--output", type=Path, metavar="FILE", help="JSON file to write")
    scoring.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help=f"PNG to write: {PICTURE_ROWS} rows of image | mask | prediction",
    )

    for command in (train_parser, score_parser):
        run = command.add_argument_group("run")
        run.add_argument(
            "--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, ..."
        )
        add_bool(run, "--overwrite", False, help="replace files that exist")

    args = parser.parse_args(argv)
    command = train_parser if args.command == "train" else score_parser
    for prefix in ("", "val_") if args.command == "train" else ("",):
        images, masks = getattr(args, f"{prefix}image_path"), getattr(args, f"{prefix}mask_path")
        if len(images) != len(masks):
            command.error(
                f"--{prefix}image_path names {len(images)} folders, --{prefix}mask_path {len(masks)}: give one for each"
            )
    if args.command == "train" and args.num_classes < 2:
        command.error("--num_classes must be at least 2")
    if args.command == "train" and args.image_size % SIZE_MULTIPLE:
        command.error(f"--image_size {args.image_size} is no multiple of {SIZE_MULTIPLE}")
    return args


def run_train(args) -> None:
    """Check, train, score the validation images, save."""
    refuse_existing(args.output, args.overwrite)
    device = pick_device(args.device)
    build_segmenter(
        args.num_classes, args.encoder
    )  # a wrong name is found here, before the masks are read
    pairs = gather_pairs(args.image_path, args.mask_path, args.num_classes)
    val_pairs = gather_pairs(args.val_image_path, args.val_mask_path, args.num_classes)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    steps = args.max_steps or math.ceil(args.epochs * len(pairs) / args.batch_size)
    print(
        f"training on {len(pairs)} images, validating on {len(val_pairs)}: {steps} steps of {args.batch_size} crops on {device}"
    )
    model = train_segmenter(
        pairs, val_pairs, args.num_classes, steps, args.batch_size, args.learning_rate, args.image_size, args.seed, device,
        args.encoder, args.num_workers, progress=True,
    )  # fmt: skip
    meta = {
        "options": {
            key: value if isinstance(value, int | float | None) else str(value)
            for key, value in vars(args).items()
        }
    }
    if val_pairs:
        meta["val"] = score(model, val_pairs, args.num_classes)
        print_scores("validation", meta["val"])
    save_segmenter(args.output, model, meta, args.overwrite)
    print(f"saved {args.output}")


def run_score(args) -> None:
    """Check, score, write what was asked for."""
    for path in filter(None, (args.output, args.picture)):
        refuse_existing(path, args.overwrite)
        path.parent.mkdir(parents=True, exist_ok=True)
    model = load_segmenter(args.checkpoint, pick_device(args.device))
    num_classes = model.architecture["num_classes"]
    pairs = gather_pairs(args.image_path, args.mask_path, num_classes)
    result = score(model, pairs, num_classes, args.shuffled, progress=True)
    print_scores(" ".join(map(str, args.image_path)), result)
    if args.output:
        sources = {
            "checkpoint": args.checkpoint,
            "image_path": args.image_path,
            "mask_path": args.mask_path,
        }
        with whole_file(args.output) as temporary:
            temporary.write_text(json.dumps(result | sources, indent=2, default=str) + "\n")
        print(f"wrote {args.output}")
    if args.picture:
        write_png(args.picture, draw_rows(model, pairs[:PICTURE_ROWS], num_classes))
        print(f"wrote {args.picture}")


def main(argv=None):
    args = parse_args(argv)
    run_train(args) if args.command == "train" else run_score(args)


if __name__ == "__main__":
    run_script(main)
