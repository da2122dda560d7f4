"""Guidance by hand."""

import pytest
import torch

from cldm.guidance import guided_eps, join_conditions
from generation.costs import give_branches
from ldm.modules.diffusionmodules.util import rows_for
from tests.analytic import GaussianModel

X = torch.randn(3, 4, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
COND, UNCOND = (
    {"c_crossattn": [torch.tensor(shift, dtype=torch.float64)]}
    for shift in ([1.0, 2.0, 3.0], [0.0, -1.0, 0.5])
)


class Recorder:
    """Predicts the mean of text and hint, and remembers what it was asked."""

    parameterization = "eps"
    alphas_cumprod = torch.tensor([0.9, 0.5])

    def __init__(self):
        self.calls = []

    def apply_model(self, x, t, cond):
        self.calls.append((x, t, cond))
        output = cond["c_crossattn"][0].view(-1, 1, 1, 1)
        if cond["c_concat"] is None:
            return output
        return output + rows_for(cond["c_concat"][0].mean(dim=(1, 2, 3), keepdim=True), output)


@pytest.mark.parametrize("parameterization", ["eps", "v"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 9.0])
def test_guidance_extrapolates_the_noise(scale, parameterization):
    model, eps = GaussianModel(parameterization=parameterization), GaussianModel()
    t = torch.full((3,), 700)
    u, c = eps.apply_model(X, t, UNCOND), eps.apply_model(X, t, COND)
    torch.testing.assert_close(guided_eps(model, X, 700, COND, UNCOND, scale), u + scale * (c - u))


def test_one_pass_for_both_and_one_without_guidance():
    for arguments, passes in (((COND, UNCOND, 9.0), 1), ((COND, UNCOND, 1.0), 1), ((COND,), 1)):
        model = GaussianModel()
        guided_eps(model, X, 700, *arguments)
        assert len(model.asked) == passes
    assert torch.equal(
        guided_eps(GaussianModel(), X, 700, COND, None, 9.0),
        guided_eps(GaussianModel(), X, 700, COND, UNCOND, 1.0),
    )


def test_hint_in_both_passes_or_in_the_conditional_one_alone():
    text, empty, hint = (
        torch.tensor([1.0, 2.0]),
        torch.tensor([0.5, 0.5]),
        torch.stack([torch.full((3, 2, 2), 4.0), torch.zeros(3, 2, 2)]),
    )
    x, cond = torch.zeros(2, 4, 1, 1), {"c_crossattn": [text], "c_concat": [hint]}
    model = Recorder()
    both = guided_eps(model, x, 1, cond, {"c_crossattn": [empty], "c_concat": [hint]}, 3.0)
    assert both.flatten().tolist() == [4.5 + 3 * 0.5, 0.5 + 3 * 1.5] and len(model.calls) == 1
    encoded = {
        **cond,
        "guided_hint": [torch.ones(2)],
    }  # by one side alone: both passes encode it again
    assert torch.equal(
        guided_eps(model, x, 1, encoded, {"c_crossattn": [empty], "c_concat": [hint]}, 3.0), both
    )
    guess = guided_eps(model, x, 1, cond, {"c_crossattn": [empty], "c_concat": None}, 3.0)
    assert guess.flatten().tolist() == [0.5 + 3 * 4.5, 0.5 + 3 * 1.5]
    none = guided_eps(
        model, x, 1, {**cond, "c_concat": None}, {"c_crossattn": [empty], "c_concat": None}, 3.0
    )
    assert none.flatten().tolist() == [0.5 + 3 * 0.5, 0.5 + 3 * 1.5]
    assert all(t.tolist() == [1] and t.dtype == torch.int64 for _, t, _ in model.calls)


def test_latents_are_doubled_where_more_than_the_text_differs():
    x, hint, cond = (
        torch.zeros(2, 4, 1, 1),
        torch.ones(2, 3, 2, 2),
        {"c_crossattn": [torch.ones(2)]},
    )
    other = {"c_crossattn": [torch.zeros(2)], "c_concat": [hint.clone()]}
    model, shown = Recorder(), []
    for uncond in ({**other, "c_concat": [hint]}, other):
        guided_eps(model, x, 1, {**cond, "c_concat": [hint]}, uncond, 3.0)
        rows, _, both = model.calls[-1]
        shown.append((len(rows), len(both["c_crossattn"][0]), len(both["c_concat"][0])))
    assert shown == [(2, 4, 2), (4, 4, 4)]


@pytest.mark.parametrize("branches", [1, 2])
def test_what_comes_before_the_text_is_computed_once(tiny_cldm, branches):
    """Both predictions are those of passes of their own."""
    model, noise = tiny_cldm, torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=noise)

    give_branches(model, branches)
    x, t, hints = draw(2, 4, 8, 8), torch.tensor([700]), [draw(2, 3, 64, 64).sigmoid()] * branches
    texts = [model.get_learned_conditioning(words) for words in (["a"] * 2, ["b", "cells"])]
    rows = []
    model.model.diffusion_model.input_blocks[0].register_forward_hook(
        lambda block, words, output: rows.append(len(output))
    )
    with torch.no_grad():
        conds = [{"c_crossattn": [text], "c_concat": hints} for text in texts]
        u, c = (model.apply_model(x, t.repeat(2), cond) for cond in conds)
        for scale in (0.0, 2.0):
            found = guided_eps(model, x, 700, conds[1], conds[0], scale)
            torch.testing.assert_close(found, u + scale * (c - u), atol=1e-5, rtol=1e-5)
    assert rows == [2] * 4
    assert (u - c).abs().max() > 1e-3


def test_join_conditions():
    joined = join_conditions(
        {"a": [torch.zeros(1, 2)], "b": [torch.zeros(1)]},
        {"a": [torch.ones(1, 2)], "b": [torch.ones(1)]},
    )
    assert joined["a"][0].tolist() == [[0, 0], [1, 1]] and joined["b"][0].tolist() == [0, 1]


def test_further_options_reach_the_model():
    class Model(Recorder):
        def apply_model(self, x, t, cond, offset):
            return super().apply_model(x, t, cond) + offset

    hint, x = torch.zeros(1, 3, 2, 2), torch.zeros(1, 4, 1, 1)
    cond = {"c_crossattn": [torch.ones(1)], "c_concat": [hint]}
    for uncond in (None, cond, {**cond, "c_concat": None}):
        assert guided_eps(Model(), x, 1, cond, uncond, 3.0, offset=10.0).item() == 11.0
