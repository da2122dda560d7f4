"""Noise and timesteps of a sample depend on its seed alone."""

import torch

from training.step.noise import draw_step_noise, spread_timesteps

SHAPE = (4, 4, 8)


def test_draws_do_not_depend_on_the_batch():
    batch, single = draw_step_noise([5, 6, 7], SHAPE, 1000), draw_step_noise([6], SHAPE, 1000)
    assert [tuple(values.shape) for values in batch] == [(3, *SHAPE), (3,), (3, *SHAPE)]
    assert all(torch.equal(one, many[1:2]) for one, many in zip(single, batch, strict=True))
    assert not torch.equal(batch.posterior, batch.noise)
    assert not torch.equal(batch.noise[0], batch.noise[2])


def test_timesteps_cover_the_schedule():
    t = draw_step_noise(range(2000), (1, 1, 1), 1000).t
    assert t.min() < 10 and t.max() > 989
    assert abs(t.double().mean() - 499.5) < 25  # 3.9 standard errors


def test_fixed_timesteps_are_evenly_spread_even_if_few():
    t = spread_timesteps(range(8), 1000)
    assert torch.equal(t, spread_timesteps(range(8), 1000))
    gaps = torch.cat([torch.tensor([0]), t.sort().values, torch.tensor([1000])]).diff()
    assert gaps.max() < 250  # an even spread would leave 111
