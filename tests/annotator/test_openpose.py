"""OpenPose around its networks: planted maps become the people they show, and nobody else."""

import numpy as np
import pytest
import torch

import annotator.openpose
from annotator.openpose import OpenposeDetector
from annotator.openpose.body import (
    COUNT,
    LIMBS,
    NUM_JOINTS,
    TOTAL,
    Limb,
    add_connection,
    assemble,
    connect,
    find_peaks,
)
from annotator.openpose.draw import COLOURS, draw_hand, draw_people
from annotator.openpose.hand import Box, hand_boxes, hand_joints
from annotator.openpose.maps import STRIDE, Sampler, full_size, network_input
from annotator.synthetic_maps import FIGURE, add_limb, heat_map, pose_maps

HEIGHT, WIDTH = 128, 160
ONE = (FIGURE * 110 + (60, 64)).round()
OTHER = (FIGURE * 100 + (92, 66)).round()  # its right arm lies in the first one's left half
NOBODY = np.full((NUM_JOINTS, 2), np.nan)


def reader(fields):
    """Function that reads whole maps, (38, H, W), for `assemble`."""
    return lambda channels, y, x: fields[channels, y, x]


def limb_reader(field):
    """Function that reads one limb's whole maps, (2, H, W), for `connect`; and their height."""
    return lambda y, x: field[:, y, x], field.shape[1]


def people_of(heat, fields):
    """Joints of all people from left to right, (people, 18, 2), and their rows in `subset`.

    Joints that were not found are nan.
    """
    candidate, subset = assemble(heat[:NUM_JOINTS], reader(fields))
    points = np.vstack([candidate[:, :2], [np.nan, np.nan]])
    joints = points[subset[:, :NUM_JOINTS].astype(int)]
    order = np.argsort(np.nanmean(joints[..., 0], axis=1))
    return joints[order], subset[order]


def test_two_people_who_overlap_are_two_skeletons():
    assert OTHER[:, 0].min() < ONE[:, 0].max()
    joints, subset = people_of(*pose_maps([ONE, OTHER], HEIGHT, WIDTH, sigma=2.0))
    assert np.array_equal(joints, [ONE, OTHER])
    assert (subset[:, COUNT] == NUM_JOINTS).all()
    assert (subset[:, TOTAL] > 1.5 * NUM_JOINTS).all()  # 18 peaks and 17 limbs of about 1


def test_nobody_is_found_where_nobody_is():
    candidate, subset = assemble(
        np.zeros((NUM_JOINTS, HEIGHT, WIDTH), np.float32),
        reader(np.zeros((38, HEIGHT, WIDTH), np.float32)),
    )
    assert candidate.shape == (0, 4) and subset.shape == (0, 20)


def test_joints_without_fields_are_no_people():
    heat, fields = pose_maps([ONE], HEIGHT, WIDTH, sigma=2.0)
    candidate, subset = assemble(heat[:NUM_JOINTS], reader(0 * fields))
    assert len(candidate) == NUM_JOINTS and len(subset) == 0


def test_a_peak_keeps_its_place_and_its_heat_before_the_blur():
    heat = np.zeros((NUM_JOINTS, 40, 50), np.float32)
    heat[3] = 0.8 * heat_map([(20, 30)], 40, 50, 4.0)
    heat[5] = heat_map([(0, 0), (49, 39)], 40, 50, 4.0)
    heat[7, 20, 20] = 1  # 0.018 after the blur
    candidate, joint = find_peaks(heat)
    assert joint.tolist() == [3, 5, 5]
    assert candidate == pytest.approx(np.array([[20, 30, 0.8, 0], [0, 0, 1, 1], [49, 39, 1, 2]]))


@pytest.mark.parametrize(("covered", "found"), [(10, True), (9, True), (8, False)])
def test_a_limb_needs_nine_of_ten_samples(covered, found):
    # Samples every 5 pixels.
    first, second = np.array([[5.0, 10, 1, 0]]), np.array([[50.0, 10, 1, 1]])
    field = np.zeros((2, 100, 60), np.float32)
    field[0, :, : 5 * covered + 3] = 0.5
    pairs = connect(first, second, *limb_reader(field))
    assert pairs == ([(0, 1, pytest.approx(0.05 * covered))] if found else [])


def test_long_limbs_count_less_and_fields_against_them_not_at_all():
    first, second = np.array([[0.0, 0, 1, 0]]), np.array([[80.0, 0, 1, 1]])
    field = np.zeros((2, 100, 100), np.float32)
    field[0] = 0.9
    assert connect(first, second, *limb_reader(field))[0][2] == pytest.approx(
        0.9 + 0.5 * 100 / 80 - 1
    )
    assert connect(second, first, *limb_reader(field)) == []


def test_each_joint_is_in_one_pair_the_best_first():
    first = np.array([[0.0, 0, 1, 0], [0, 20, 1, 1]])
    second = np.array([[30.0, 0, 1, 2], [30, 20, 1, 3]])
    field = np.zeros((2, 100, 60), np.float32)
    add_limb(field, np.array([0, 0]), np.array([30, 0]), 3)
    add_limb(field, np.array([0, 20]), np.array([30, 20]), 3)
    field[:, 10:] *= 0.8
    assert [pair[:2] for pair in connect(first, second, *limb_reader(field))] == [(0, 2), (1, 3)]


def test_parts_without_a_common_joint_are_merged_by_the_limb_between_them():
    """Without neck and nose, the last limb but one joins an arm and the ear."""
    person = NOBODY.copy()
    person[[2, 3, 4, 14, 16]] = ONE[[2, 3, 4, 14, 16]]
    joints, subset = people_of(*pose_maps([person], HEIGHT, WIDTH, sigma=2.0))
    assert np.array_equal(joints, person[None], equal_nan=True)
    assert subset[0, COUNT] == 5


def test_the_last_two_limbs_find_no_new_people():
    rows = []
    heat = np.array([0.5, 0.7])
    add_connection(rows, LIMBS[17], 0, 1, 0.9, heat, may_be_new=False)
    assert rows == []
    add_connection(rows, LIMBS[16], 0, 1, 0.9, heat, may_be_new=True)
    assert rows[0][[14 + 1, 17, TOTAL, COUNT]].tolist() == [0, 1, pytest.approx(2.1), 2]


def row(total, **joints):
    """A person: total score and {j3=7}, candidate 7 as joint 3."""
    person = np.full(NUM_JOINTS + 2, -1.0)
    for name, number in joints.items():
        person[int(name[1:])] = number
    person[[TOTAL, COUNT]] = total, len(joints)
    return person


LIMB = Limb(2, 16, 18, 19)
HEAT = np.linspace(0.1, 1, 10)


def connected(*people):
    """Rows after a connection from candidate 1 to 2 with score 0.5.

    A row is a dictionary of the entries that are set.
    """
    rows = list(people)
    add_connection(rows, LIMB, 1, 2, 0.5, HEAT, may_be_new=True)
    return [
        {i: round(float(value), 6) for i, value in enumerate(person) if i >= TOTAL or value >= 0}
        for person in rows
    ]


def test_rules_for_people_that_a_connection_meets():
    # One row: the second joint is added; a connection that is there already changes nothing.
    assert connected(row(1, j2=1)) == [{2: 1, 16: 2, TOTAL: 1.8, COUNT: 2}]
    assert connected(row(1, j2=1, j16=2)) == [{2: 1, 16: 2, TOTAL: 1, COUNT: 2}]
    # The first joint is never set.
    assert connected(row(1, j16=2)) == [{16: 2, TOTAL: 1, COUNT: 1}]
    # Two rows without a common joint become one.
    assert connected(row(1, j2=1, j3=5), row(2, j16=2)) == [
        {2: 1, 3: 5, 16: 2, TOTAL: 3.5, COUNT: 3}
    ]
    # Two rows with a common joint: the first gets the second joint, whatever it had.
    both = connected(row(1, j2=1, j5=4), row(2, j5=6, j16=2))
    assert both == [{2: 1, 5: 4, 16: 2, TOTAL: 1.8, COUNT: 3}, {5: 6, 16: 2, TOTAL: 2, COUNT: 2}]
    # Three rows: the first two count, the third stays.
    assert connected(row(1, j2=1), row(2, j16=2), row(3, j2=1, j7=8)) == [
        {2: 1, 16: 2, TOTAL: 3.5, COUNT: 2},
        {2: 1, 7: 8, TOTAL: 3, COUNT: 2},
    ]
    # Nobody: a new person.
    assert connected() == [{2: 1, 16: 2, TOTAL: 1.0, COUNT: 2}]


def test_people_of_few_or_weak_joints_are_dropped():
    few = NOBODY.copy()
    few[[2, 3, 4]] = ONE[[2, 3, 4]]
    assert len(people_of(*pose_maps([few], HEIGHT, WIDTH, sigma=2.0))[0]) == 0
    heat, fields = pose_maps([ONE], HEIGHT, WIDTH, sigma=4.0)
    assert len(people_of(heat, fields)[0]) == 1
    assert len(people_of(0.2 * heat, 0.15 * fields)[0]) == 0  # about 0.35 per joint


def test_a_joint_and_a_limb_are_drawn_in_their_colours():
    candidate = np.array([[20, 30, 1, 0], [60, 30, 1, 1.0]])
    subset = np.full((1, 20), -1.0)
    subset[0, [2, 3]] = 0, 1  # right shoulder and elbow: the third limb
    canvas = draw_people(np.zeros((64, 80, 3), np.uint8), candidate, subset)
    assert canvas[30, 40].tolist() == [round(0.6 * c) for c in COLOURS[2]]
    assert canvas[33, 20].tolist() == list(COLOURS[2])  # outside the limb
    assert canvas[33, 60].tolist() == list(COLOURS[3])
    rows, columns = np.nonzero(canvas.any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (26, 34, 16, 64)


def test_limbs_at_the_border_are_cut_off():
    candidate = np.array([[0, 0, 1, 0], [3, 63, 1, 1], [79, 0, 1, 2], [79, 63, 1, 3.0]])
    subset = np.full((2, 20), -1.0)
    subset[:, [2, 3]] = [[0, 1], [2, 3]]
    canvas = draw_people(np.zeros((64, 80, 3), np.uint8), candidate, subset)
    assert canvas[32, 1].any() and canvas[32, 79].any() and not canvas[:, 10:70].any()


def test_hand_boxes():
    """Centre 0.33 beyond the wrist, side 1.5 times the lower arm or 0.9 of the upper one.

    The longer of the two counts. The left arm comes first.
    """
    candidate = np.zeros((6, 4))
    candidate[:3, :2] = (100, 100), (140, 100), (190, 100)  # right: lower arm 50
    candidate[3:, :2] = (300, 10), (300, 60), (300, 70)  # left: upper arm 50
    subset = np.full((1, 20), -1.0)
    subset[0, [2, 3, 4, 5, 6, 7]] = range(6)
    assert hand_boxes(candidate, subset, 400, 400) == [Box(266, 39, 67), Box(169, 62, 75)]
    # The left box lies outside, the right one shrinks.
    assert hand_boxes(candidate, subset, 400, 210) == [Box(169, 62, 41)]
    # 18 pixels would remain of the right one.
    assert hand_boxes(candidate, subset, 80, 400) == [Box(266, 39, 40)]
    subset[0, 3] = -1
    assert hand_boxes(candidate, subset, 400, 400) == [Box(266, 39, 67)]


def test_hand_joints_are_the_top_of_the_strongest_spot():
    heat = np.zeros((22, 80, 90), np.float32)
    heat[0] = heat_map([(30, 20)], 80, 90, 3.0)
    heat[1] = heat_map([(60, 10)], 80, 90, 3.0)
    heat[1] += 0.7 * heat_map([(20, 50)], 80, 90, 6.0)  # a lower peak, but more heat in all
    heat[2] = 0.04
    joints = hand_joints(heat)
    assert joints[:3].tolist() == [[30, 20], [20, 50], [0, 0]] and not joints[3:].any()


def test_missing_joints_of_a_hand_are_not_drawn():
    canvas = np.zeros((60, 60, 3), np.uint8)
    joints = np.zeros((21, 2), int)
    joints[[0, 1, 3]] = (20, 20), (40, 20), (30, 50)
    draw_hand(canvas, joints)
    assert canvas[20, 30].tolist() == [255, 0, 0]  # from 0 to 1, the first hue
    assert canvas[20, 20].tolist() == canvas[50, 30].tolist() == [0, 0, 255]
    assert not canvas[:10, :10].any() and not canvas[35].any()


def test_pictures_are_padded_with_grey_and_maps_cut_back():
    x = network_input(np.full((100, 150, 3), 255, np.uint8), 0.5)
    assert x.shape == (3, 56, 80) and x.dtype == np.float32
    assert (x[:, :50, :75] == 255 / 256 - 0.5).all()
    assert (x[:, 50:] == 0).all() and (x[:, :, 75:] == 0).all()
    maps = torch.arange(10.0).expand(1, 7, 10)
    full = full_size(maps, 0.5, 100, 150)
    assert full.shape == (1, 100, 150)
    columns = np.arange(150)
    expected = ((columns + 0.5) * 0.5 - STRIDE / 2) / STRIDE  # centres of pixels
    # The cubic kernel is not exact on ramps.
    assert np.abs(full[0] - expected)[:, 32:-32].max() < 0.1


@pytest.mark.parametrize("size", [(512, 448), (100, 150), (33, 47), (400, 2), (1, 1), (40, 4300)])
def test_single_pixels_are_those_of_the_whole_maps(size):
    factor = 184 / size[0]
    shown = network_input(np.zeros((*size, 3), np.uint8), factor)
    cells = [side // STRIDE for side in shown.shape[1:]]
    maps = torch.randn(4, *cells, generator=torch.Generator().manual_seed(0))
    y, x = np.random.default_rng(0).integers(0, size, (300, 2)).T.reshape(2, 30, 10)
    values = Sampler(maps, factor, *size)(slice(1, 3), y, x)
    assert values.shape == (2, 30, 10)
    whole = full_size(maps, factor, *size)[1:3, y, x]
    assert np.abs(values - whole).max() < 2e-5  # sums in another order


class Planted:
    """A network that gives maps of `people`, who are in pixels of a picture of `height`.

    The maps fit whatever size it is shown.
    """

    def __init__(self, people, height):
        self.people, self.height, self.seen = people, height, []

    def __call__(self, x):
        self.seen.append(x)
        rows, columns = (side // STRIDE for side in x.shape[2:])
        factor = 184 / self.height / STRIDE
        people = [(person + 0.5) * factor - 0.5 for person in self.people]
        heat, fields = pose_maps(people, rows, columns, sigma=0.7)
        return [torch.from_numpy(maps).expand(len(x), -1, -1, -1) for maps in (fields, heat)]


@pytest.fixture
def detector(monkeypatch):
    """A detector that sees two people in a picture 512 high."""
    monkeypatch.setattr(annotator.openpose, "load_network", lambda *args: None)
    detector = OpenposeDetector()
    detector.body = Planted([FIGURE * 400 + (130, 260), FIGURE * 380 + (330, 250)], 512)
    return detector


def test_people_in_a_picture(detector):
    picture = np.full((512, 448, 3), (255, 128, 0), np.uint8)
    canvas, found = detector(picture)
    assert canvas.shape == picture.shape and canvas.dtype == np.uint8 and canvas.any()
    candidate, subset = np.array(found["candidate"]), np.array(found["subset"])
    joints = candidate[subset[:, :NUM_JOINTS].astype(int), :2]
    assert (subset[:, COUNT] == NUM_JOINTS).all()
    joints = joints[np.argsort(joints[:, 0, 0])]  # from left to right
    assert np.abs(joints - detector.body.people).max() < 8  # a cell of the maps is 22 pixels
    seen = detector.body.seen[0]
    assert seen.shape == (1, 3, 184, 168)
    assert seen[0, :, 9, 9].tolist() == [-0.5, 0, 255 / 256 - 0.5]  # BGR


def test_pictures_together_are_as_pictures_alone(detector):
    pictures = [np.zeros((512, 448, 3), np.uint8), np.zeros((512, 448), np.uint8)]
    alone = detector(pictures[0])
    for canvas, found in detector.detect(pictures):
        assert (canvas == alone[0]).all() and found == alone[1]


def test_hands_are_looked_for_in_their_boxes(detector):
    sizes = []

    def hand(x):
        sizes.append(x.shape)
        rows, columns = (side // STRIDE for side in x.shape[2:])
        maps = np.stack([heat_map([(columns / 2, rows / 2)], rows, columns, rows / 20)] * 22)
        maps[5] = 0
        return torch.from_numpy(maps)[None]

    detector.hand = hand
    candidate = np.array([[100, 100, 1, 0], [140, 100, 1, 1], [190, 100, 1, 2.0]])
    subset = np.full((1, 20), -1.0)
    subset[0, [2, 3, 4]] = range(3)
    (joints,) = detector.find_hands(np.zeros((400, 400, 3), np.uint8), candidate, subset)
    assert [size[2:] for size in sizes] == [(184, 184), (368, 368), (552, 552), (736, 736)]
    middle = np.array([169 + 37, 62 + 37])
    assert np.abs(np.delete(joints, 5, axis=0) - middle).max() <= 3 and joints[5].tolist() == [0, 0]


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 2), (33, 47)])
def test_nobody_in_a_picture_of_any_size(detector, size):
    detector.body = Planted([], 512)
    for shape in (size, (*size, 3), (*size, 4)):
        canvas, found = detector(np.zeros(shape, np.uint8), hand=True)
        assert canvas.shape == (*size, 3) and not canvas.any()
        assert found == {"candidate": [], "subset": []}
