"""People from heat maps and part affinity fields (Cao et al. 2017, Sec. 3)."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from annotator.openpose.maps import smooth

# Nose, neck, right shoulder, elbow and wrist, left ones, right hip, knee and ankle, left ones,
# right and left eye, right and left ear.
NUM_JOINTS = 18
NEIGHBOURS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)  # of a pixel that may be a peak
PEAK_THRESHOLD = 0.1  # of the blurred heat
FIELD_THRESHOLD = 0.05  # of a field along a limb
SAMPLES = 10  # points on a limb where its field is read
MIN_SHARE = 0.8  # of a limb's points; more than this must exceed the threshold
MIN_JOINTS = 4  # joints of a person
MIN_SCORE = 0.4  # of a person, per joint


class Limb(NamedTuple):
    """Two joints, counted from 0, and the channels of their field."""

    a: int
    b: int
    x: int
    y: int


# Joints counted from 1, as published, and the first channel of the field. The order counts: it
# decides how people grow. The last two limbs find no new people.
LIMBS = tuple(
    Limb(a - 1, b - 1, x, x + 1)
    for a, b, x in (
        (2, 3, 12), (2, 6, 20), (3, 4, 14), (4, 5, 16), (6, 7, 22), (7, 8, 24), (2, 9, 0),
        (9, 10, 2), (10, 11, 4), (2, 12, 6), (12, 13, 8), (13, 14, 10), (2, 1, 28), (1, 15, 30),
        (15, 17, 34), (1, 16, 32), (16, 18, 36), (3, 17, 18), (6, 18, 26),
    )
)  # fmt: skip
SKELETON = LIMBS[:17]  # those that found people and are drawn
TOTAL, COUNT = NUM_JOINTS, NUM_JOINTS + 1  # columns of a person's row behind its joints


def find_peaks(heat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Local maxima of the blurred heat, none lower than its four neighbours.

    Args:
        heat: float32 (18, H, W).
    Returns:
        candidates, float64 (peaks, 4): x, y, heat before the blur, running number; and the joint of
        each, int64 (peaks,).
    """
    places = []
    for channel in heat:
        blurred = smooth(channel)
        is_highest = blurred == cv2.dilate(blurred, NEIGHBOURS)
        places.append(np.flatnonzero((blurred > PEAK_THRESHOLD) & is_highest))
    joint = np.repeat(np.arange(len(heat)), [len(place) for place in places])
    y, x = np.divmod(np.concatenate(places), heat.shape[2])
    return np.stack([x, y, heat[joint, y, x], np.arange(len(x))], axis=1).astype(np.float64), joint


def connect(
    first: np.ndarray, second: np.ndarray, read: Callable, height: int
) -> list[tuple[int, int, float]]:
    """The best pairs of two joints' candidates for one limb, each candidate in one pair at most.

    Args:
        first, second: candidates of the two joints, (A, 4) and (B, 4).
        read: function that takes y and x of one shape and gives x and y of the limb's part affinity
            field there, (2, *shape).
        height: of the picture in pixels.
    Returns:
        running number of the first candidate, of the second, and score of each pair; the highest
        score comes first.
    """
    difference = second[None, :, :2] - first[:, None, :2]  # (A, B, 2)
    # Two joints can lie on one pixel, and a direction needs a length to divide by.
    distance = np.maximum(np.linalg.norm(difference, axis=2), 0.001)  # (A, B)
    steps = np.linspace(0, 1, SAMPLES)[:, None]  # (samples, 1), u in Eq. 11
    points = first[:, None, None, :2] + difference[:, :, None] * steps  # (A, B, samples, 2)
    points = np.rint(points).astype(int)
    direction = (difference / distance[..., None])[:, :, None]  # (A, B, 1, 2)
    field = read(points[..., 1], points[..., 0])  # (2, A, B, samples)
    # The field along the limb (Cao et al. 2017, Eq. 10), with the integral as a mean of samples.
    along = (field * np.moveaxis(direction, 3, 0)).sum(axis=0)  # (A, B, samples)
    # Limbs longer than half of the picture lose score.
    score = along.mean(axis=2) + np.minimum(0.5 * height / distance - 1, 0)  # (A, B)
    good = ((along > FIELD_THRESHOLD).sum(axis=2) > MIN_SHARE * SAMPLES) & (score > 0)
    rows, columns = np.nonzero(good)
    pairs, used_rows, used_columns = [], set(), set()
    # Greedy, best pair first. Stable, so that equal scores keep the published order.
    for k in np.argsort(-score[rows, columns], kind="stable"):
        i, j = rows[k], columns[k]
        if i not in used_rows and j not in used_columns:
            used_rows.add(i)
            used_columns.add(j)
            pairs.append((int(first[i, 3]), int(second[j, 3]), float(score[i, j])))
    return pairs


def add_connection(
    people: list[np.ndarray],
    limb: Limb,
    a: int,
    b: int,
    score: float,
    heat: np.ndarray,
    may_be_new: bool,
) -> None:
    """Put one connection, from candidate `a` to `b`, into the people found so far.

    Differs from the published code: of three rows or more that hold `a` or `b`, the first two
    count. There they are an error.

    Args:
        people: rows as `assemble` returns them; changed in place.
        heat: of every candidate.
        may_be_new: a connection that fits nobody begins a new row.
    """
    found = [i for i, row in enumerate(people) if row[limb.a] == a or row[limb.b] == b]
    if not found:
        if may_be_new:
            row = np.full(NUM_JOINTS + 2, -1.0)
            row[[limb.a, limb.b, TOTAL, COUNT]] = a, b, heat[a] + heat[b] + score, 2
            people.append(row)
        return
    row = people[found[0]]
    if len(found) > 1 and _are_one_person(row, people[found[1]]):
        _join_rows(row, people.pop(found[1]), score)
    # Two rows that are not one person both keep their joints; the first one also takes `b`.
    elif len(found) > 1 or row[limb.b] != b:
        row[limb.b] = b
        row[COUNT] += 1
        row[TOTAL] += heat[b] + score


def _are_one_person(row: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether no joint was found for both rows: a person has each joint once."""
    return not ((row[:NUM_JOINTS] >= 0) & (other[:NUM_JOINTS] >= 0)).any()


def _join_rows(row: np.ndarray, other: np.ndarray, score: float) -> None:
    """Put the joints of `other` into `row`, which a connection of this score joins to it."""
    row[:NUM_JOINTS] += other[:NUM_JOINTS] + 1  # -1 stands for a joint not found
    row[TOTAL:] += other[TOTAL:]  # both the total and the count
    row[TOTAL] += score


def assemble(heat: np.ndarray, read: Callable) -> tuple[np.ndarray, np.ndarray]:
    """People of one picture.

    Args:
        heat: float32 (18, H, W), one map per joint.
        read: function that takes a slice of the 38 part affinity fields, two per limb, and y and x,
            and gives the values there, as `maps.Sampler` does.
    Returns:
        candidate, float64 (peaks, 4), as `find_peaks` gives it; and subset, float64 (people, 20):
        18 numbers of candidates or -1, total score, count of joints.
    """
    candidate, joint = find_peaks(heat)
    by_joint = [candidate[joint == i] for i in range(NUM_JOINTS)]
    people = []
    for i, limb in enumerate(LIMBS):
        field = partial(read, slice(limb.x, limb.y + 1))
        for a, b, score in connect(by_joint[limb.a], by_joint[limb.b], field, heat.shape[1]):
            add_connection(people, limb, a, b, score, candidate[:, 2], may_be_new=i < len(SKELETON))
    subset = np.array(people).reshape(-1, NUM_JOINTS + 2)  # (people, 20), also where there are none
    keep = (subset[:, COUNT] >= MIN_JOINTS) & (subset[:, TOTAL] >= MIN_SCORE * subset[:, COUNT])
    return candidate, subset[keep]
