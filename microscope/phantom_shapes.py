"""Shapes and textures that phantoms are drawn from, as signed distances on a grid of pixels.

Lengths are in units of 1/88 of the field's width: 1.45 pixels at 128 pixels. Depths (z) are in
slices. A signed distance is negative inside a shape. Nothing here depends on the image's size
except through `pixel_grid`, so a phantom shows the same cells at any size.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

FIELD = 88  # width and height of the image in units
HARMONICS = np.arange(2, 8)  # of a cell's outline
DRIFT = 0.15  # radians by which a noise field turns from slice to slice
DARK, MATRIX, LUMEN = 0.13, 0.36, 0.74  # grey levels in [0, 1] before contrast and brightness
CLEARANCE = 3.2  # from an organelle to the membranes of cell and nucleus
SMALLEST = 1.2  # radius below which an organelle's section is not drawn


class Noise:
    """A smooth random field over the plane that drifts with z, with mean 0 and deviation about 1.

    Args:
        grain_x, grain_y: distances over which the field changes; `grain_y` is `grain_x` by default.
    """

    def __init__(self, rng: np.random.Generator, grain_x: float, grain_y: float | None = None):
        shape = [max(2, round(FIELD / grain)) for grain in (grain_y or grain_x, grain_x)]
        # Interpolation between lattice points averages them; 1.35 restores the deviation.
        self.lattices = rng.standard_normal((2, *shape)).astype(np.float32) * 1.35

    def at(self, size: int, z: float = 0.0) -> np.ndarray:
        """The field in slice z, float32 (size, size)."""
        # cos and sin keep the variance of a sum of two independent fields at 1 for every z.
        angle = DRIFT * z
        lattice = np.cos(angle) * self.lattices[0] + np.sin(angle) * self.lattices[1]
        picture = Image.fromarray(lattice.astype(np.float32))
        # A lattice in units of the field, so the same cells appear at every size.
        return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))  # (size, size)


class Blob:
    """A closed outline r(theta) = R (1 + sum_k a_k cos(k theta + p_k)).

    It moves, turns and shrinks slowly with z.

    Args:
        x, y, radius: centre and mean radius R of the widest section.
        roughness: size of the coefficients a_k.
        depth: distance in z from the widest section, near slice 0, to the tip.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        x: float,
        y: float,
        radius: float,
        roughness: float,
        depth: float,
    ):
        self.x, self.y, self.radius, self.depth = x, y, radius, depth
        self.drift = rng.normal(0, 0.35, 2)  # of the centre, per slice
        self.widest = rng.uniform(-2, 2)  # slice of the widest section
        # Fine waves are lower than coarse ones, or outlines would be jagged.
        self.amplitudes = roughness * rng.standard_normal(len(HARMONICS)) / HARMONICS**1.25
        self.phases = rng.uniform(0, 2 * np.pi, len(HARMONICS))
        self.turns = rng.normal(0, 0.06, len(HARMONICS))  # radians per slice, of each wave

    def distance(self, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
        """About the signed distance of the points (x, y) to the outline in slice z."""
        dx, dy = x - self.x - self.drift[0] * z, y - self.y - self.drift[1] * z
        theta = np.arctan2(dy, dx)
        rho = np.hypot(dx, dy)
        # float32 scalars keep the pixels in float32: half the memory, and faster.
        waves = sum(
            a * np.cos(k * theta + np.float32(p + turn * z))
            for k, a, p, turn in zip(
                HARMONICS.tolist(), self.amplitudes.tolist(), self.phases, self.turns, strict=True
            )
        )
        # theta jumps at the centre, and the field must not.
        waves *= np.clip(1.4 * rho / self.radius, 0, 1) ** 2
        return rho - np.float32(self.radius * section(z - self.widest, self.depth)) * (1 + waves)


@dataclass
class Organelle:
    """A small bent sausage of half-width `radius` and length 2 (`straight` + `radius`)."""

    kind: str  # "mitochondrion", "vesicle", "granule" or "golgi"
    cell: int | None  # index of the cell it lies in; None in the resin
    x: float
    y: float
    z: float  # slice where it is widest
    depth: float  # distance in z from there to the tip
    radius: float
    straight: float
    angle: float  # of its axis, in radians
    bend: float  # curvature of its axis
    phase: float  # of the cristae, in periods
    tone: float  # added to the grey levels


def section(z: float, depth: float) -> float:
    """Relative radius of the section at distance `z` from the middle of an ellipsoid.

    Args:
        depth: half the ellipsoid's height.
    """
    return np.sqrt(max(0.0, 1 - (z / depth) ** 2))


def pixel_grid(size: int) -> list[np.ndarray]:
    """x and y of the pixel centres in units, two float32 (size, size)."""
    centres = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(FIELD / size)
    return np.meshgrid(centres, centres)


def true_distance(field: np.ndarray) -> np.ndarray:
    """Turn a level-set function on the pixel grid into a distance that is right near its zero."""
    down, right = np.gradient(field, FIELD / field.shape[0])
    # First order: f / |grad f|. The limit keeps flat places, where the slope is near 0, finite.
    return field / np.clip(np.hypot(down, right), 0.5, None)


def stripes(position: np.ndarray, period: float, width: float) -> np.ndarray:
    """Signed distance to bands of `width` that repeat every `period` along `position`."""
    return np.abs((position / period) % 1 - 0.5) * period - width / 2


class Canvas:
    """A grey image that is painted over with soft-edged shapes.

    Args:
        image: float32 (size, size) in [0, 1], changed in place.
    """

    def __init__(self, image: np.ndarray):
        self.image, self.size = image, image.shape[0]
        self.x, self.y = pixel_grid(self.size)

    def fill(self, distance, tone, opacity=1.0, window=..., softness=0.0) -> None:
        """Paint where `distance` < 0.

        Args:
            distance: signed distance in units, of the pixels in `window`.
            tone: grey level, one for all or one for each pixel.
            opacity: 0 leaves the image as it is, 1 covers it.
            window: the part of the image to paint on, as an index.
            softness: width of the edge in units; at least one pixel.
        """
        # A ramp as wide as a pixel covers edge pixels in part, so outlines have no steps.
        cover = np.clip(0.5 - distance / max(softness, FIELD / self.size), 0, 1) * opacity
        self.image[window] += cover * (tone - self.image[window])

    def organelle(self, item: Organelle, z: float, limits: np.ndarray) -> None:
        """Paint the section of an organelle at `z` where `limits` < 0, (size, size)."""
        scale = section(z - item.z, item.depth)
        radius, straight = item.radius * scale, item.straight * scale
        if radius < SMALLEST:
            return
        window = self._window(item, radius + straight + 2)
        dx, dy = self.x[window] - item.x, self.y[window] - item.y
        if dx.size == 0:  # outside the image
            return
        # Coordinates in the organelle's own axes, then its axis bent into a parabola.
        along = np.cos(item.angle) * dx + np.sin(item.angle) * dy
        across = np.cos(item.angle) * dy - np.sin(item.angle) * dx
        across = across - item.bend * (along**2 - straight**2 / 2)
        waist = 1 + 0.12 * np.sin(0.5 * along + 6 * item.phase)  # an uneven outline
        # Distance to the piece of the axis between -straight and straight, less the half-width.
        distance = np.hypot(np.maximum(np.abs(along) - straight, 0), across) - radius * waist
        distance = np.maximum(distance, limits[window])  # the maximum is the intersection
        if item.kind == "granule":
            self.fill(distance, DARK + 0.05 + item.tone, window=window)
        elif item.kind == "vesicle":
            self.fill(distance, LUMEN + 2 * item.tone, window=window)
            # |d + w| - w is a band of width 2 w just inside the outline: the membrane.
            self.fill(np.abs(distance + 0.7) - 0.7, DARK + 0.06, 0.95, window=window)
        elif item.kind == "mitochondrion":
            self._mitochondrion(item, radius, along, across, distance, window)
        else:  # golgi: a few flat sacs side by side
            sacs = stripes(across - 0.02 * along**2, period=3.2, width=1.3)
            self.fill(np.maximum(sacs, distance), DARK + 0.12, 0.85, window=window)

    def _window(self, item, reach):
        """The rows and columns around an organelle: painting only there saves most of the time."""
        pixel = FIELD / self.size
        return tuple(
            slice(max(0, int((c - reach) / pixel)), max(0, int((c + reach) / pixel) + 1))
            for c in (item.y, item.x)
        )

    def _mitochondrion(self, item, radius, along, across, distance, window):
        """Paint matrix, cristae and outer membrane, in this order."""
        self.fill(distance, MATRIX + item.tone, window=window)
        position = along + 0.25 * across
        # Cristae reach in from either side by turns: -1 and 1.
        side = 2 * (np.floor(position / 3.4 + item.phase) % 2) - 1
        cristae = np.maximum(
            stripes(position + 3.4 * item.phase, period=3.4, width=1.5),
            side * across - 0.45 * radius,
        )
        inside = np.maximum(cristae, distance + 1.9)  # cristae keep off the outer membrane
        self.fill(inside, MATRIX + 0.27 + item.tone, 0.9, window=window)
        self.fill(np.abs(distance + 0.7) - 0.8, DARK, window=window)


def scatter(
    rng: np.random.Generator,
    cell: int | None,
    room: np.ndarray,
    kind: str,
    count: int,
    radii: tuple[float, float],
    straights: tuple[float, float] = (0, 0),
) -> list[Organelle]:
    """Organelles of one kind at random places with room for them; fewer where room runs out.

    Args:
        cell: index of the cell that they lie in; None in the resin.
        room: distance to whatever is in the way, (FIELD, FIELD); shrinks in place.
        kind: see `Organelle`.
        count: number of tries.
        radii, straights: ranges of half-width and of the straight part's half-length.
    """
    x, y = pixel_grid(FIELD)  # (FIELD, FIELD) each, one pixel per unit
    placed = []
    for _ in range(count):
        radius, straight = rng.uniform(*radii), rng.uniform(*straights)
        free = np.flatnonzero(room > radius + CLEARANCE)
        if len(free) == 0:
            continue
        row, column = divmod(int(rng.choice(free)), FIELD)
        # Arguments are drawn in this order, which is part of what a seed means.
        item = Organelle(
            kind,
            cell,
            x=column + 0.5,
            y=row + 0.5,
            z=rng.uniform(-5, 5),
            depth=rng.uniform(4, 12),
            radius=radius,
            straight=straight,
            angle=rng.uniform(0, np.pi),
            bend=rng.normal(0, 0.03),
            phase=rng.random(),
            tone=rng.normal(0, 0.04),
        )
        placed.append(item)
        # A disc stands for the sausage at any angle: ends may come close, long sides do not.
        taken = np.hypot(x - item.x, y - item.y) - radius - 0.75 * straight
        np.minimum(room, taken, out=room)
    return placed
