"""FIB-SEM-like phantoms: grey images of cells with a mask of background, cytoplasm and nucleus.

They come in stacks of similar slices. Nothing in them is copied from a microscope: outlines,
organelles, noise and curtaining are drawn from formulas (`microscope/phantom_shapes.py` has
the units).
Phantom i depends on (seed, split, i) alone; at another size it shows the same cells.
"""

import argparse
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_erosion, gaussian_filter
from tqdm import tqdm

from core.command_line.options import non_negative_int, option, positive_int
from core.files import check_new_folder
from core.imaging.images import to_uint8, write_png
from core.imaging.pairing import IMAGES, MASKS
from microscope.phantom_cells import Cells
from microscope.phantom_shapes import (
    CLEARANCE,
    DARK,
    FIELD,
    Canvas,
    Noise,
    pixel_grid,
    section,
    true_distance,
)

SMALLEST_SIZE = 32  # pixels; in less, organelles and membranes run into each other
SPLITS = ("train", "val", "test")
BACKGROUND, CYTOPLASM, NUCLEUS = 0, 1, 2
SLICES_PER_STACK = 8  # consecutive indices that cut the same cells at neighbouring depths

MEMBRANE = 2.0  # thickness of the dark line around a cell
ENVELOPE = 1.3  # half the distance of the two lines of the nuclear envelope; also their thickness
BLUR = 0.55  # deviation of the point spread function

# Grey levels in [0, 1] before contrast and brightness.
RESIN, CYTOPLASM_TONE = (0.66, 0.82), (0.50, 0.62)
NUCLEOPLASM = (0.03, 0.15)  # lighter than the cytoplasm
TONE_DEVIATION = 0.05  # between cells
RETICULUM_WALL = DARK + 0.1  # also of ribosomes
RETICULUM_LUMEN = 0.09  # lighter than the cytoplasm
PERINUCLEAR = 0.08  # the space inside the envelope: lighter than the cytoplasm
HETEROCHROMATIN = 0.24  # darker than the nucleoplasm
NUCLEOLUS, ENVELOPE_LINE = 0.24, DARK + 0.02
CHROMATIN = (0.5, 1.1)  # level of the texture above which it clumps

# Textures: deviation of the grey level by grain.
RESIN_TEXTURE = {"resin": 0.012, "medium": 0.012}
CYTOPLASM_TEXTURE = {"fine": 0.03, "medium": 0.035, "coarse": 0.025}
NUCLEOPLASM_TEXTURE = {"fine": 0.015, "medium": 0.02}

# Exposure.
CONTRAST, BRIGHTNESS = (0.72, 1.08), (-0.07, 0.07)
DRIFT_DEVIATION = 0.012  # of contrast and brightness from slice to slice
GRADIENT = (-0.09, 0.09)  # of the illumination, from the middle to a border
SHADING, SHADING_GRAIN = 0.025, 64  # deviation and grain of uneven illumination
CURTAINING = (0.3, 1.0)
CURTAIN_GRAINS, CURTAIN_LENGTH = (1.5, 5), 80  # across and along the streaks
SHOT_NOISE, READ_NOISE = (0.02, 0.045), 0.012  # the first at a grey level of 1
GRAINS = {  # of the textures inside cells and resin
    "fine": 1.6,
    "medium": 3.2,
    "coarse": 9,
    "clumps": 5.5,
    "er": 11,
    "er_gate": 16,
    "resin": 14,
}


def phantom_size(text: str) -> int:
    """A whole number of at least `SMALLEST_SIZE`."""
    value = positive_int(text)
    if value < SMALLEST_SIZE:
        raise argparse.ArgumentTypeError(f"{value}: cells need at least {SMALLEST_SIZE} pixels")
    return value


@dataclass(frozen=True)
class PhantomOptions:
    """Numbers of pairs of each split, their size and their seed."""

    train: int = option(200, non_negative_int, "INT", "number of pairs in train/")
    val: int = option(16, non_negative_int, "INT", "number of pairs in val/")
    test: int = option(16, non_negative_int, "INT", "number of pairs in test/")
    image_size: int = option(128, phantom_size, "INT", "width and height in pixels")
    seed: int = option(0, non_negative_int, "INT", "another seed gives other phantoms")


def mixed(textures: dict, weights: dict[str, float], tone: float = 0.0) -> np.ndarray:
    """`tone` plus the weighted sum of the named textures, (size, size)."""
    # Added in the order of `weights`: the rounding is part of what a seed means.
    return sum((weight * textures[name] for name, weight in weights.items()), start=tone)


class Stack:
    """One block of a specimen and its exposure; `draw` cuts a slice of it.

    All random numbers but those of the detector are drawn at the start, in an order that must not
    change: it is part of what a seed means. All pixels are computed in `draw`.
    """

    def __init__(self, rng: np.random.Generator):
        self.cells = Cells(rng)
        # Cytoplasm and nucleoplasm of each cell.
        self.tones = rng.normal(0, TONE_DEVIATION, (2, len(self.cells.outlines)))
        self.resin, self.cytoplasm = rng.uniform(*RESIN), rng.uniform(*CYTOPLASM_TONE)
        self.nucleoplasm = self.cytoplasm + rng.uniform(*NUCLEOPLASM)
        self.chromatin = rng.uniform(*CHROMATIN)  # clumps cover more where it is lower
        self.textures = {name: Noise(rng, grain) for name, grain in GRAINS.items()}
        self.contrast, self.brightness = rng.uniform(*CONTRAST), rng.uniform(*BRIGHTNESS)
        # Per slice.
        self.contrast_drift, self.brightness_drift = rng.normal(0, DRIFT_DEVIATION, 2)
        self.gradient, self.shading = rng.uniform(*GRADIENT, 2), Noise(rng, SHADING_GRAIN)
        self.curtains = [Noise(rng, grain, CURTAIN_LENGTH) for grain in CURTAIN_GRAINS]
        self.curtain_strength = rng.uniform(*CURTAINING)
        self.noise = rng.uniform(*SHOT_NOISE)

    def draw(self, z, size, rng):
        """Image and mask of a slice, both uint8 (size, size).

        Args:
            z: depth of the slice; 0 is the middle of the stack.
            rng: source of the detector's noise.
        """
        cells, nuclei = self.cells.regions(size, z)  # lists of (size, size)
        canvas = Canvas(np.full((size, size), self.resin, np.float32))
        textures = {name: noise.at(size, z) for name, noise in self.textures.items()}
        canvas.image += mixed(textures, RESIN_TEXTURE)
        outside = -np.min(cells, axis=0)  # below 0 in the resin
        for organelle in (o for o in self.cells.organelles if o.cell is None):
            canvas.organelle(organelle, z, outside + 1.0)
        for i, (cell, nucleus) in enumerate(zip(cells, nuclei, strict=True)):
            self._draw_cytoplasm(canvas, textures, cell, nucleus, self.cytoplasm + self.tones[0, i])
            limits = np.maximum(cell, -nucleus) + CLEARANCE - 0.7
            for organelle in (o for o in self.cells.organelles if o.cell == i):
                canvas.organelle(organelle, z, limits)
            if self.cells.nuclei[i] is not None and nucleus.min() < 0:
                self._draw_nucleus(canvas, textures, nucleus, i, z)
            # The membrane comes last: it lies over whatever reached the outline.
            canvas.fill(np.abs(cell + MEMBRANE / 2) - MEMBRANE / 2, DARK)
        # The mask follows from the distances, not from the painted image.
        mask = np.full((size, size), BACKGROUND, np.uint8)
        inside = np.min(cells, axis=0) < 0
        mask[inside] = CYTOPLASM
        # A nucleus never touches the background, at any size: one pixel of cytoplasm stays. Beyond
        # the border the cell goes on, hence the border value.
        mask[(np.min(nuclei, axis=0) < 0) & binary_erosion(inside, border_value=1)] = NUCLEUS
        return self._expose(canvas.image, z, rng), mask

    def _draw_cytoplasm(self, canvas, textures, cell, nucleus, tone):
        """Paint grain, ribosomes and endoplasmic reticulum of one cell.

        Args:
            textures: noise by name, each (size, size).
            cell, nucleus: signed distances to the outlines, (size, size).
            tone: grey level of this cell's cytoplasm.
        """
        canvas.fill(cell, tone + mixed(textures, CYTOPLASM_TEXTURE))
        ribosomes = np.clip(-textures["medium"] - 1.0, 0, 1)  # and their clusters
        canvas.fill(cell, RETICULUM_WALL, 0.6 * ribosomes)
        # The endoplasmic reticulum: sheets along the zero lines of a noise field, in patches.
        away = np.maximum(
            np.maximum(cell, -nucleus) + CLEARANCE + 1.0, 5 * (0.35 - textures["er_gate"])
        )
        reticulum = np.abs(true_distance(textures["er"]))  # from the middle of a sheet
        canvas.fill(np.maximum(reticulum - 1.6, away), tone + RETICULUM_LUMEN)
        # Its two membranes, 1 unit thick, on either side of the lumen.
        canvas.fill(np.maximum(np.abs(reticulum - 1.6) - 0.5, away), RETICULUM_WALL, 0.8)

    def _draw_nucleus(self, canvas, textures, nucleus, i, z):
        """Paint nucleoplasm, chromatin, nucleolus and envelope of cell `i` in slice `z`.

        Args:
            textures: noise by name, each (size, size).
            nucleus: signed distance to the outline, (size, size).
        """
        tone = self.nucleoplasm + self.tones[1, i]
        # The space between the two lines of the envelope.
        canvas.fill(nucleus - 2 * ENVELOPE, self.cytoplasm + PERINUCLEAR, 0.6)
        canvas.fill(nucleus, mixed(textures, NUCLEOPLASM_TEXTURE, tone))
        rim = 1.5 * np.exp(np.minimum(nucleus + ENVELOPE, 0) / 3.5)  # chromatin lines the envelope
        clumps = textures["clumps"] + 0.35 * textures["medium"] + rim
        canvas.fill(nucleus, tone - HETEROCHROMATIN, np.clip(1.8 * (clumps - self.chromatin), 0, 1))
        blob = self.cells.nuclei[i]
        # The nucleolus is a flatter ellipsoid inside the nucleus, so it ends at fewer slices.
        radius = 0.27 * blob.radius * section(z - blob.widest - 1, 0.8 * blob.depth)
        if radius > 1.5:
            x, y = pixel_grid(canvas.size)
            centre = (blob.x, blob.y) + blob.drift * z + self.cells.nucleoli[i] * blob.radius
            body = np.hypot(x - centre[0], y - centre[1]) - radius - 0.9 * textures["clumps"]
            tone = NUCLEOLUS + 0.05 * textures["medium"]
            canvas.fill(np.maximum(body, nucleus + 4), tone, softness=2)
        outer, inner = (np.abs(nucleus + shift) - ENVELOPE / 2 for shift in (-ENVELOPE, ENVELOPE))
        canvas.fill(outer, ENVELOPE_LINE, 0.95)
        # Where the texture is low, the inner line fades: these are the nuclear pores.
        with_pores = np.clip(1.1 + 0.5 * textures["medium"], 0, 1)
        canvas.fill(inner, ENVELOPE_LINE, with_pores)

    def _expose(self, image, z, rng):
        """The image as a microscope records it, uint8.

        It adds blur, uneven illumination, curtaining, contrast, shot noise and read noise.
        """
        size = image.shape[0]
        x, y = pixel_grid(size)
        image = gaussian_filter(image, BLUR * size / FIELD)
        shade = (
            self.gradient[0] * (2 * x / FIELD - 1)
            + self.gradient[1] * (2 * y / FIELD - 1)
            + SHADING * self.shading.at(size, z)
        )
        # Curtains: the beam mills from above, so they are long in y, narrow in x, strong below.
        streaks = [curtain.at(size, 2 * z) for curtain in self.curtains]
        # Only the tails of the noise, beyond 1.6 deviations, are streaks; the rest stays clean.
        strong = np.sign(streaks[0]) * np.clip(np.abs(streaks[0]) - 1.6, 0, 1.2)
        deep = 0.09 * strong * (0.4 + 0.6 * y / FIELD)
        shade += self.curtain_strength * (deep + 0.018 * streaks[1])
        contrast = self.contrast + self.contrast_drift * z
        image = 0.5 + contrast * (image - 0.52) + self.brightness + self.brightness_drift * z
        image = np.clip(image * (1 + shade), 0.02, 1)
        shot, read = rng.standard_normal((2, size, size), dtype=np.float32)
        # Shot noise grows with the root of the signal (Poisson); read noise does not depend on it.
        image = image + self.noise * np.sqrt(image) * shot + READ_NOISE * read
        return to_uint8(image)


@lru_cache(maxsize=2)
def get_stack(seed: int, split: str, number: int) -> Stack:
    """Stack `number` of a split. Splits share none, and neighbouring slices share one object."""
    return Stack(np.random.default_rng([seed, SPLITS.index(split), number]))


def draw_phantom(
    seed: int, split: str, index: int, size: int = 128
) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask of one phantom, both uint8 (size, size).

    The mask holds 0 for background, 1 for cytoplasm, 2 for nucleus.

    Args:
        split: one of `SPLITS`; splits share no cells.
        index: number of the phantom; 8k to 8k + 7 are neighbouring slices of one stack.
        size: width and height in pixels, at least 32.
    """
    number, place = divmod(index, SLICES_PER_STACK)
    # 1 +: SeedSequence pads with zeros, so a last 0 would repeat the stack's own random numbers.
    rng = np.random.default_rng([seed, SPLITS.index(split), number, 1 + place])
    return get_stack(seed, split, number).draw(place - (SLICES_PER_STACK - 1) / 2, size, rng)


def write_phantoms(folder: Path, options: PhantomOptions) -> None:
    """Write `folder`/SPLIT/{images,masks}/phantom_00000.png and so on.

    Raises:
        FileExistsError, PermissionError: as `check_new_folder`.
    """
    check_new_folder(folder)
    counts = [getattr(options, split) for split in SPLITS]  # the fields have the splits' names
    with tqdm(total=sum(counts), unit="image", desc="phantoms") as progress:
        for split, count in zip(SPLITS, counts, strict=True):
            images, masks = folder / split / IMAGES, folder / split / MASKS
            images.mkdir(parents=True)
            masks.mkdir()
            for index in range(count):
                image, mask = draw_phantom(options.seed, split, index, options.image_size)
                write_png(images / f"phantom_{index:05d}.png", image)
                write_png(masks / f"phantom_{index:05d}.png", mask)
                progress.update()
