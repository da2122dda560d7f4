"""Images against their own encode-decode: PSNR, and the power that is kept at each frequency."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from matplotlib.figure import Figure
from tqdm import tqdm

from cldm.sampling import NotFiniteError, to_pixels
from core.files import whole_file
from core.imaging.images import read_image
from core.imaging.pictures import centre
from fid.backbones.loading import Backbone
from fid.distances import Statistics

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
    # Cut, not resized: resizing would smooth the original as well.
    cut = torch.from_numpy(pixels[:height, :width]).to(device)  # (H', W', 3)
    x = rearrange(cut, "h w c -> 1 c h w") * 2 - 1  # (1, 3, H', W') in [-1, 1]
    decoded = model.decode(model.encode(x).mode())  # the mode: no noise in the latent
    # Both are rounded to 8 bits alike, so that rounding is no difference between them.
    return to_pixels(x)[0], to_pixels(decoded)[0]


def reconstruct_files(
    paths: Sequence[Path], model, device: torch.device, crop: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(original, reconstruction) of image files, one by one, with a progress bar.

    Args:
        model: see `reconstruct`.
        crop: side in pixels of the centre that is taken; None for whole images.
    Raises:
        ValueError: see `core.imaging.images.read_image` and `reconstruct`; or a reconstruction is
            NaN or infinite.
    """
    for path in tqdm(paths, desc="encode and decode", unit="image"):
        pixels = read_image(path)
        try:
            yield reconstruct(model, centre(pixels, crop) if crop else pixels, device)
        except NotFiniteError as error:
            raise ValueError(
                f"{path}: its reconstruction is NaN or infinite. Check the autoencoder's weights, "
                "or try a smaller crop."
            ) from error


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures in dB; infinite for equal ones."""
    error = np.mean((first.astype(np.float64) - second) ** 2)  # bytes would wrap around
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def power_spectrum(pixels: np.ndarray) -> np.ndarray:
    """Mean power of the grey levels of a uint8 (H, W, 3) picture per spatial frequency, (BANDS,).

    A band is a ring in the plane of frequencies. A Hann window softens the edges of the picture,
    whose jump from one side to the other would else show in all bands.
    """
    grey = pixels.mean(axis=2)  # (H, W)
    window = np.hanning(grey.shape[0])[:, None] * np.hanning(grey.shape[1])  # (H, W)
    # Without its mean, which the window would smear over the lowest bands. Divided by the window's
    # own power, the spectrum does not depend on the size of the picture.
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2 / (window**2).sum()
    frequency = np.hypot(np.fft.fftfreq(grey.shape[0])[:, None], np.fft.fftfreq(grey.shape[1]))
    # Corners of the plane lie beyond the limit: they go to a band of their own, which is dropped.
    band = np.minimum((frequency / NYQUIST * BANDS).astype(int), BANDS).ravel()  # (H W,)
    totals = np.bincount(band, power.ravel(), BANDS + 1)
    return (totals / np.bincount(band, minlength=BANDS + 1))[:BANDS]


@dataclass
class Reconstructions:
    """Measurements of images and their reconstructions.

    Attributes:
        real, reconstructed: statistics of their features.
        ratios: PSNR of each image in dB.
        spectra: mean power of both, (2, BANDS).
        shown: the first pairs of pictures, float32 (H, W, 3) in [0, 1] each.
    """

    # All features are kept: there are seldom enough images to do without KID.
    real: Statistics = field(default_factory=lambda: Statistics(keep_features=True))
    reconstructed: Statistics = field(default_factory=lambda: Statistics(keep_features=True))
    ratios: list[float] = field(default_factory=list)
    spectra: np.ndarray = field(default_factory=lambda: np.zeros((2, BANDS)))
    shown: list[list[np.ndarray]] = field(default_factory=list)

    def fields(self) -> dict:
        """Mean PSNR and the share of the power that is kept, as a report states them."""
        # Fine structure, such as membranes and noise, lies in the upper half.
        upper_half = self.spectra[:, BANDS // 2 :].sum(axis=1)  # (2,)
        return {
            "psnr_db": float(np.mean(self.ratios)),
            "power_kept": (self.spectra[1] / self.spectra[0]).tolist(),
            "power_kept_upper_half": float(upper_half[1] / upper_half[0]),
        }


def measure_reconstructions(
    paths: Sequence[Path], model, backbone: Backbone, device: torch.device, shown: int
) -> Reconstructions:
    """Encode and decode image files one by one, with a progress bar, and measure the results.

    Args:
        model: see `reconstruct`.
        shown: number of pairs to keep.
    Raises:
        ValueError: see `reconstruct_files`.
    """
    result = Reconstructions()
    for pair in reconstruct_files(paths, model, device):  # (H', W', 3) each
        for statistics, pixels in zip((result.real, result.reconstructed), pair, strict=True):
            batch = backbone.preprocessing(pixels)[None]  # (1, C, size, size)
            statistics.update(backbone.features(batch))
        result.ratios.append(psnr(*pair))
        result.spectra += [power_spectrum(pixels) / len(paths) for pixels in pair]
        if len(result.shown) < shown:
            result.shown.append([pixels / np.float32(255) for pixels in pair])
    return result


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
