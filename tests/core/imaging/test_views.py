"""Views: how they are drawn, where a rotation takes a pixel, and that every corner is filled."""

import numpy as np
import pytest
import torch

from core.imaging.views import View, draw_view, take_centre, take_view

WHOLE = View(0, 0, 32, 32, 0.0, False, False)


def test_crop_scale_rotation_and_flips_are_drawn():
    generator = torch.Generator().manual_seed(0)
    views = [draw_view(100, 100, (0.08, 1.0), generator) for _ in range(2000)]
    areas = np.array([view.height * view.width for view in views]) / 1e4
    ratios = np.array([view.width / view.height for view in views])
    assert 0.07 < areas.min() < 0.1
    assert 0.95 < areas.max() <= 1
    assert 0.72 < ratios.min() < 0.78
    assert 1.28 < ratios.max() < 1.38
    assert all(0 <= view.top <= 100 - view.height for view in views)
    assert all(0 <= view.left <= 100 - view.width for view in views)
    quarters, _ = np.histogram([view.angle for view in views], bins=4, range=(0, 360))
    assert quarters.min() > 400  # 500 expected
    for flip in ("flip_horizontal", "flip_vertical"):
        assert abs(np.mean([getattr(view, flip) for view in views]) - 0.5) < 0.05
    quarter_area = [draw_view(100, 100, (0.25, 0.25), generator) for _ in range(50)]
    assert all(abs(view.height * view.width - 2500) < 60 for view in quarter_area)


@pytest.mark.parametrize(("height", "width"), [(20, 300), (300, 20)])
def test_boxes_in_a_strip_keep_their_ratio_and_lie_anywhere(height, width):
    generator = torch.Generator().manual_seed(0)
    views = [draw_view(height, width, (0.08, 1.0), generator) for _ in range(200)]
    ratios = [view.width / view.height for view in views]
    assert 0.7 < min(ratios)  # 3 : 4, with sides rounded to pixels
    assert max(ratios) < 1.4
    places = [view.left + view.top for view in views]
    assert min(places) < 15
    assert max(places) > 260


@pytest.mark.parametrize("size", [8, 48])
def test_the_margin_suffices_at_every_angle(size):
    bright = torch.ones(1, 40, 60)
    for angle in range(0, 361, 3):
        for height, width in ((40, 52), (31, 25)):
            view = View(0, 3, height, width, float(angle), False, False)
            assert take_view(bright, view, size, True).min() > 0.9999, angle
            assert take_view(bright, view, size, False).min() == 1, angle


def test_a_view_turns_and_flips():
    quadrants = torch.tensor([[0.1, 0.3], [0.6, 0.9]])
    picture = quadrants.repeat_interleave(16, 0).repeat_interleave(16, 1)[None]  # (1, 32, 32)
    for angle, right, down, expected in (
        (0.0, False, False, [[0.1, 0.3], [0.6, 0.9]]),
        (0.0, True, False, [[0.3, 0.1], [0.9, 0.6]]),
        (0.0, False, True, [[0.6, 0.9], [0.1, 0.3]]),
        (90.0, False, False, [[0.3, 0.9], [0.1, 0.6]]),  # counter-clockwise, as torchvision turns
        (90.0, True, False, [[0.9, 0.3], [0.6, 0.1]]),  # turned first, mirrored after
    ):
        for smooth in (True, False):
            seen = take_view(picture, View(0, 0, 32, 32, angle, right, down), 32, smooth)
            assert torch.allclose(seen[0, 8::16, 8::16], torch.tensor(expected), atol=1e-5)


def test_nearest_neighbour_is_not_shifted():
    """Torch's plain `nearest` would move masks by (factor - 1) / 2 source pixels, here 3.5 of 256.

    The difference is signed, so that rounding cancels and a shift does not.
    """
    ramp = torch.arange(256.0).repeat(1, 256, 1)  # (1, 256, 256)
    view = View(0, 0, 256, 256, 0.0, False, False)
    image = take_view(ramp / 255, view, 32, True) * 255
    labels = take_view(ramp, view, 32, False)
    assert abs((image - labels).mean().item()) < 1


def test_a_view_of_the_whole_picture_is_the_picture():
    layer = torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(take_view(layer, WHOLE, 32, False), layer)
    assert torch.allclose(take_view(layer, WHOLE, 32, True), layer, atol=1e-6)


def test_the_centre_is_cut_out_and_small_pictures_are_enlarged():
    layer = torch.arange(64.0 * 112).view(1, 64, 112)
    for smooth in (True, False):
        assert torch.equal(take_centre(layer, 32, smooth), layer[:, 16:48, 40:72])
    narrow = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]).repeat(1, 2, 1)  # (1, 2, 4)
    enlarged = take_centre(narrow, 4, False)  # twice as large, then the middle columns
    assert enlarged.tolist() == [[[2.0, 2.0, 3.0, 3.0]] * 4]
