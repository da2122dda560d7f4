"""A grain file's pixel size, and grain on decoded pictures."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core.files import write_json
from core.imaging.pixel_size import PixelSize
from generation.drawing.grain import add_grain, chosen_grain
from generation.options import GrainOptions
from tests.microscope.test_grain import grain_of

BASE = Path("base.ckpt")  # is not read: grain of older versions tells no autoencoder


@pytest.fixture
def path(tmp_path):
    """A grain that was measured at 4.6 nm per pixel."""
    write_json(tmp_path / "grain.json", grain_of().model_dump())
    return tmp_path / "grain.json"


def branch_of(pixel_size, trained=None):
    return SimpleNamespace(pixel_size=pixel_size, trained_pixel_size=trained)


def test_another_pixel_size_is_refused_where_both_are_known(path):
    assert chosen_grain(None, branch_of(None), BASE) is None and GrainOptions().files() == {}
    fine, other = PixelSize(5.0, 4.5), PixelSize(8, 8)
    for sizes in ((None, None), (PixelSize(4.6, 4.6), None), (fine, other), (None, fine)):
        assert chosen_grain(path, branch_of(*sizes), BASE) == grain_of()
    with pytest.raises(ValueError, match="of 4.6 nm, but the images have pixels of 8 nm. Meas"):
        chosen_grain(path, branch_of(other, fine), BASE)
    with pytest.raises(ValueError, match="the images of the training have pixels of 8 nm"):
        chosen_grain(path, branch_of(None, other), BASE)
    write_json(path, grain_of().model_dump() | {"pixel_size_nm": None})
    assert chosen_grain(path, branch_of(other), BASE).pixel_size_nm is None


def test_grain_is_added_on_the_decoders_scale():
    decoded = torch.linspace(-1, 1, 3 * 40 * 48).reshape(1, 3, 40, 48)
    grained = add_grain(grain_of(), decoded, 5)
    picture = (decoded[0].permute(1, 2, 0).double().numpy() + 1) / 2
    expected = 2 * grain_of().add(picture, 5) - 1
    np.testing.assert_allclose(grained[0].permute(1, 2, 0).numpy(), expected, atol=1e-12)
    assert 2 * 0.05 < (grained - decoded).std() < 4 * 0.05


def test_a_missing_file_is_an_error():
    with pytest.raises(FileNotFoundError, match="none.json"):
        chosen_grain(Path("none.json"), branch_of(None), BASE)
