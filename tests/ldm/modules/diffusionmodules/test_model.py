"""Parts of the autoencoder; golden numbers are in tests/cldm/test_cldm.py."""

import math

import torch

from ldm.modules.diffusionmodules.model import AttnBlock, Decoder, Downsample, Encoder
from tests.weights import fill_parameters

SIZES = {"ch": 32, "ch_mult": [1, 2, 2], "num_res_blocks": 1, "z_channels": 4}


@torch.no_grad()
def test_attention_by_hand():
    block = fill_parameters(AttnBlock(32))
    x = torch.randn(2, 32, 3, 5)
    y = block.norm(x)
    q, k, v = (conv(y).flatten(2) for conv in (block.q, block.k, block.v))  # (2, 32, 15)
    weights = (q.mT @ k / math.sqrt(32)).softmax(dim=-1)
    expected = x + block.proj_out((v @ weights.mT).view_as(x))
    torch.testing.assert_close(block(x), expected)


@torch.no_grad()
def test_downsampling_pads_right_and_below_only():
    layer = Downsample(1)
    layer.conv.weight.zero_()
    layer.conv.bias.zero_()
    layer.conv.weight[0, 0, 0, 0] = 1  # reads the upper left pixel of each window
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert torch.equal(layer(x), x[:, :, ::2, ::2])


@torch.no_grad()
def test_sizes():
    encoder, decoder = Encoder(3, **SIZES), Decoder(3, **SIZES)
    assert encoder(torch.zeros(2, 3, 16, 24)).shape == (2, 8, 4, 6)
    assert decoder(torch.zeros(2, 4, 4, 6)).shape == (2, 3, 16, 24)
    assert [len(level.block) for level in decoder.up] == [2, 2, 2]  # one more than the encoder has
    assert not hasattr(decoder.up[0], "upsample") and not hasattr(encoder.down[-1], "downsample")
