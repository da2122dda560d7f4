r"""Measure speed against quality of ways to draw images with a trained model.

    python benchmarks/speed_quality.py --model_weights_path RUN/EM_best_results.ckpt \
        --segmenter models/segmenter.ckpt --pairs data/test/images data/test/masks

Each row draws the same masks with the same seeds in another way. Speed is the CPU time of the first
batch, relative to the published defaults. All other batches are drawn jointly, which saves hours
and changes an image by a grey level at most. Agreement is the mean IoU of the mask and what the
segmenter finds in the image. KID compares the images with the real ones, in the features of the
segmenter's encoder.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from einops import rearrange
from tqdm import tqdm

from cldm.options import NANO_CONFIG, SamplingOptions
from conditions import ConditionOptions, create_condition
from conditions.base import classes_option
from conditions.pairs import Pair
from core.command_line.options import add_options, new_parser, option, positive_int, read_options
from core.imaging.image_options import ImageOptions, add_image_options
from core.imaging.images import LUMA, read_image, to_uint8
from core.prompts import PROMPTS
from core.seeds import sample_seed
from core.text import table
from fid.distances import kid
from generation.presets import PRESETS
from generation.settings import SAMPLING_FLAGS
from share import run_script

if TYPE_CHECKING:  # it takes seconds to load, and programs read their options before
    from segmentation.judge import Judge

# Options that all rows share: what is drawn, not how fast
SHARED_FLAGS = {"scale": "scale", "strength": "strength", "guess_mode": "guess_mode"}
PUBLISHED = "published defaults"
INTERVAL = (0.3, 5.0)  # noise levels, about those of Kynkaanniemi et al. 2024


def preset(name: str) -> SamplingOptions:
    """The sampling options of a preset."""
    values = {field: PRESETS[name].get(flag) for field, flag in SAMPLING_FLAGS.items()}
    return SamplingOptions(**{field: x for field, x in values.items() if x is not None})


WAYS = {
    PUBLISHED: SamplingOptions(),
    **{
        f"{sampler}, {steps} steps": SamplingOptions(sampler, steps)
        for sampler, steps in (("dpmpp", 20), ("unipc", 12), ("unipc", 10), ("unipc", 8))
    },
    "unipc, 12 steps, guidance in an interval": SamplingOptions(
        "unipc", 12, guidance_interval=INTERVAL
    ),
    "unipc, 12 steps, jointly": SamplingOptions("unipc", 12, joint=True),
    "--preset fast": preset("fast"),
}


@dataclass(frozen=True)
class SpeedOptions:
    """The model, the pairs and the judge."""

    config_yaml_path: Path = option(NANO_CONFIG, Path, "YAML", "model configuration")
    model_weights_path: Path = option(None, Path, "FILE", "trained weights", required=True)
    segmenter: Path = option(None, Path, "FILE", "segmenter of real pairs", required=True)
    pairs: tuple[Path, Path] = option(
        None,
        Path,
        ("IMAGES", "MASKS"),
        "held-out real pairs of one size",
        nargs=2,
        required=True,
    )
    num_classes: int = classes_option()
    seeds: int = option(2, positive_int, "INT", "images of each mask")
    batch_size: int = option(8, positive_int, "INT", "images drawn in one call")


@dataclass
class Drawn:
    """Images that one way has drawn, as far as the table needs them.

    Attributes:
        seconds: CPU time of the first batch.
        agreements, features: one for each image.
    """

    seconds: float = 0.0
    agreements: list[float] = dataclasses.field(default_factory=list)
    features: list[np.ndarray] = dataclasses.field(default_factory=list)


def encoder_features(judge: "Judge", picture: np.ndarray) -> np.ndarray:
    """Means of the deepest features of the segmenter's encoder, (D,); uint8 (H, W, 3)."""
    import torch  # here, as below: the options are read before

    grey = torch.from_numpy(picture / np.float32(255) @ LUMA)[None, None]  # (1, 1, H, W)
    with torch.inference_mode():
        return judge.model.encoder(grey)[-1].mean(dim=(2, 3))[0].numpy()


def draw_all(
    model,
    pairs: Sequence[Pair],
    hints: np.ndarray,
    judge: "Judge",
    options: SpeedOptions,
    ways: Mapping[str, SamplingOptions],
) -> dict[str, Drawn]:
    """Images of all pairs by each of `ways`.

    Args:
        hints: of the pairs, (N, H, W, C).
    """
    import torch

    from cldm.sampling import sample_images

    found = {name: Drawn() for name in ways}
    starts = range(0, len(pairs), options.batch_size)
    bar = tqdm(total=options.seeds * len(starts) * len(ways), desc="draw")
    for seed in range(options.seeds):
        for start in starts:
            part = slice(start, start + options.batch_size)
            hint = rearrange(torch.from_numpy(hints[part]), "n h w c -> n c h w")
            seeds = [sample_seed(seed, pair.condition.stem, 0) for pair in pairs[part]]
            for name, sampling in ways.items():
                timed = not found[name].agreements
                sampling = sampling if timed else dataclasses.replace(sampling, joint=True)
                begin = time.process_time()
                pictures = sample_images(model, [hint], PROMPTS[:1] * len(hint), seeds, sampling)
                found[name].seconds += (time.process_time() - begin) if timed else 0.0
                for picture, own_hint in zip(pictures, hints[part], strict=True):
                    labels = own_hint.argmax(axis=-1)  # (H, W), of a one-hot mask
                    found[name].agreements.append(judge.agreement(picture, labels))
                    found[name].features.append(encoder_features(judge, picture))
                bar.update()
    return found


def rows_of(found: dict[str, Drawn], real: np.ndarray) -> list[list[str]]:
    """The table; `real` are features of the real images, (N, D)."""
    rows = [["way", "speed", "agreement", "KID x 1000"]]
    slowest = found[PUBLISHED].seconds
    for name, drawn in found.items():
        agreements = np.array(drawn.agreements)
        distance = kid(real, np.stack(drawn.features))
        rows.append(
            [
                name,
                f"{slowest / drawn.seconds:.1f}",
                f"{agreements.mean():.3f} +- {agreements.std() / len(agreements) ** 0.5:.3f}",
                f"{1e3 * distance.value:.2f} +- {1e3 * distance.standard_error:.2f}",
            ]
        )
    return rows


def main(argv=None):
    parser = new_parser(__doc__)
    add_options(parser, SpeedOptions, "study")
    add_options(parser, SamplingOptions, "sampling, in all rows", flags=SHARED_FLAGS)
    add_image_options(parser)
    args = parser.parse_args(argv)
    # Here, because what works loads torch, which takes longer than reading the options.
    from cldm.model import build_model
    from segmentation.data import gather_pairs
    from segmentation.judge import Judge

    read_options(ImageOptions, args).apply()
    options = read_options(SpeedOptions, args)
    shared = read_options(SamplingOptions, args, SHARED_FLAGS)
    changes = {name: getattr(shared, name) for name in SHARED_FLAGS}
    ways = {name: dataclasses.replace(way, **changes) for name, way in WAYS.items()}
    pairs = gather_pairs(*([folder] for folder in options.pairs), options.num_classes)
    judge = Judge(options.segmenter, options.num_classes)
    condition = create_condition("segmentation", ConditionOptions(options.num_classes))
    hints = [condition.read_hint(pair.condition) for pair in pairs]
    if len({hint.shape for hint in hints}) > 1:
        raise ValueError(f"{options.pairs[1]}: masks of several sizes, expected one")
    hints = np.stack(hints)  # (N, H, W, C)
    model = build_model(
        options.config_yaml_path, options.model_weights_path, options.num_classes
    ).eval()
    pictures = [to_uint8(read_image(pair.image)) for pair in pairs]
    real = np.stack([encoder_features(judge, picture) for picture in pictures])
    agreements = [
        judge.agreement(picture, hint.argmax(axis=-1))
        for picture, hint in zip(pictures, hints, strict=True)
    ]
    print(f"{len(pairs)} real images, agreement {np.mean(agreements):.3f}")
    found = draw_all(model, pairs, hints, judge, options, ways)
    print(table(rows_of(found, real)))


if __name__ == "__main__":
    run_script(main)
