"""Grain of a known spectrum and strength, and files of it that are damaged."""

import json

import numpy as np
import pytest

from core.files import write_json
from microscope.grain import BANDS, LEVELS, TILE, Grain, band_masks, frequencies, read_grain


def grain_of(spectrum=None, strength=0.05, factors=(1.0,)):
    """A grain with the same strength in each band and level."""
    spectrum = np.ones((TILE, TILE)) if spectrum is None else spectrum
    strengths = [[strength] * len(LEVELS)] * len(BANDS)
    numbers = {"pixel_size_nm": [4.6, 4.6], "images": 1, "pixels": TILE**2}
    return Grain(spectrum=spectrum.tolist(), strengths=strengths, factors=list(factors), **numbers)


def noise_of(grain, level=0.5, size=(200, 300), seed=0):
    return grain.add(np.full((*size, 3), level), seed) - level


def test_bands_share_no_frequency_and_leave_out_slow_changes_alone():
    masks = band_masks()
    assert masks.sum(axis=0).max() == 1
    assert (masks.any(axis=0) == (np.hypot(*frequencies()) >= BANDS[0])).all()


def test_each_band_adds_its_variance_and_all_channels_get_the_same():
    noise = noise_of(grain_of())
    assert noise.std() == pytest.approx(0.05 * np.sqrt(len(BANDS)), rel=0.03)
    assert np.abs(noise.mean()) < 1e-3
    np.testing.assert_allclose(noise[..., :1].repeat(3, axis=2), noise)


def test_the_strength_follows_the_local_grey_level():
    grain = grain_of()
    grain.strengths = [[0.1 * level for level in LEVELS]] * len(BANDS)
    for level in (0.25, 0.5, 0.75):  # between two of the levels
        expected = 0.1 * level * np.sqrt(len(BANDS))
        assert noise_of(grain, level).std() == pytest.approx(expected, rel=0.04)


def test_the_direction_of_the_spectrum_is_kept():
    vertical, horizontal = frequencies()
    fast_down = (np.abs(horizontal) < 0.1) & (np.abs(vertical) > 0.3)
    noise = noise_of(grain_of(fast_down.astype(float)))[..., 0]
    along = (noise[:, 1:] * noise[:, :-1]).mean() / noise.var()
    across = (noise[1:] * noise[:-1]).mean() / noise.var()
    assert along > 0.8 and across < -0.5


def test_the_seed_alone_decides_and_sizes_are_free():
    grain = grain_of(factors=(0.5, 1.0, 1.5))
    assert np.array_equal(noise_of(grain, seed=3), noise_of(grain, seed=3))
    assert not np.array_equal(noise_of(grain, seed=3), noise_of(grain, seed=4))
    assert noise_of(grain, size=(8, 5)).shape == (8, 5, 3)
    deviations = [noise_of(grain, seed=seed, size=(96, 96)).std() for seed in range(30)]
    plain = 0.05 * np.sqrt(len(BANDS))
    assert 0.45 * plain < min(deviations) < 0.8 * plain  # factors of the pictures
    assert 1.2 * plain < max(deviations) < 1.55 * plain


def test_a_band_without_power_has_no_noise():
    assert np.abs(noise_of(grain_of(np.zeros((TILE, TILE))))).max() == 0


def test_a_picture_that_is_not_finite_stays_so():
    """What is wrong with it is found when it is rounded."""
    picture = np.full((32, 32, 3), 0.5)
    picture[4, 4] = np.nan
    assert np.isnan(grain_of().add(picture, 0)).any()


def test_files_give_the_same_grain(tmp_path):
    grain = grain_of(factors=(0.5, 1.0))
    write_json(tmp_path / "grain.json", grain.model_dump())
    again = read_grain(tmp_path / "grain.json")
    assert again == grain
    assert np.array_equal(noise_of(again), noise_of(grain))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "generation"}, "kind"),
        ({"factors": []}, "factors"),
        ({"factors": [-1.0]}, "factors.0"),
        ({"factors": [None]}, "factors.0"),
        ({"factors": [1e9]}, "factors.0"),
        ({"spectrum": [[1.0]]}, "spectrum"),
        ({"strengths": [[0.1] * len(LEVELS)]}, "strengths"),
        ({"strengths": [["0.1"] * len(LEVELS)] * len(BANDS)}, "strengths.0.0"),
        ({"pixel_size_nm": [0, 1]}, "pixel_size_nm.0"),
    ],
)
def test_damaged_files_are_refused(tmp_path, change, message):
    path = tmp_path / "grain.json"
    path.write_text(json.dumps(grain_of().model_dump() | change))
    with pytest.raises(ValueError, match=rf"grain.json: damaged or edited \({message}"):
        read_grain(path)


@pytest.mark.parametrize("content", [b"", b"{", b"\x93NUMPY\xff", b"[1, 2]", b"{}"])
def test_foreign_files_are_refused(tmp_path, content):
    path = tmp_path / "grain.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="grain.json: damaged or edited"):
        read_grain(path)
    with pytest.raises(FileNotFoundError, match="none"):
        read_grain(tmp_path / "none")
