"""The text-reading transformer against the formulas of its papers."""

import math

import pytest
import torch

from ldm.modules.attention import (
    BasicTransformerBlock,
    CrossAttention,
    FeedForward,
    SpatialTransformer,
)
from ldm.modules.diffusionmodules.util import rows_for
from tests.weights import fill_parameters


@torch.no_grad()
def test_cross_attention_by_hand():
    attention = fill_parameters(CrossAttention(query_dim=6, context_dim=5, heads=2, dim_head=3))
    x, context = torch.randn(2, 4, 6), torch.randn(2, 7, 5)
    q, k, v = attention.to_q(x), attention.to_k(context), attention.to_v(context)
    heads = []
    for columns in (slice(0, 3), slice(3, 6)):
        weights = (q[..., columns] @ k[..., columns].mT / math.sqrt(3)).softmax(dim=-1)
        heads.append(weights @ v[..., columns])
    expected = attention.to_out[0](torch.cat(heads, dim=-1))
    torch.testing.assert_close(attention(x, context), expected)


@torch.no_grad()
def test_without_context_a_sequence_attends_to_itself():
    attention = fill_parameters(CrossAttention(query_dim=6, heads=2, dim_head=3))
    x = torch.randn(2, 4, 6)
    assert torch.equal(attention(x), attention(x, x))


@torch.no_grad()
def test_feed_forward_is_gated_by_its_second_half():
    layer = fill_parameters(FeedForward(4))
    x = torch.randn(3, 4)
    value, gate = layer.net[0].proj(x).split(16, dim=-1)
    exact_gelu = gate * 0.5 * (1 + torch.erf(gate / math.sqrt(2)))
    torch.testing.assert_close(layer(x), layer.net[2](value * exact_gelu))


@pytest.mark.parametrize("use_linear", [False, True])
@torch.no_grad()
def test_fresh_spatial_transformer_changes_nothing(use_linear):
    transformer = SpatialTransformer(32, heads=4, dim_head=8, context_dim=5, use_linear=use_linear)
    x, context = torch.randn(2, 32, 3, 5), torch.randn(2, 7, 5)
    assert torch.equal(transformer(x, context), x)
    assert not torch.equal(fill_parameters(transformer)(x, context), x)


@torch.no_grad()
def test_linear_and_convolutional_projections_are_the_same_map():
    convolutional = fill_parameters(
        SpatialTransformer(32, heads=4, dim_head=8, depth=2, context_dim=5)
    )
    linear = SpatialTransformer(32, heads=4, dim_head=8, depth=2, context_dim=5, use_linear=True)
    weights = convolutional.state_dict()
    weights = {
        name: value.flatten(1) if name.startswith("proj_") and name.endswith("weight") else value
        for name, value in weights.items()
    }
    linear.load_state_dict(weights)
    x, context = torch.randn(2, 32, 3, 5), torch.randn(2, 7, 5)
    torch.testing.assert_close(linear(x, context), convolutional(x, context))


def test_checkpointing_changes_no_gradient():
    gradients = []
    for use_checkpoint in (False, True):
        block = fill_parameters(
            BasicTransformerBlock(
                8, heads=2, dim_head=4, context_dim=5, use_checkpoint=use_checkpoint
            )
        ).train()
        x = torch.linspace(-1, 1, 2 * 6 * 8).view(2, 6, 8).requires_grad_()
        block(x, torch.ones(2, 3, 5)).square().sum().backward()
        gradients.append([x.grad, *(parameter.grad for parameter in block.parameters())])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(checkpointed, plain)


def test_several_texts_to_each_map_compile_into_one_graph():
    """Sizes of batches are unknown numbers from the second one on; one graph serves all of them."""
    torch.manual_seed(0)
    transformer = SpatialTransformer(32, 2, 16, context_dim=8).eval()
    for parameter in transformer.parameters():  # a fresh one is the identity
        torch.nn.init.normal_(parameter, std=0.1)
    compiled = torch.compile(transformer, backend="eager", fullgraph=True)
    for count, texts in ((1, 2), (2, 2), (3, 2), (4, 1)):
        x, text = torch.randn(count, 32, 8, 8), torch.randn(count * texts, 77, 8)
        with torch.no_grad():
            each = [transformer(x, part) for part in text.chunk(texts)]
            torch.testing.assert_close(compiled(x, text), torch.cat(each), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("texts", [1, 3])
def test_texts_that_do_not_fit_the_maps_are_refused(texts):
    with pytest.raises(ValueError, match=f"2 latents and {texts} texts: expected k texts for each"):
        rows_for(torch.zeros(2, 4), torch.zeros(texts, 4))
