"""FIB-SEM-like phantoms: grey cell images with a mask of background, cytoplasm and nucleus, in stacks of similar slices.

Nothing in them is copied from a microscope: outlines, organelles, noise and curtaining are drawn from formulas.
Phantom i depends on (seed, split, i) alone; at another size it shows the same cells.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion, gaussian_filter
from tqdm import tqdm

from core.images import write_png

SPLITS = ("train", "val", "test")
BACKGROUND, CYTOPLASM, NUCLEUS = 0, 1, 2
SLICES_PER_STACK = 8  # consecutive indices that cut the same cells at neighbouring depths

# Lengths are in units of 1/88 of the field's width: 1.45 pixels at 128 pixels. Depths (z) are in slices.
FIELD = 88
BACKGROUND_SHARE = (0.28, 0.50)  # of the field, in a stack's middle slice
CLEFT = (1.6, 3.0)  # resin between touching cells
MEMBRANE = 2.0  # thickness of the dark line around a cell
ENVELOPE = (
    1.3  # half the distance between the two lines of the nuclear envelope; also their thickness
)
CYTOPLASM_RIM = 5.0  # least distance from the nucleus to its cell's outline
CLEARANCE = 3.2  # from an organelle to the membranes of cell and nucleus
BLUR = 0.55  # deviation of the point spread function
HARMONICS = np.arange(2, 8)  # of a cell's outline
FAR = 99.0  # a distance beyond every edge

# Grey levels in [0, 1] before contrast and brightness.
DARK, MATRIX, LUMEN = 0.13, 0.36, 0.74


class Noise:
    """A smooth random field over the plane that drifts with z; mean 0, deviation about 1, the same at every image size."""

    def __init__(self, rng, grain_x, grain_y=None):
        """`grain_x`, `grain_y`: distance over which the field changes; `grain_y` is `grain_x` unless given."""
        shape = [max(2, round(FIELD / grain)) for grain in (grain_y or grain_x, grain_x)]
        self.lattices = (
            rng.standard_normal((2, *shape)).astype(np.float32) * 1.35
        )  # 1.35 undoes what interpolation takes off

    def at(self, size, z=0.0):
        turn = 0.15 * z
        lattice = np.cos(turn) * self.lattices[0] + np.sin(turn) * self.lattices[1]
        return np.asarray(
            Image.fromarray(lattice.astype(np.float32)).resize(
                (size, size), Image.Resampling.BICUBIC
            )
        )


class Blob:
    """A closed outline r(theta) = R (1 + sum_k a_k cos(k theta + p_k)) that moves, turns and shrinks slowly with z."""

    def __init__(self, rng, x, y, radius, roughness, depth):
        """`depth`: distance in z from the widest section, near slice 0, to the tip."""
        self.x, self.y, self.radius, self.depth = x, y, radius, depth
        self.drift = rng.normal(0, 0.35, 2)
        self.widest = rng.uniform(-2, 2)
        self.amplitudes = roughness * rng.standard_normal(len(HARMONICS)) / HARMONICS**1.25
        self.phases = rng.uniform(0, 2 * np.pi, len(HARMONICS))
        self.turns = rng.normal(0, 0.06, len(HARMONICS))

    def distance(self, x, y, z):
        """Roughly the signed distance to the outline, negative inside."""
        dx, dy = x - self.x - self.drift[0] * z, y - self.y - self.drift[1] * z
        theta = np.arctan2(dy, dx)
        rho = np.hypot(dx, dy)
        waves = sum(
            a * np.cos(k * theta + np.float32(p + turn * z))
            for k, a, p, turn in zip(
                HARMONICS.tolist(), self.amplitudes.tolist(), self.phases, self.turns, strict=True
            )
        )
        waves *= (
            np.clip(1.4 * rho / self.radius, 0, 1) ** 2
        )  # theta jumps at the centre; the field must not
        return rho - np.float32(self.radius * section(z - self.widest, self.depth)) * (1 + waves)


@dataclass
class Organelle:
    """Something small at (x, y): a sausage of half-width `radius` and length 2 (`straight` + `radius`), bent and turned by `angle`."""

    kind: str  # "mitochondrion", "vesicle", "granule" or "golgi"
    cell: int | None  # index of the cell it lies in; None in the resin
    x: float
    y: float
    z: float  # slice where it is widest
    depth: float
    radius: float
    straight: float
    angle: float
    bend: float
    phase: float  # of the cristae, in periods
    tone: float  # added to the grey levels


def section(z, depth):
    """Relative radius of the section at distance `z` from the middle of an ellipsoid of half-height `depth`."""
    return np.sqrt(max(0.0, 1 - (z / depth) ** 2))


def pixel_grid(size):
    """x and y of the pixel centres in units, two float32 (size, size)."""
    centres = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(FIELD / size)
    return np.meshgrid(centres, centres)


def true_distance(field):
    """Turn a level-set function on the pixel grid into a distance that is right near its zero line."""
    down, right = np.gradient(field, FIELD / field.shape[0])
    return field / np.clip(np.hypot(down, right), 0.5, None)


class Stack:
    """The cells of one specimen block; `draw(z, ...)` cuts a slice of it. All positions are fixed here, all pixels there."""

    def __init__(self, rng):
        number = rng.choice([1, 2, 3], p=[0.25, 0.45, 0.3])
        self.warps = [
            (Noise(rng, grain), Noise(rng, grain), reach) for grain, reach in ((22, 2.6), (9, 0.8))
        ]
        self.cleft = rng.uniform(*CLEFT)
        self.growth = 0.0  # moves all outlines outwards
        self.cells, self.nuclei = self._place_cells(rng, number), [None] * number
        nearest = np.min(self._regions(64, 0.0)[0], axis=0)
        self.growth = np.quantile(nearest, 1 - rng.uniform(*BACKGROUND_SHARE))
        for i, cell in enumerate(self.cells):
            if i == 0 or rng.random() < 0.85:
                radius = np.clip((cell.radius + self.growth) * rng.uniform(0.48, 0.64), 9, 34)
                x, y = (cell.x, cell.y) + rng.normal(0, 0.1, 2) * cell.radius
                self.nuclei[i] = Blob(
                    rng, x, y, radius, rng.uniform(0.06, 0.22), rng.uniform(7, 16)
                )
        self.organelles = self._place_organelles(rng)
        self.nucleoli = [rng.uniform(-0.4, 0.4, 2) for _ in range(number)]
        self.tones = rng.normal(0, 0.05, (2, number))  # cytoplasm and nucleoplasm of each cell
        self.resin, self.cytoplasm = rng.uniform(0.66, 0.82), rng.uniform(0.50, 0.62)
        self.nucleoplasm = self.cytoplasm + rng.uniform(0.03, 0.15)
        self.chromatin = rng.uniform(0.5, 1.1)  # clumps cover more where it is lower
        self.textures = {
            name: Noise(rng, grain)
            for name, grain in {
                "fine": 1.6,
                "medium": 3.2,
                "coarse": 9,
                "clumps": 5.5,
                "er": 11,
                "er_gate": 16,
                "resin": 14,
            }.items()
        }
        self.contrast, self.brightness = rng.uniform(0.72, 1.08), rng.uniform(-0.07, 0.07)
        self.contrast_drift, self.brightness_drift = rng.normal(0, 0.012, 2)  # per slice
        self.gradient, self.shading = rng.uniform(-0.09, 0.09, 2), Noise(rng, 64)
        self.curtains = [Noise(rng, grain_x, 80) for grain_x in (1.5, 5)]
        self.curtain_strength = rng.uniform(0.3, 1.0)
        self.noise = rng.uniform(0.02, 0.045)

    def _place_cells(self, rng, number):
        radius = {1: 38, 2: 28, 3: 23}[number]
        centres = [rng.uniform(0.28, 0.72, 2) * FIELD]
        while len(centres) < number:  # the farthest of a few tries, as often as not near the border
            tries = rng.uniform(-0.02, 1.02, (6, 2)) * FIELD
            gaps = [min(np.hypot(*(t - c)) for c in centres) for t in tries]
            centres.append(tries[np.argmax(gaps)])
        return [
            Blob(
                rng,
                *c,
                radius * rng.uniform(0.75, 1.2),
                rng.uniform(0.2, 0.45),
                rng.uniform(18, 40),
            )
            for c in centres
        ]

    def _place_organelles(self, rng):
        """Put organelles where slice 0 has room for them, the large ones first."""
        cells, nuclei = self._regions(FIELD, 0.0)
        x, y = pixel_grid(FIELD)
        organelles = []

        def scatter(kind, count, cell, room, radii, straights=(0, 0)):
            for _ in range(count):
                radius, straight = rng.uniform(*radii), rng.uniform(*straights)
                free = np.flatnonzero(room > radius + CLEARANCE)
                if len(free) == 0:
                    continue
                row, column = divmod(int(rng.choice(free)), FIELD)
                organelles.append(
                    Organelle(
                        kind,
                        cell,
                        column + 0.5,
                        row + 0.5,
                        rng.uniform(-5, 5),
                        rng.uniform(4, 12),
                        radius,
                        straight,
                        rng.uniform(0, np.pi),
                        rng.normal(0, 0.03),
                        rng.random(),
                        rng.normal(0, 0.04),
                    )
                )
                taken = np.hypot(x - column - 0.5, y - row - 0.5) - radius - 0.75 * straight
                np.minimum(room, taken, out=room)

        for i, (cell, nucleus) in enumerate(zip(cells, nuclei, strict=True)):
            room = np.minimum(-cell, nucleus)
            area = np.count_nonzero(room > CLEARANCE)  # square units of cytoplasm
            scatter("golgi", rng.integers(0, 2), i, room, (4.5, 6), (3, 6))
            scatter("mitochondrion", rng.poisson(area / 480), i, room, (3.4, 5.4), (1.5, 7))
            scatter("vesicle", rng.poisson(area / 1500), i, room, (4, 7.5))
            scatter("vesicle", rng.poisson(area / 450), i, room, (2, 3.2))
            scatter("granule", rng.poisson(area / 400), i, room, (1.3, 2.8))
        room = np.min(cells, axis=0)
        scatter("vesicle", rng.poisson(1.5), None, room, (1.8, 4.5))
        scatter("granule", rng.poisson(0.8), None, room, (1.2, 2.5), (0, 2))
        return organelles

    def _regions(self, size, z):
        """Signed distances, negative inside, to each cell and to each nucleus: two lists of (size, size)."""
        x, y = pixel_grid(size)
        for noise_x, noise_y, reach in self.warps:
            x, y = x + reach * noise_x.at(size, z), y + reach * noise_y.at(size, z)
        outlines = [cell.distance(x, y, z) - np.float32(self.growth) for cell in self.cells]
        cells, nuclei = [], []
        for i, nucleus in enumerate(self.nuclei):
            distance = outlines[i]
            for other in (
                outlines[:i] + outlines[i + 1 :]
            ):  # neighbours share the space between them, less the cleft
                distance = np.maximum(distance, (outlines[i] - other + self.cleft) / 2)
            cells.append(true_distance(distance))
            inside = (
                np.full_like(x, FAR)
                if nucleus is None
                else np.maximum(nucleus.distance(x, y, z), cells[i] + CYTOPLASM_RIM)
            )
            nuclei.append(true_distance(inside) if nucleus is not None else inside)
        return cells, nuclei

    def draw(self, z, size, rng):
        """Slice `z` (0 is the middle of the stack) as image and mask, both uint8 (size, size); `rng` gives the detector's noise."""
        cells, nuclei = self._regions(size, z)
        canvas = Canvas(np.full((size, size), self.resin, np.float32))
        textures = {name: noise.at(size, z) for name, noise in self.textures.items()}
        canvas.image += 0.012 * textures["resin"] + 0.012 * textures["medium"]
        outside = -np.min(cells, axis=0)
        for organelle in (o for o in self.organelles if o.cell is None):
            canvas.organelle(organelle, z, outside + 1.0)
        for i, (cell, nucleus) in enumerate(zip(cells, nuclei, strict=True)):
            self._draw_cytoplasm(canvas, textures, cell, nucleus, self.cytoplasm + self.tones[0, i])
            limits = np.maximum(cell, -nucleus) + CLEARANCE - 0.7
            for organelle in (o for o in self.organelles if o.cell == i):
                canvas.organelle(organelle, z, limits)
            if self.nuclei[i] is not None and nucleus.min() < 0:
                self._draw_nucleus(canvas, textures, nucleus, i, z)
            canvas.fill(np.abs(cell + MEMBRANE / 2) - MEMBRANE / 2, DARK)
        mask = np.full((size, size), BACKGROUND, np.uint8)
        inside = np.min(cells, axis=0) < 0
        mask[inside] = CYTOPLASM
        mask[(np.min(nuclei, axis=0) < 0) & binary_erosion(inside, border_value=1)] = NUCLEUS
        return self._expose(canvas.image, z, rng), mask

    def _draw_cytoplasm(self, canvas, textures, cell, nucleus, tone):
        grain = 0.03 * textures["fine"] + 0.035 * textures["medium"] + 0.025 * textures["coarse"]
        canvas.fill(cell, tone + grain)
        canvas.fill(
            cell, DARK + 0.1, 0.6 * np.clip(-textures["medium"] - 1.0, 0, 1)
        )  # ribosomes and their clusters
        away = np.maximum(
            np.maximum(cell, -nucleus) + CLEARANCE + 1.0, 5 * (0.35 - textures["er_gate"])
        )
        reticulum = np.abs(true_distance(textures["er"]))
        canvas.fill(np.maximum(reticulum - 1.6, away), tone + 0.09)
        canvas.fill(np.maximum(np.abs(reticulum - 1.6) - 0.5, away), DARK + 0.1, 0.8)

    def _draw_nucleus(self, canvas, textures, nucleus, i, z):
        tone = self.nucleoplasm + self.tones[1, i]
        canvas.fill(
            nucleus - 2 * ENVELOPE, self.cytoplasm + 0.08, 0.6
        )  # the space between the lines of the envelope
        canvas.fill(nucleus, tone + 0.015 * textures["fine"] + 0.02 * textures["medium"])
        clumps = (
            textures["clumps"]
            + 0.35 * textures["medium"]
            + 1.5 * np.exp(np.minimum(nucleus + ENVELOPE, 0) / 3.5)
        )
        canvas.fill(nucleus, tone - 0.24, np.clip(1.8 * (clumps - self.chromatin), 0, 1))
        blob = self.nuclei[i]
        radius = 0.27 * blob.radius * section(z - blob.widest - 1, 0.8 * blob.depth)
        if radius > 1.5:
            x, y = pixel_grid(canvas.size)
            centre = (blob.x, blob.y) + blob.drift * z + self.nucleoli[i] * blob.radius
            body = np.hypot(x - centre[0], y - centre[1]) - radius - 0.9 * textures["clumps"]
            canvas.fill(np.maximum(body, nucleus + 4), 0.24 + 0.05 * textures["medium"], softness=2)
        canvas.fill(np.abs(nucleus - ENVELOPE) - ENVELOPE / 2, DARK + 0.02, 0.95)
        canvas.fill(
            np.abs(nucleus + ENVELOPE) - ENVELOPE / 2,
            DARK + 0.02,
            np.clip(1.1 + 0.5 * textures["medium"], 0, 1),
        )  # pores

    def _expose(self, image, z, rng):
        """What the microscope adds: blur, uneven illumination, curtaining, contrast, shot and read noise, eight bits."""
        size = image.shape[0]
        x, y = pixel_grid(size)
        image = gaussian_filter(image, BLUR * size / FIELD)
        shade = (
            self.gradient[0] * (2 * x / FIELD - 1)
            + self.gradient[1] * (2 * y / FIELD - 1)
            + 0.025 * self.shading.at(size, z)
        )
        streaks = [
            curtain.at(size, 2 * z) for curtain in self.curtains
        ]  # milled by the beam from above: long in y, narrow in x
        strong = np.sign(streaks[0]) * np.clip(np.abs(streaks[0]) - 1.6, 0, 1.2)
        shade += self.curtain_strength * (
            0.09 * strong * (0.4 + 0.6 * y / FIELD) + 0.018 * streaks[1]
        )
        image = (
            0.5
            + (self.contrast + self.contrast_drift * z) * (image - 0.52)
            + self.brightness
            + self.brightness_drift * z
        )
        image = np.clip(image * (1 + shade), 0.02, 1)
        grey = rng.standard_normal((2, size, size), dtype=np.float32)
        image = image + self.noise * np.sqrt(image) * grey[0] + 0.012 * grey[1]
        return np.clip(np.rint(255 * image), 0, 255).astype(np.uint8)


class Canvas:
    """A grey image that is painted over with soft-edged shapes given by their signed distance, in units."""

    def __init__(self, image):
        self.image, self.size = image, image.shape[0]
        self.x, self.y = pixel_grid(self.size)

    def fill(self, distance, tone, opacity=1.0, window=..., softness=0.0):
        """Paint `tone` where `distance` < 0; the edge is `softness` units wide, at least one pixel."""
        cover = np.clip(0.5 - distance / max(softness, FIELD / self.size), 0, 1) * opacity
        self.image[window] += cover * (tone - self.image[window])

    def organelle(self, item, z, limits):
        """Paint the section of an `Organelle` at `z` where `limits` < 0."""
        scale = section(z - item.z, item.depth)
        radius, straight = item.radius * scale, item.straight * scale
        if radius < 1.2:
            return
        reach, pixel = radius + straight + 2, FIELD / self.size
        rows, columns = (
            slice(max(0, int((c - reach) / pixel)), max(0, int((c + reach) / pixel) + 1))
            for c in (item.y, item.x)
        )
        window = (rows, columns)
        dx, dy = self.x[window] - item.x, self.y[window] - item.y
        if dx.size == 0:
            return
        along, across = (
            np.cos(item.angle) * dx + np.sin(item.angle) * dy,
            np.cos(item.angle) * dy - np.sin(item.angle) * dx,
        )
        across = across - item.bend * (along**2 - straight**2 / 2)
        distance = np.hypot(np.maximum(np.abs(along) - straight, 0), across) - radius * (
            1 + 0.12 * np.sin(0.5 * along + 6 * item.phase)
        )
        distance = np.maximum(distance, limits[window])
        if item.kind == "granule":
            self.fill(distance, DARK + 0.05 + item.tone, window=window)
        elif item.kind == "vesicle":
            self.fill(distance, LUMEN + 2 * item.tone, window=window)
            self.fill(np.abs(distance + 0.7) - 0.7, DARK + 0.06, 0.95, window=window)
        elif item.kind == "mitochondrion":
            self.fill(distance, MATRIX + item.tone, window=window)
            position = along + 0.25 * across
            side = (
                2 * (np.floor(position / 3.4 + item.phase) % 2) - 1
            )  # cristae reach in from either side by turns
            cristae = np.maximum(
                stripes(position + 3.4 * item.phase, period=3.4, width=1.5),
                side * across - 0.45 * radius,
            )
            self.fill(
                np.maximum(cristae, distance + 1.9), MATRIX + 0.27 + item.tone, 0.9, window=window
            )
            self.fill(np.abs(distance + 0.7) - 0.8, DARK, window=window)
        else:  # golgi: a few flat sacs side by side
            sacs = stripes(across - 0.02 * along**2, period=3.2, width=1.3)
            self.fill(np.maximum(sacs, distance), DARK + 0.12, 0.85, window=window)


def stripes(position, period, width):
    """Signed distance to bands of `width` that repeat every `period` along `position`."""
    return np.abs((position / period) % 1 - 0.5) * period - width / 2


@lru_cache(maxsize=2)
def get_stack(seed: int, split: str, number: int) -> Stack:
    """Stack `number` of a split; splits share none."""
    return Stack(np.random.default_rng([seed, SPLITS.index(split), number]))


def draw_phantom(
    seed: int, split: str, index: int, size: int = 128
) -> tuple[np.ndarray, np.ndarray]:
    """Image (grey levels) and mask (0 background, 1 cytoplasm, 2 nucleus) of phantom `index`, both uint8 (size, size).

    Indices 8k to 8k + 7 are neighbouring slices of one stack.
    """
    number, place = divmod(index, SLICES_PER_STACK)
    rng = np.random.default_rng(
        [seed, SPLITS.index(split), number, 1 + place]
    )  # 1 +: a trailing 0 would repeat the stack's own seed
    return get_stack(seed, split, number).draw(place - (SLICES_PER_STACK - 1) / 2, size, rng)


def write_phantoms(folder: Path, counts: dict[str, int], size: int, seed: int) -> None:
    """Write `folder`/SPLIT/{images,masks}/phantom_00000.png and on; image and mask share the name.

    Raises:
        FileExistsError: `folder` exists and is not an empty folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f"{folder}: exists and is not an empty folder. Choose another output folder or remove this one."
        )
    with tqdm(total=sum(counts.values()), unit="image", desc="phantoms") as progress:
        for split, count in counts.items():
            images, masks = folder / split / "images", folder / split / "masks"
            images.mkdir(parents=True)
            masks.mkdir()
            for index in range(count):
                image, mask = draw_phantom(seed, split, index, size)
                write_png(images / f"phantom_{index:05d}.png", image)
                write_png(masks / f"phantom_{index:05d}.png", mask)
                progress.update()
