"""Scores of images against their harmed selves: does a backbone see what harms micrographs?

    python benchmarks/fid_severity.py data/test/images --network cem500k

Images are blurred, made noisy and shuffled. A score that is worth reporting grows with every
severity. Shuffling swaps blocks of pixels under a random mask that covers a share of the image:
grey levels stay, structure goes.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from einops import rearrange
from PIL import Image, ImageFilter
from tqdm import tqdm

from core.command_line.options import add_options, dashed, new_parser, read_options
from core.imaging.image_options import ImageOptions, add_image_options
from core.imaging.images import read_image, to_uint8
from fid.backbones.options import BackboneOptions
from fid.distances import Statistics, frechet_distance, kid
from fid.options import FeatureOptions
from share import run_script

if TYPE_CHECKING:  # it takes seconds to load, and programs read their options before
    from fid.backbones.loading import Backbone

BLOCK = 32  # pixels, what shuffling moves
SEVERITIES = {  # kind of harm -> strengths, none to strong
    "blur": (0, 1, 2, 4, 8),  # standard deviation in pixels
    "noise": (0, 10, 20, 40, 80),  # standard deviation in grey levels
    "shuffle": (0, 0.125, 0.25, 0.5, 1),  # share of the image
}
READING_FLAGS = {"skip_corrupt": "skip-corrupt"}  # images are harmed in this process, one by one


def harm(pixels: np.ndarray, kind: str, strength: float, rng: np.random.Generator) -> np.ndarray:
    """uint8 (H, W) -> the same, harmed; shuffling cuts it to whole blocks."""
    if not strength:
        return pixels
    if kind == "blur":
        return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(strength)))
    if kind == "noise":
        noisy = pixels + rng.normal(0, strength, pixels.shape)
        return noisy.round().clip(0, 255).astype(np.uint8)  # clipped, as a detector would
    rows, columns = (side // BLOCK for side in pixels.shape)
    cut = pixels[: rows * BLOCK, : columns * BLOCK]  # whole blocks
    sizes = {"h": BLOCK, "w": BLOCK}
    blocks = rearrange(cut, "(rows h) (columns w) -> (rows columns) h w", **sizes).copy()
    masked = rng.choice(len(blocks), max(2, round(strength * len(blocks))), replace=False)
    blocks[masked] = blocks[np.roll(masked, 1)]  # no masked block stays where it was
    return rearrange(blocks, "(rows columns) h w -> (rows h) (columns w)", rows=rows, **sizes)


def harmed_statistics(
    originals: list[np.ndarray], backbone: "Backbone", kind: str, strength: float
) -> Statistics:
    """Statistics of harmed images; the same call harms them the same way."""
    # The same noise at every strength: only its size differs.
    rng = np.random.default_rng(0)
    statistics = Statistics(keep_features=True)
    for pixels in tqdm(originals, desc=f"{kind} {strength:g}", leave=False):
        harmed = np.repeat(harm(pixels, kind, strength, rng)[..., None], 3, axis=2)  # (H, W, 3)
        # One by one: images of a folder may differ in size.
        statistics.update(backbone.features(backbone.preprocessing(harmed)[None]))
    return statistics


def main(argv=None):
    parser = new_parser(__doc__)
    parser.add_argument("real_dir", type=Path, help="real images")
    add_options(parser, BackboneOptions, "network", flags=dashed(BackboneOptions))
    add_options(parser, FeatureOptions, "run", flags=READING_FLAGS)
    add_image_options(parser)
    args = parser.parse_args(argv)
    # Here, because what works loads torch, which takes longer than reading the options.
    from fid.backbones.loading import load_backbone
    from fid.images import read_folder

    read_options(ImageOptions, args).apply()
    network = read_options(BackboneOptions, args, dashed(BackboneOptions))
    reading = read_options(FeatureOptions, args, READING_FLAGS)
    paths, _ = read_folder(args.real_dir, reading.skip_corrupt)
    backbone = load_backbone(network)
    # Micrographs are grey, so the first channel holds all there is.
    originals = [to_uint8(read_image(path)[..., 0]) for path in paths]  # (H, W) each
    reference = harmed_statistics(originals, backbone, "blur", 0)
    print(
        f"{len(paths)} images, {backbone.name}, weights {backbone.sha256[:12]}, "
        f"{backbone.preprocessing.size} px\n"
    )
    print("| harm | strength | FID | KID |\n| --- | ---: | ---: | ---: |")
    for kind, strengths in SEVERITIES.items():
        fids = []
        for strength in strengths:
            harmed = harmed_statistics(originals, backbone, kind, strength)
            fids.append(frechet_distance(reference, harmed))
            distance = kid(reference.features, harmed.features).value
            print(f"| {kind} | {strength:g} | {fids[-1]:.4f} | {distance:.5f} |", flush=True)
        grows = np.all(np.diff(fids) > 0)
        print(f"| {kind} | | {'grows' if grows else 'DOES NOT GROW'} at every step | |")


if __name__ == "__main__":
    run_script(main)
