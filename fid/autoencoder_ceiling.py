"""What the autoencoder alone costs: real images against their own encode-decode. No generator behind it can do better.

    python fid/autoencoder_ceiling.py data/test/images --config models/cldm_v15.yaml --model models/control_sd15_ini.ckpt --output ceiling

reports PSNR, the FID and KID between images and reconstructions, and what is left of the power at each spatial frequency.
"""

import json
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from cldm.model import create_first_stage
from cldm.sampling import to_pixels
from core.devices import pick_device
from core.files import whole_file
from core.images import read_image, write_png
from core.pictures import tile
from fid.distances import Statistics
from fid.scoring import (
    add_network,
    add_score_options,
    build_parser,
    compare,
    describe,
    load_network,
    print_summary,
    read_folder,
    writable,
)
from share import run_script

BANDS = 24  # of spatial frequency, up to the Nyquist limit of 0.5 cycles per pixel
SHOWN = 6  # pairs in the picture


@torch.inference_mode()
def reconstruct(model, pixels: np.ndarray, device) -> tuple[np.ndarray, np.ndarray]:
    """(original, reconstruction), both uint8 (H, W, 3), cut to what the autoencoder takes; `pixels` float (H, W, 3) in [0, 1].

    Raises:
        ValueError: smaller than one latent pixel.
    """
    height, width = (side - side % model.downsampling for side in pixels.shape[:2])
    if not height or not width:
        raise ValueError(
            f"an image of {pixels.shape[1]} x {pixels.shape[0]} pixels is smaller than the autoencoder's {model.downsampling}"
        )
    x = torch.from_numpy(pixels[:height, :width]).permute(2, 0, 1)[None].to(device) * 2 - 1
    decoded = model.decode(model.encode(x).mode())
    return to_pixels(x)[0], to_pixels(decoded)[0]


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures in dB; infinite for equal ones."""
    error = np.mean((first.astype(np.float64) - second) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def power_spectrum(pixels: np.ndarray) -> np.ndarray:
    """Mean power of a uint8 (H, W, 3) picture's grey levels in `BANDS` rings of spatial frequency, (BANDS,); a Hann window softens the edges."""
    grey = pixels.mean(axis=2)
    window = np.hanning(grey.shape[0])[:, None] * np.hanning(grey.shape[1])
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2 / (window**2).sum()
    frequency = np.hypot(np.fft.fftfreq(grey.shape[0])[:, None], np.fft.fftfreq(grey.shape[1]))
    band = np.minimum(
        (frequency / 0.5 * BANDS).astype(int), BANDS
    )  # corners beyond the limit go to a band of their own
    return (
        np.bincount(band.ravel(), power.ravel(), BANDS + 1)
        / np.bincount(band.ravel(), minlength=BANDS + 1)
    )[:BANDS]


def draw_spectrum(path: Path, real: np.ndarray, reconstructed: np.ndarray) -> None:
    """Both mean spectra over spatial frequency."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axis = figure.subplots()
    frequency = (np.arange(BANDS) + 0.5) / BANDS / 2
    axis.semilogy(frequency, real, label="real")
    axis.semilogy(frequency, reconstructed, label="encoded and decoded")
    axis.set_xlabel("spatial frequency (cycles per pixel)")
    axis.set_ylabel("power")
    axis.legend()
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def parse_args(argv=None):
    parser = build_parser(__doc__.split("\n\n")[0])
    parser.add_argument("real_dir", type=Path, help="real images")
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("models/cldm_v15.yaml"),
        metavar="YAML",
        help="configuration of the model",
    )
    parser.add_argument(
        "--model",
        type=Path,
        required=True,
        metavar="FILE",
        help="checkpoint that holds the autoencoder",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("autoencoder_ceiling"),
        metavar="DIR",
        help="folder for report.json and two pictures",
    )
    add_network(parser)
    add_score_options(parser)
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    writable(args.output / "report.json", "--output")
    paths, _ = read_folder(args.real_dir, args.skip_corrupt)
    device = pick_device(args.device)
    backbone = load_network(args)
    model = create_first_stage(args.config, args.model).to(device)
    sides = Statistics(keep_features=True), Statistics(keep_features=True)
    ratios, spectra, shown = [], np.zeros((2, BANDS)), []
    for path in tqdm(paths, desc="encode and decode", unit="image"):
        pair = reconstruct(model, read_image(path), device)
        for statistics, pixels in zip(sides, pair, strict=True):
            statistics.update(backbone.features(backbone.preprocessing(pixels)[None]))
        ratios.append(psnr(*pair))
        spectra += [power_spectrum(pixels) / len(paths) for pixels in pair]
        shown += [[pixels / np.float32(255) for pixels in pair]] if len(shown) < SHOWN else []
    result = {"psnr_db": float(np.mean(ratios))} | compare(*sides, args) | describe(backbone)
    kept = spectra[1] / spectra[0]
    result |= {
        "power_kept": kept.tolist(),
        "power_kept_upper_half": float(
            spectra[1, BANDS // 2 :].sum() / spectra[0, BANDS // 2 :].sum()
        ),
    }
    result |= {"real_dir": str(args.real_dir.resolve()), "model": str(args.model)}
    print(
        f"PSNR {result['psnr_db']:.2f} dB; {result['power_kept_upper_half']:.1%} of the power above 0.25 cycles per pixel is kept"
    )
    print_summary(result)
    with whole_file(args.output / "report.json") as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n")
    draw_spectrum(args.output / "spectrum.png", *spectra)
    write_png(args.output / "pairs.png", tile(shown))
    print(
        f"wrote {args.output / 'report.json'}, {args.output / 'spectrum.png'}, {args.output / 'pairs.png'} (real | encoded and decoded)"
    )


if __name__ == "__main__":
    run_script(main)
