"""Does a backbone see what harms electron micrographs? FID and KID of images against their blurred, noisy and shuffled selves.

    python benchmarks/fid_severity.py data/test/images --network cem500k

A score that is worth reporting grows with every severity. Shuffling swaps blocks of pixels under a random mask that covers a share of
the image: grey levels stay, structure goes.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from tqdm import tqdm

from core.images import read_image
from fid.distances import Statistics, frechet_distance, kid
from fid.scoring import add_network, build_parser, load_network, read_folder
from share import run_script

BLOCK = 32  # pixels, what shuffling moves
SEVERITIES = {  # kind of harm -> strengths, none to strong
    "blur": (0, 1, 2, 4, 8),  # standard deviation in pixels
    "noise": (0, 10, 20, 40, 80),  # standard deviation in grey levels
    "shuffle": (0, 0.125, 0.25, 0.5, 1),  # share of the image
}


def harm(pixels: np.ndarray, kind: str, strength: float, rng: np.random.Generator) -> np.ndarray:
    """uint8 (H, W) -> the same, harmed."""
    if not strength:
        return pixels
    if kind == "blur":
        return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(strength)))
    if kind == "noise":
        return (
            (pixels + rng.normal(0, strength, pixels.shape)).round().clip(0, 255).astype(np.uint8)
        )
    rows, columns = (side // BLOCK for side in pixels.shape)
    blocks = (
        pixels[: rows * BLOCK, : columns * BLOCK]
        .reshape(rows, BLOCK, columns, BLOCK)
        .swapaxes(1, 2)
        .copy()
    )
    masked = rng.choice(rows * columns, max(2, round(strength * rows * columns)), replace=False)
    flat = blocks.reshape(rows * columns, BLOCK, BLOCK)
    flat[masked] = flat[np.roll(masked, 1)]  # no block stays where it was
    return (
        flat.reshape(rows, columns, BLOCK, BLOCK)
        .swapaxes(1, 2)
        .reshape(rows * BLOCK, columns * BLOCK)
    )


def main(argv=None):
    parser = build_parser(__doc__.split("\n\n")[0])
    parser.add_argument("real_dir", type=Path, help="real images")
    add_network(parser)
    args = parser.parse_args(argv)
    paths, _ = read_folder(args.real_dir, args.skip_corrupt)
    backbone = load_network(args)
    originals = [(read_image(path)[..., 0] * 255).round().astype(np.uint8) for path in paths]

    def features(kind, strength):
        rng = np.random.default_rng(0)
        statistics = Statistics(keep_features=True)
        for pixels in tqdm(originals, desc=f"{kind} {strength:g}", leave=False):
            harmed = np.repeat(harm(pixels, kind, strength, rng)[..., None], 3, axis=2)
            statistics.update(backbone.features(backbone.preprocessing(harmed)[None]))
        return statistics

    reference = features("blur", 0)
    print(
        f"{len(paths)} images, {backbone.name}, weights {backbone.sha256[:12]}, {backbone.preprocessing.size} px\n"
    )
    print("| harm | strength | FID | KID |\n| --- | ---: | ---: | ---: |")
    for kind, strengths in SEVERITIES.items():
        fids = []
        for strength in strengths:
            harmed = features(kind, strength)
            fids.append(frechet_distance(reference, harmed))
            print(
                f"| {kind} | {strength:g} | {fids[-1]:.4f} | {kid(reference.features, harmed.features).value:.5f} |",
                flush=True,
            )
        print(
            f"| {kind} | | {'grows at every step' if np.all(np.diff(fids) > 0) else 'DOES NOT GROW at every step'} | |"
        )


if __name__ == "__main__":
    run_script(main)
