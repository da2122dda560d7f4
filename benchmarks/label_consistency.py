"""Do generated images show what their masks say? A segmenter trained on real images is the judge.

    python benchmarks/label_consistency.py --train IMAGES MASKS --test IMAGES MASKS --generated IMAGES MASKS

prints its mIoU on held-out real images, on generated ones, and on generated ones against other images' masks.
"""

import argparse
import json
from pathlib import Path

from conditions import ConditionOptions, create_condition
from core.files import whole_file
from core.options import non_negative_int, positive_float, positive_int
from dataset import check_pairs, find_pairs
from segmentation.network import ENCODER
from segmentation.scoring import score
from segmentation.training import train_segmenter
from share import run_script

OBEYED = 0.85  # share of the real mIoU that obedient images reach
SHUFFLED = 0.5  # and that they stay below when the masks are another image's


def parse_args(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    for name, what in (
        ("train", "real pairs to train the segmenter on"),
        ("test", "held-out real pairs"),
        ("generated", "generated pairs"),
    ):
        parser.add_argument(
            f"--{name}", type=Path, nargs=2, required=True, metavar=("IMAGES", "MASKS"), help=what
        )
    parser.add_argument(
        "--num_classes", type=positive_int, default=3, metavar="INT", help="classes of the masks"
    )
    parser.add_argument(
        "--max_steps",
        type=positive_int,
        default=300,
        metavar="INT",
        help="training steps of the segmenter",
    )
    parser.add_argument(
        "--batch_size", type=positive_int, default=16, metavar="INT", help="crops per step"
    )
    parser.add_argument(
        "--learning_rate",
        type=positive_float,
        default=3e-3,
        metavar="FLOAT",
        help="highest learning rate",
    )
    parser.add_argument(
        "--image_size",
        type=positive_int,
        default=128,
        metavar="PIXELS",
        help="side of the training crops, a multiple of 32",
    )
    parser.add_argument(
        "--encoder",
        default=ENCODER,
        metavar="NAME",
        help="of segmentation-models-pytorch; real EM wants resnet18",
    )
    parser.add_argument(
        "--seed", type=non_negative_int, default=0, metavar="INT", help="of the segmenter"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSON file to write")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    pairs = {name: find_pairs(*getattr(args, name)) for name in ("train", "test", "generated")}
    for some in pairs.values():
        check_pairs(some, create_condition("segmentation", ConditionOptions(args.num_classes)))
    model = train_segmenter(
        pairs["train"], [], args.num_classes, args.max_steps, args.batch_size, args.learning_rate, args.image_size, args.seed,
        encoder=args.encoder, progress=True,
    )  # fmt: skip
    generated = score(model, pairs["generated"], args.num_classes, shuffled=True)
    result = {
        "real": score(model, pairs["test"], args.num_classes)["miou"],
        "generated": generated["miou"],
        "shuffled": generated["miou_shuffled"],
    }
    result["obedience"] = result["generated"] / result["real"]
    result["chance"] = result["shuffled"] / result["real"]
    print(f"mIoU, {len(pairs['test']):4} held-out real images   {result['real']:.3f}")
    print(
        f"mIoU, {len(pairs['generated']):4} generated images       {result['generated']:.3f}  {result['obedience']:.2f} of real; obeyed from {OBEYED}"
    )
    print(
        f"      against shuffled masks       {result['shuffled']:.3f}  {result['chance']:.2f} of real; chance stays below {SHUFFLED}"
    )
    if args.output:
        with whole_file(args.output) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    run_script(main)
