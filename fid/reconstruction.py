"""Images against their own encode-decode: PSNR, and the power that is kept at each frequency."""

from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from matplotlib.figure import Figure

from cldm.sampling import to_pixels
from core.files import whole_file

BANDS = 24  # of spatial frequency, up to the Nyquist limit
NYQUIST = 0.5  # cycles per pixel


@torch.inference_mode()
def reconstruct(model, pixels: np.ndarray, device) -> tuple[np.ndarray, np.ndarray]:
    """(original, reconstruction), both uint8 (H, W, 3), cut to whole latent pixels.

    Args:
        model: an autoencoder with `downsampling`, `encode` and `decode`.
        pixels: float (H, W, 3) in [0, 1].
    Raises:
        ValueError: the image is smaller than one latent pixel.
    """
    height, width = (side - side % model.downsampling for side in pixels.shape[:2])
    if not height or not width:
        raise ValueError(
            f"an image of {pixels.shape[1]} x {pixels.shape[0]} pixels is smaller than the "
            f"autoencoder's {model.downsampling}"
        )
    cut = torch.from_numpy(pixels[:height, :width]).to(device)
    x = rearrange(cut, "h w c -> 1 c h w") * 2 - 1  # in [-1, 1]
    decoded = model.decode(model.encode(x).mode())  # the mode: no noise in the latent
    return to_pixels(x)[0], to_pixels(decoded)[0]


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures in dB; infinite for equal ones."""
    error = np.mean((first.astype(np.float64) - second) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def power_spectrum(pixels: np.ndarray) -> np.ndarray:
    """Mean power of the grey levels of a uint8 (H, W, 3) picture per spatial frequency, (BANDS,).

    A band is a ring in the plane of frequencies. A Hann window softens the edges of the picture,
    whose jump from one side to the other would else show in all bands.
    """
    grey = pixels.mean(axis=2)
    window = np.hanning(grey.shape[0])[:, None] * np.hanning(grey.shape[1])
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2 / (window**2).sum()
    frequency = np.hypot(np.fft.fftfreq(grey.shape[0])[:, None], np.fft.fftfreq(grey.shape[1]))
    # Corners of the plane lie beyond the limit: they go to a band of their own, which is dropped.
    band = np.minimum((frequency / NYQUIST * BANDS).astype(int), BANDS).ravel()
    totals = np.bincount(band, power.ravel(), BANDS + 1)
    return (totals / np.bincount(band, minlength=BANDS + 1))[:BANDS]


def draw_spectrum(path: Path, real: np.ndarray, reconstructed: np.ndarray) -> None:
    """Draw both mean spectra over spatial frequency, as a PNG."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axis = figure.subplots()
    frequency = (np.arange(BANDS) + 0.5) / BANDS * NYQUIST  # middles of the bands
    axis.semilogy(frequency, real, label="real")
    axis.semilogy(frequency, reconstructed, label="encoded and decoded")
    axis.set_xlabel("spatial frequency (cycles per pixel)")
    axis.set_ylabel("power")
    axis.legend()
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
