"""Surface normals: they turn with the surface, in the signs of the detector that draws them."""

import math

import numpy as np
import pytest

from annotator.midas import depth_and_normal
from conditions.normal import Normal
from core.imaging.views import View
from core.samples import PlacedKey, SampleKey
from dataset import MyDataset
from tests.picture_files import write

SIDE = 64  # pixels of the picture
BOX = 40  # side of the part that views show; at every angle it stays within the picture
VIEWS = [
    View(12, 12, BOX, BOX, angle, flip_horizontal, flip_vertical)
    for angle in (0.0, 90.0, 37.0)
    for flip_horizontal, flip_vertical in ((False, False), (True, False), (False, True))
]
WHOLE = View(0, 0, SIDE, SIDE, 0.0, False, False)


def colour(x, y, z):
    """The hint of one direction, (1, 1, 3): z, y, x, each from [-1, 1] to [0, 1]."""
    return np.array([[[z, y, x]]], np.float32) / 2 + 0.5


def ramp(x, y):
    """Inverse depth of a plane that rises by (x, y) across the picture, float32 (SIDE, SIDE)."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / (SIDE - 1)
    return (0.5 + x * (columns - 0.5) + y * (rows - 0.5)).astype(np.float32)


def bump():
    """Inverse depth of a tilted plane with a hill away from its middle, in [0, 1]."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    hill = np.exp(-((rows - 26) ** 2 + (columns - 38) ** 2) / (2 * 10**2))
    return (0.6 * ramp(0.5, -0.3) + 0.3 * hill).astype(np.float32)


def normals(depth):
    """Normals of inverse depth as the detector writes them to files: uint8, order z, y, x."""
    return depth_and_normal(depth, a=0.1, bg_th=0.0)[1][..., ::-1]


def look(folder, kind, path, view, monkeypatch):
    """What training sees of one condition file through `view`, (BOX, BOX, 3)."""
    monkeypatch.setattr("dataset.draw_view", lambda *_: view)
    write(folder / "images" / f"{path.stem}.png", np.zeros((SIDE, SIDE), np.uint8))
    folders = folder / "images", path.parent
    data = MyDataset(*folders, augment=True, condition_type=kind, image_size=BOX)
    return data[PlacedKey(SampleKey(0, 0), needs_image=False)].hint.numpy()


# Files and pictures


def test_the_hint_is_the_file(tmp_path):
    colours = np.array([[[255, 128, 0], [10, 20, 30]]], np.uint8)
    condition = Normal()
    path = write(tmp_path / "n.png", colours)
    layers, hint = condition.read(path), condition.read_hint(path)
    assert layers.smooth.shape == (1, 2, 3)
    assert layers.classes.shape == (1, 2, 0)
    assert hint.dtype == np.float32
    assert hint.shape[2] == condition.hint_channels
    assert np.array_equal(hint, colours.astype(np.float32) / 255)
    assert condition.folders("branch") == ("branch",)
    assert condition.label_folders("branch") == ()
    (stored,) = condition.pictures("branch", hint).values()
    assert np.array_equal(stored, colours)
    assert np.array_equal(condition.preview(hint), colours)
    assert condition.labels(hint) is None


def test_files_hold_z_y_x():
    """A plane that comes nearer to the right, then one that comes nearer downwards."""
    z, y, x = normals(ramp(0.5, 0))[30, 30].astype(int)
    assert x > 150
    assert y == 127
    assert z > 150
    z, y, x = normals(ramp(0, 0.5))[30, 30].astype(int)
    assert x == 127
    assert y > 150
    assert z > 150


# Turning


@pytest.mark.parametrize(
    ("angle", "right", "down", "x", "y"),
    [
        (0.0, False, False, 0.6, 0.0),
        (90.0, False, False, 0.0, -0.6),  # what pointed right points up
        (180.0, False, False, -0.6, 0.0),
        (270.0, False, False, 0.0, 0.6),
        (0.0, True, False, -0.6, 0.0),
        (0.0, False, True, 0.6, 0.0),
        (90.0, False, True, 0.0, 0.6),  # turned first, mirrored after
        (90.0, True, False, 0.0, -0.6),
        (37.0, False, False, 0.6 * math.cos(math.radians(37)), -0.6 * math.sin(math.radians(37))),
    ],
)
def test_a_normal_that_points_right(angle, right, down, x, y):
    view = WHOLE._replace(angle=angle, flip_horizontal=right, flip_vertical=down)
    turned = Normal().turn(colour(0.6, 0, 0.8), view)
    assert turned.dtype == np.float32
    assert np.allclose(turned, colour(x, y, 0.8), atol=1e-6)


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_normals_of_a_turned_plane(tmp_path, view, monkeypatch):
    """The rise of the plane in the seen picture, worked out by hand.

    The picture is turned counter-clockwise and y points down, so a step right in the seen picture
    is a step of (cos, sin) in the file, and a step down is one of (-sin, cos).
    """
    rise_x, rise_y = 0.5, -0.3
    cos, sin = math.cos(math.radians(view.angle)), math.sin(math.radians(view.angle))
    right = (cos * rise_x + sin * rise_y) * (-1 if view.flip_horizontal else 1)
    down = (cos * rise_y - sin * rise_x) * (-1 if view.flip_vertical else 1)
    path = write(tmp_path / "normals/n.png", normals(ramp(rise_x, rise_y)))
    seen = look(tmp_path, "normal", path, view, monkeypatch)
    expected = normals(ramp(right, down))[1:-1, 1:-1].astype(np.float32) / 255
    assert np.ptp(expected, axis=(0, 1)).max() == 0  # a plane has one normal
    assert np.abs(seen - expected[0, 0]).max() < 2.5 / 255  # each file is rounded down


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_normals_seen_through_a_view_are_those_of_the_depth_seen_through_it(
    tmp_path, view, monkeypatch
):
    depth = bump()
    assert 0 < depth.min() < depth.max() < 1
    depth_path = write(tmp_path / "depths/n.tif", (depth * 65535).astype(np.uint16))
    path = write(tmp_path / "normals/n.png", normals(depth))
    seen_depth = look(tmp_path, "depth", depth_path, view, monkeypatch)[..., 0]
    seen = look(tmp_path, "normal", path, view, monkeypatch)
    expected = normals(seen_depth) / np.float32(255)
    difference = np.abs(seen - expected)[1:-1, 1:-1]  # Sobel filters end at the border
    assert np.ptp(expected, axis=(0, 1)).min() > 0.2  # the surface has many normals
    assert difference.max() < 0.05
    assert difference.mean() < 0.01


def test_a_crop_stretched_to_a_square_keeps_its_normals_within_8_degrees():
    """`turn` leaves the stretch of a 3 : 4 crop out; the exact normals are worked out here."""
    stretched = View(0, 0, 40, 30, 0.0, False, False)
    widen = math.sqrt(40 / 30)  # 30 columns become as long as 40 rows, the area stays
    worst = 0.0
    for azimuth in np.radians(np.arange(0, 360, 5)):
        for tilt in np.radians(np.arange(5, 91, 5)):
            x, y = math.sin(tilt) * math.cos(azimuth), math.sin(tilt) * math.sin(azimuth)
            z = math.cos(tilt)
            exact = np.array([x / widen, y * widen, z])
            exact /= np.linalg.norm(exact)
            kept = Normal().turn(colour(x, y, z), stretched)[0, 0, ::-1] * 2 - 1
            worst = max(worst, math.degrees(math.acos(min(1.0, float(kept @ exact)))))
    bound = math.degrees(math.asin(1 / 7))  # (4/3 - 1) / (4/3 + 1)
    assert bound - 0.1 < worst < bound + 0.1
