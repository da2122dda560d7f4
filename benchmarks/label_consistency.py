r"""Judge by a segmenter of real images whether generated images show what their masks say.

    python benchmarks/label_consistency.py --train IMAGES MASKS --test IMAGES MASKS \
        --generated IMAGES MASKS

It prints the segmenter's mIoU on held-out real images, on generated ones, and on generated ones
against the masks of other images.
"""

from dataclasses import dataclass
from pathlib import Path

from conditions.base import classes_option
from conditions.pairs import Pair
from core.command_line.options import add_options, new_parser, option, positive_int, read_options
from core.files import write_json
from core.imaging.image_options import ImageOptions, add_image_options
from segmentation.folders import TrainingPairs
from segmentation.options import SegmenterOptions
from share import run_script

OBEYED = 0.85  # share of the real mIoU that obedient images reach
SHUFFLED = 0.5  # and that they stay below when the masks are those of other images
FOLDERS = {"nargs": 2, "required": True}
SEGMENTER_FLAGS = {  # all but the number of workers: the data sets are small
    name: name for name in ("batch_size", "learning_rate", "image_size", "encoder", "seed")
}


@dataclass(frozen=True)
class ConsistencyOptions:
    """Pairs, classes and length of the study."""

    train: tuple[Path, Path] = option(
        None, Path, ("IMAGES", "MASKS"), "real pairs to train the segmenter on", **FOLDERS
    )
    test: tuple[Path, Path] = option(
        None, Path, ("IMAGES", "MASKS"), "held-out real pairs", **FOLDERS
    )
    generated: tuple[Path, Path] = option(
        None, Path, ("IMAGES", "MASKS"), "generated pairs", **FOLDERS
    )
    num_classes: int = classes_option()
    max_steps: int = option(300, positive_int, "INT", "training steps of the segmenter")
    output: Path | None = option(None, Path, "FILE", "JSON file to write")


def measure(
    train: list[Pair],
    test: list[Pair],
    generated: list[Pair],
    study: ConsistencyOptions,
    segmenter: SegmenterOptions,
) -> dict[str, float]:
    """mIoU on real, generated and shuffled pairs, and the last two as shares of the first."""
    from segmentation.scoring import score  # here, as below: it loads torch
    from segmentation.training import train_segmenter

    # Without validation pairs: the last weights count, and nothing is tuned on the test set.
    model = train_segmenter(
        TrainingPairs(train), study.num_classes, study.max_steps, segmenter, progress=True
    )
    real = score(model, test, study.num_classes)["miou"]
    drawn = score(model, generated, study.num_classes, shuffled=True)
    return {
        "real": real,
        "generated": drawn["miou"],
        "shuffled": drawn["miou_shuffled"],
        # As shares: a weak segmenter lowers all three alike.
        "obedience": drawn["miou"] / real,
        "chance": drawn["miou_shuffled"] / real,
    }


def parse_args(argv=None):
    parser = new_parser(__doc__)
    add_options(parser, ConsistencyOptions, "study")
    add_options(parser, SegmenterOptions, "segmenter", flags=SEGMENTER_FLAGS)
    add_image_options(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    # Here, because what works loads torch, which takes longer than reading the options.
    from segmentation.data import gather_pairs

    read_options(ImageOptions, args).apply()
    study = read_options(ConsistencyOptions, args)
    segmenter = read_options(SegmenterOptions, args, SEGMENTER_FLAGS)
    train, test, generated = (
        gather_pairs([images], [masks], study.num_classes)
        for images, masks in (study.train, study.test, study.generated)
    )
    result = measure(train, test, generated, study, segmenter)
    print(f"mIoU, {len(test):4} held-out real images   {result['real']:.3f}")
    print(
        f"mIoU, {len(generated):4} generated images       {result['generated']:.3f}  "
        f"{result['obedience']:.2f} of real; obeyed from {OBEYED}"
    )
    print(
        f"      against shuffled masks       {result['shuffled']:.3f}  "
        f"{result['chance']:.2f} of real; chance stays below {SHUFFLED}"
    )
    if study.output:
        write_json(study.output, result)


if __name__ == "__main__":
    run_script(main)
