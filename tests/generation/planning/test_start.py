"""Real images that generated ones begin with."""

from pathlib import Path

import numpy as np
import pytest

from core.command_line.options import OptionError
from core.imaging.images import write_png
from generation.planning.plan import ConditionSet
from generation.planning.start import StartImageOptions, check_images, with_images


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a", "b"):
        write_png(folder / f"{name}.png", np.zeros((32, 64), np.uint8))
    return folder


def sets_of(*names):
    return [ConditionSet(i, (Path(f"masks/{name}.png"),)) for i, name in enumerate(names)]


def test_conditions_get_their_images(images):
    sets = with_images(sets_of("b", "a"), StartImageOptions((0.5,), images))
    assert [conditions.image.name for conditions in sets] == ["b.png", "a.png"]
    assert with_images(sets_of("c"), StartImageOptions()) == sets_of("c")
    with pytest.raises(RuntimeError, match=r"images: no image for 1 of 2 conditions \(c.png\)"):
        with_images(sets_of("a", "c"), StartImageOptions((0.5,), images))
    check_images(sets, {0: (32, 64), 1: (32, 64)})
    with pytest.raises(ValueError, match=r"b.png: 64 x 32 pixels, but masks/b.png has 64 x 64"):
        check_images(sets, {0: (64, 64), 1: (32, 64)})


@pytest.mark.parametrize(
    "options, message",
    [
        (StartImageOptions((0.05,), Path("x")), "encode_ratio: 0.05 is outside 0.1..1"),
        (StartImageOptions((0.5, 1.5), Path("x")), "encode_ratio: 1.5 is outside"),
        (StartImageOptions((0.5,)), "encode_ratio: needs --image_path"),
        (StartImageOptions((), Path("x")), "image_path: is only read with --encode_ratio"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(OptionError, match=message):
        options.check()
