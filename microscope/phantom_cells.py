"""Cells of a phantom: outlines, nuclei and organelles of one block of a specimen.

Everything gets its place here, and nothing is painted. Units are those of
`microscope.phantom_shapes`.
"""

from functools import partial

import numpy as np

from microscope.phantom_shapes import (
    CLEARANCE,
    FIELD,
    Blob,
    Noise,
    pixel_grid,
    scatter,
    true_distance,
)

BACKGROUND_SHARE = (0.28, 0.50)  # of the field, in slice 0
CLEFT = (1.6, 3.0)  # resin between touching cells
CYTOPLASM_RIM = 5.0  # least distance from the nucleus to its cell's outline
FAR = 99.0  # a distance beyond every edge

# Cells. A pair is the range that a number is drawn from.
CELL_NUMBERS = {1: 0.25, 2: 0.45, 3: 0.3}  # cells in the field -> chance
CELL_RADIUS = {1: 38, 2: 28, 3: 23}  # by number of cells
CELL_SIZES = (0.75, 1.2)  # factor of this radius
CELL_ROUGHNESS, CELL_DEPTH = (0.2, 0.45), (18, 40)  # see `Blob`
FIRST_CENTRE, OTHER_CENTRES = (0.28, 0.72), (-0.02, 1.02)  # in shares of the field
CENTRE_TRIES = 6  # for each further cell, of which the farthest from the others counts
WARPS = ((22, 2.6), (9, 0.8))  # grain of a distortion of the plane, and how far it moves a point
NUCLEUS_CHANCE = 0.85  # that a cell other than the first has one
NUCLEUS_SIZES = (0.48, 0.64)  # factor of the cell's radius, and then
NUCLEUS_LIMITS = (9, 34)  # what the radius is clipped to
NUCLEUS_SHIFT = 0.1  # deviation from the cell's centre, in radii of the cell
NUCLEUS_ROUGHNESS, NUCLEUS_DEPTH = (0.06, 0.22), (7, 16)
NUCLEOLUS_SHIFT = 0.4  # at most, from the nucleus's centre, in radii of the nucleus

# Organelles: kind, half-width, half-length of the straight part (see `scatter`), with the area of
# cytoplasm for each one, or the mean number in the resin. The large ones come first: they would
# find no room among the small ones.
IN_CYTOPLASM = (
    ("mitochondrion", 480, (3.4, 5.4), (1.5, 7)),
    ("vesicle", 1500, (4, 7.5), (0, 0)),
    ("vesicle", 450, (2, 3.2), (0, 0)),
    ("granule", 400, (1.3, 2.8), (0, 0)),
)
IN_RESIN = (("vesicle", 1.5, (1.8, 4.5), (0, 0)), ("granule", 0.8, (1.2, 2.5), (0, 2)))
GOLGI = ((4.5, 6), (3, 6))  # half-width and half-length; a cell has one or none


class Cells:
    """Cells with their nuclei and organelles, which slices cut at any depth.

    All places are drawn at the start, in an order that must not change: it is part of what a seed
    means.

    Attributes:
        outlines: of the cells; the first cell lies near the middle of the field.
        nuclei: outline of each cell's nucleus; None where a cell has none.
        nucleoli: shift of each nucleolus from the nucleus's centre, in radii of the nucleus.
        organelles: those of all cells, then those of the resin.
    """

    def __init__(self, rng: np.random.Generator):
        number = rng.choice(list(CELL_NUMBERS), p=list(CELL_NUMBERS.values()))
        self.warps = [(Noise(rng, grain), Noise(rng, grain), reach) for grain, reach in WARPS]
        self.cleft = rng.uniform(*CLEFT)
        self.growth = 0.0  # moves all outlines outwards
        self.outlines, self.nuclei = self._place_outlines(rng, number), [None] * number
        # All cells grow by the distance that leaves the wanted share of the field to the resin;
        # the clefts between them come on top. 64 pixels are enough to estimate it.
        nearest = np.min(self.regions(64, 0.0)[0], axis=0)  # (64, 64)
        self.growth = np.quantile(nearest, 1 - rng.uniform(*BACKGROUND_SHARE))
        for i, cell in enumerate(self.outlines):
            # The first cell, which lies near the middle, always has a nucleus.
            if i == 0 or rng.random() < NUCLEUS_CHANCE:
                factor = rng.uniform(*NUCLEUS_SIZES)
                radius = np.clip((cell.radius + self.growth) * factor, *NUCLEUS_LIMITS)
                x, y = (cell.x, cell.y) + rng.normal(0, NUCLEUS_SHIFT, 2) * cell.radius
                roughness, depth = rng.uniform(*NUCLEUS_ROUGHNESS), rng.uniform(*NUCLEUS_DEPTH)
                self.nuclei[i] = Blob(rng, x, y, radius, roughness, depth)
        self.organelles = self._place_organelles(rng)
        self.nucleoli = [rng.uniform(-NUCLEOLUS_SHIFT, NUCLEOLUS_SHIFT, 2) for _ in range(number)]

    def _place_outlines(self, rng, number):
        """Outlines of `number` cells; the first one lies near the middle."""
        centres = [rng.uniform(*FIRST_CENTRE, 2) * FIELD]
        while len(centres) < number:
            # The farthest of a few tries: cells keep apart and often reach over the border.
            tries = rng.uniform(*OTHER_CENTRES, (CENTRE_TRIES, 2)) * FIELD
            gaps = [min(np.hypot(*(t - c)) for c in centres) for t in tries]
            centres.append(tries[np.argmax(gaps)])
        cells = []
        for x, y in centres:
            radius = CELL_RADIUS[number] * rng.uniform(*CELL_SIZES)
            roughness, depth = rng.uniform(*CELL_ROUGHNESS), rng.uniform(*CELL_DEPTH)
            cells.append(Blob(rng, x, y, radius, roughness, depth))
        return cells

    def _place_organelles(self, rng):
        """Put organelles where slice 0 has room for them, the large ones first."""
        cells, nuclei = self.regions(FIELD, 0.0)  # one pixel per unit
        organelles = []
        for i, (cell, nucleus) in enumerate(zip(cells, nuclei, strict=True)):
            room = np.minimum(-cell, nucleus)  # inside the cell and outside its nucleus
            area = np.count_nonzero(room > CLEARANCE)  # square units of cytoplasm
            place = partial(scatter, rng, i, room)
            organelles += place("golgi", rng.integers(0, 2), *GOLGI)
            for kind, area_of_one, *sizes in IN_CYTOPLASM:
                organelles += place(kind, rng.poisson(area / area_of_one), *sizes)
        room = np.min(cells, axis=0)  # the resin between the cells
        for kind, mean, *sizes in IN_RESIN:
            organelles += scatter(rng, None, room, kind, rng.poisson(mean), *sizes)
        return organelles

    def regions(self, size: int, z: float) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Signed distances to each cell and to each nucleus in slice z, lists of (size, size).

        Where a cell has no nucleus, the distance to it is `FAR` everywhere.
        """
        x, y = pixel_grid(size)
        # The plane is distorted before distances are taken, which makes all outlines uneven alike.
        for noise_x, noise_y, reach in self.warps:
            x, y = x + reach * noise_x.at(size, z), y + reach * noise_y.at(size, z)
        outlines = [cell.distance(x, y, z) - np.float32(self.growth) for cell in self.outlines]
        cells, nuclei = [], []
        for i, nucleus in enumerate(self.nuclei):
            distance = outlines[i]
            for other in outlines[:i] + outlines[i + 1 :]:
                # Neighbours share the space between them, less the cleft.
                distance = np.maximum(distance, (outlines[i] - other + self.cleft) / 2)
            cells.append(true_distance(distance))
            if nucleus is None:
                nuclei.append(np.full_like(x, FAR))
            else:
                # The part of the nucleus that keeps its distance from the cell's outline.
                inside = np.maximum(nucleus.distance(x, y, z), cells[i] + CYTOPLASM_RIM)
                nuclei.append(true_distance(inside))
        return cells, nuclei
