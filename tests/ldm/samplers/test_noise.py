"""Noise that belongs to a sample."""

import torch

from ldm.samplers.noise import draw_noise


def test_noise_of_a_sample_is_the_same_in_any_batch():
    def draw(seeds):
        return draw_noise(
            (len(seeds), 4, 2, 2), [torch.Generator().manual_seed(seed) for seed in seeds]
        )

    assert torch.equal(draw([7, 8, 9])[2:], draw([9]))
    torch.manual_seed(5)
    expected = torch.randn(2, 4, 2, 2)
    torch.manual_seed(5)
    assert torch.equal(draw_noise((2, 4, 2, 2)), expected)
