"""From conditions to pictures: noise that belongs to a picture, control scales, all samplers."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cldm import sampling
from cldm.options import PREVIEW, SamplingOptions
from cldm.sampling import (
    NotFiniteError,
    Start,
    control_scales,
    decode,
    sample_images,
    sample_latents,
    to_pixels,
)
from core.command_line.options import OptionError, add_options, new_parser, read_options
from ldm.samplers.noise import Blend

FEW = SamplingOptions(steps=2, scale=3.0)
HINT = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
PROMPTS = ["a cell", "a nucleus", ""]


def test_control_scales():
    assert control_scales(2.0, guess_mode=False, count=13) == [2.0] * 13
    guess = control_scales(0.7, guess_mode=True, count=13)
    assert guess[-1] == 0.7 and np.divide(guess[:-1], guess[1:]) == pytest.approx([0.825] * 12)
    assert control_scales(1.0, guess_mode=False, count=4) == [1.0] * 4


@pytest.mark.parametrize(
    "options",
    [FEW, SamplingOptions(steps=2, guess_mode=True), SamplingOptions(steps=2, sampler="unipc")],
)
def test_a_picture_depends_on_its_seed_and_condition_alone(shared_tiny_cldm, options):
    seeds = [5, 6, 7]
    batch = sample_latents(shared_tiny_cldm, [HINT], PROMPTS, seeds, options)
    assert batch.shape == (3, 4, 8, 8) and batch.isfinite().all()
    for i in (2, 0):
        single = sample_latents(shared_tiny_cldm, [HINT[[i]]], [PROMPTS[i]], [seeds[i]], options)
        torch.testing.assert_close(
            single[0], batch[i], rtol=1e-3, atol=1e-3
        )  # sums in another order; strayed noise is off by 1
    other_seed = sample_latents(shared_tiny_cldm, [HINT[:1]], PROMPTS[:1], [8], options)
    assert (other_seed[0] - batch[0]).abs().max() > 0.1


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp", "unipc"])
def test_start_from_pictures(shared_tiny_cldm, sampler):
    """A ratio of 1 is pure noise; the smaller it is, the more of the pictures stays."""
    options = SamplingOptions(steps=10, scale=1.0, eta=0.0, sampler=sampler)
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1

    def latents(ratio, part=slice(2)):
        start = Start(pictures, ratio)[part] if ratio else None
        hints, prompts, seeds = [HINT[:2][part]], PROMPTS[:2][part], [5, 6][part]
        return sample_latents(shared_tiny_cldm, hints, prompts, seeds, options, start=start)

    assert torch.equal(latents(1.0), latents(None))
    posterior = shared_tiny_cldm.encode_first_stage(pictures)
    z = shared_tiny_cldm.scale_factor * posterior.mode()
    distances = [float((latents(ratio) - z).square().mean()) for ratio in (0.1, 0.5, 1.0)]
    assert distances == sorted(distances) and distances[0] < 0.3 * distances[2]
    torch.testing.assert_close(latents(0.5, slice(1, 2))[0], latents(0.5)[1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sampler", ["ddim", "dpmpp", "unipc"])
def test_with_the_true_noise_the_picture_comes_back(shared_tiny_cldm, monkeypatch, sampler):
    """A denoiser that knows z gives z, from every timestep (1e-3)."""
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    z = shared_tiny_cldm.scale_factor * shared_tiny_cldm.encode_first_stage(picture).mode()

    def true_eps(model, x_noisy, t, **keywords):
        abar = model.alphas_cumprod[t]
        return (x_noisy - abar.sqrt() * z) / (1 - abar).sqrt()

    monkeypatch.setattr("cldm.sampling.guided_eps", true_eps)
    options = SamplingOptions(steps=10, eta=0.0, sampler=sampler)
    for ratio in (0.1, 0.45, 0.9):
        found = sample_latents(
            shared_tiny_cldm, [HINT[:1]], [""], [3], options, start=Start(picture, ratio)
        )
        # All samplers end at t = 0, where alpha-bar is 0.9991: a little noise is left.
        abar = shared_tiny_cldm.alphas_cumprod[0]
        noise = (found - abar.sqrt() * z) / (1 - abar).sqrt()
        assert noise.std() == pytest.approx(1, abs=0.2), ratio


def test_same_call_same_picture_and_no_trace_in_the_model(shared_tiny_cldm):
    pictures = [
        sample_images(shared_tiny_cldm, [HINT[:1]], PROMPTS[:1], [5], FEW) for _ in range(2)
    ]
    assert pictures[0].shape == (1, 64, 64, 3) and pictures[0].dtype == np.uint8
    assert np.array_equal(*pictures) and np.ptp(pictures[0]) > 0
    assert shared_tiny_cldm.control_scales == [1.0] * 13


def test_a_picture_that_is_not_finite_is_an_error(shared_tiny_cldm):
    broken = HINT.clone()
    broken[1] = torch.nan
    with pytest.raises(NotFiniteError, match="picture 1 of the batch") as caught:
        sample_images(shared_tiny_cldm, [broken], PROMPTS, [5, 6, 7], FEW)
    assert caught.value.index == 1
    huge = dataclasses.replace(FEW, scale=1e30)
    with pytest.raises(NotFiniteError, match="Lower the guidance scale"):
        sample_images(shared_tiny_cldm, [HINT[:1]], PROMPTS[:1], [5], huge)


def test_a_finished_picture_is_rounded_after_it_was_finished(shared_tiny_cldm):
    """What is added stays below a grey level, and the seeds are those of the pictures."""
    seen = []

    def finish(decoded, seed):
        seen.append(seed)
        assert decoded.shape == (1, 3, 64, 64) and decoded.is_floating_point()
        return torch.full_like(decoded, (seed + 0.4) / 127.5 - 1)

    pictures = sample_images(shared_tiny_cldm, [HINT], PROMPTS, [5, 6, 7], FEW, finish=finish)
    assert seen == [5, 6, 7] and (pictures == np.array([5, 6, 7])[:, None, None, None]).all()


def test_pictures_are_the_same_bytes_in_any_batch(shared_tiny_cldm):
    batch = sample_images(shared_tiny_cldm, [HINT], PROMPTS, [5, 6, 7], FEW)
    assert np.array_equal(
        sample_images(shared_tiny_cldm, [HINT[[2, 1]]], [PROMPTS[2], PROMPTS[1]], [7, 6], FEW),
        batch[[2, 1]],
    )


def test_jointly_drawn_pictures_share_each_pass(shared_tiny_cldm, monkeypatch):
    """They are those that are drawn one by one, but for a grey level."""
    alone = sample_images(shared_tiny_cldm, [HINT], PROMPTS, [5, 6, 7], FEW)
    passes, apply_model = [], shared_tiny_cldm.apply_model

    def record(x, t, cond, **keywords):
        passes.append(len(cond["c_crossattn"][0]))
        return apply_model(x, t, cond, **keywords)

    monkeypatch.setattr(shared_tiny_cldm, "apply_model", record)
    joint = dataclasses.replace(FEW, joint=True)
    pictures = sample_images(shared_tiny_cldm, [HINT], PROMPTS, [5, 6, 7], joint)
    assert passes == [6, 6]  # two steps, with and without the prompt
    assert np.abs(pictures.astype(int) - alone).max() <= 1


def test_guidance_in_an_interval_of_noise_levels(shared_tiny_cldm, monkeypatch):
    """Outside it the prompt alone is evaluated; an interval of all levels changes nothing."""
    options = SamplingOptions("unipc", 8, scale=3.0, guidance_interval=(0.3, 5.0))
    sizes, apply_model = {}, shared_tiny_cldm.apply_model

    def record(x, t, cond, **keywords):
        sizes[int(t[0])] = len(cond["c_crossattn"][0])
        return apply_model(x, t, cond, **keywords)

    def latents(**changes):
        changed = dataclasses.replace(options, **changes)
        return sample_latents(shared_tiny_cldm, [HINT[:1]], PROMPTS[:1], [5], changed)

    monkeypatch.setattr(shared_tiny_cldm, "apply_model", record)
    inside = latents()
    abar = shared_tiny_cldm.alphas_cumprod
    sigmas = {t: float(((1 - abar[t]) / abar[t]).sqrt()) for t in sizes}
    assert sizes == {t: 2 if 0.3 < sigma <= 5 else 1 for t, sigma in sigmas.items()}
    assert list(sizes.values()).count(2) == 4  # of 8, even in the logarithm of sigma
    everywhere = latents(guidance_interval=None)
    assert torch.equal(latents(guidance_interval=(0.0, 20.0)), everywhere)
    assert torch.equal(latents(guidance_interval=(20.0, 30.0)), latents(scale=1.0))
    assert not torch.allclose(inside, everywhere, atol=1e-3)


def test_an_empty_interval_of_guidance():
    with pytest.raises(OptionError, match="guidance_interval: 5 0.3, expected LOW below HIGH"):
        SamplingOptions(guidance_interval=[5.0, 0.3]).check()


def test_the_models_own_scales_are_not_touched(tiny_cldm):
    """The strength of the options decides, and a later call finds the scales as they were."""
    expected = sample_latents(tiny_cldm, [HINT[:1]], PROMPTS[:1], [5], FEW)
    tiny_cldm.control_scales = [0.5] * 13
    result = sample_latents(tiny_cldm, [HINT[:1]], PROMPTS[:1], [5], FEW)
    assert torch.equal(result, expected) and tiny_cldm.control_scales == [0.5] * 13


def test_strength_0_ignores_the_hint(shared_tiny_cldm):
    def sample(hint, strength):
        return sample_latents(
            shared_tiny_cldm, [hint], ["a cell"], [5], SamplingOptions(steps=2, strength=strength)
        )

    assert torch.equal(sample(HINT[:1], 0.0), sample(HINT[1:2], 0.0))
    assert not torch.allclose(sample(HINT[:1], 1.0), sample(HINT[1:2], 1.0), atol=1e-2)


def test_control_scales_reach_the_model_as_an_argument(shared_tiny_cldm, monkeypatch):
    seen = []
    apply_model = shared_tiny_cldm.apply_model

    def record(x, t, cond, control_scales=None):
        seen.append(control_scales)
        return apply_model(x, t, cond, control_scales)

    monkeypatch.setattr(shared_tiny_cldm, "apply_model", record)
    options = SamplingOptions(steps=1, strength=0.5)
    sample_latents(shared_tiny_cldm, [HINT[:1]], PROMPTS[:1], [5], options)
    assert seen == [[0.5] * 13]


@pytest.mark.parametrize(("sampler", "most"), [("ddim", 1000), ("dpmpp", 999)])
def test_the_sampler_says_how_many_steps_there_can_be(sampler, most):
    SamplingOptions(sampler, most).check()
    for steps in (0, most + 1):
        with pytest.raises(OptionError, match=f"steps: expected 1 to {most} for .* {sampler}"):
            SamplingOptions(sampler, steps).check()


def test_options_under_other_names():
    """As scripts use them: some fields alone, named anew, with defaults of their own."""
    flags = {"steps": "fid_ddim_steps", "scale": "fid_scale"}
    parser = new_parser("Draw.")
    add_options(parser, PREVIEW, "sampling", flags=flags)
    options = read_options(PREVIEW, parser.parse_args(["--fid_scale", "4"]), flags)
    assert options == dataclasses.replace(PREVIEW, scale=4.0) and options.steps == 50
    with pytest.raises(ValueError, match="--fid_ddim_steps: expected 1 to 1000"):
        read_options(PREVIEW, parser.parse_args(["--fid_ddim_steps", "1001"]), flags)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_no_grey_level_become_no_pixels(value):
    values = torch.zeros(3, 3, 2, 2)
    values[1, 0, 0, 1] = value
    with pytest.raises(NotFiniteError) as error:
        to_pixels(values)
    assert error.value.index == 1


def test_to_pixels_rounds_and_clips():
    values = torch.tensor([-3.0, -1.0, 0.0, 0.996, 1.0, 2.0]).view(1, 1, 1, 6).expand(1, 3, 1, 6)
    assert to_pixels(values)[0, 0, :, 0].tolist() == [
        0,
        0,
        128,
        254,
        255,
        255,
    ]  # 127.5 rounds to even


def test_blends_are_the_noise_to_begin_with(shared_tiny_cldm):
    """At angle 0 a blend is the noise of its first seed, whatever the picture's own seed."""
    options = SamplingOptions(sampler="dpmpp", steps=2, scale=1.0)
    blends = [Blend(seed, 99, 0.0) for seed in (5, 6, 7)]
    inputs = [HINT], PROMPTS
    expected = sample_images(shared_tiny_cldm, *inputs, [5, 6, 7], options)
    found = sample_images(shared_tiny_cldm, *inputs, [1, 2, 3], options, blends=blends)
    assert (found == expected).all()
    assert (found != sample_images(shared_tiny_cldm, *inputs, [1, 2, 3], options)).any()


def test_pictures_are_decoded_together_as_far_as_memory_reaches(monkeypatch):
    """On a card of 16 GiB: four of 512 pixels, one of 2,048; on a CPU always one."""
    taken = []

    def decoded(z):
        taken.append(len(z))
        return z.repeat(1, 1, 8, 8)[:, :3]

    model = SimpleNamespace(
        decode_first_stage=decoded, first_stage_model=SimpleNamespace(downsampling=8)
    )
    card = SimpleNamespace(total_memory=16 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    pixels = {"bf16": 4 * 2**30 // 3600, "32": 4 * 2**30 // 7200}
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda device: torch.bfloat16)
    for precision, expected in pixels.items():
        monkeypatch.setattr(torch, "is_autocast_enabled", lambda device, p=precision: p == "bf16")
        assert sampling.pixels_at_once(torch.device("cuda")) == expected
    at_once = {"cpu": sampling.pixels_at_once(torch.device("cpu")), "meta": pixels["bf16"]}
    monkeypatch.setattr(sampling, "pixels_at_once", lambda device: at_once[device.type])
    with torch.device("meta"):  # stands for a GPU
        small, large = torch.empty(6, 4, 64, 64), torch.empty(2, 4, 256, 256)
    for z, parts in ((small, [4, 2]), (large, [1, 1]), (torch.zeros(2, 4, 8, 8), [1, 1])):
        taken.clear()
        assert decode(model, z).shape == (len(z), 3, *(8 * s for s in z.shape[2:]))
        assert taken == parts
