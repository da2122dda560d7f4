"""The autoencoder's interface; golden numbers are in tests/cldm/test_cldm.py."""

import pytest
import torch

from ldm.models.autoencoder import AutoencoderKL
from tests.weights import fill_parameters

SIZES = {
    "double_z": True,
    "z_channels": 4,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 32,
    "ch_mult": [1, 2],
    "num_res_blocks": 1,
}


def test_refuses_what_no_stable_diffusion_autoencoder_has():
    with pytest.raises(ValueError, match="attn_resolutions"):
        AutoencoderKL({**SIZES, "attn_resolutions": [16]}, embed_dim=4)
    with pytest.raises(ValueError, match="double_z"):
        AutoencoderKL({**SIZES, "double_z": False}, embed_dim=4)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
@torch.no_grad()
def test_float16_does_not_overflow(part):
    autoencoder = fill_parameters(
        AutoencoderKL({**SIZES, "attn_resolutions": []}, embed_dim=3)
    ).eval()
    first, last = getattr(autoencoder, part).conv_in, getattr(autoencoder, part).conv_out
    first.weight.mul_(1e6)  # past 65504; the residual carries it to the last norm
    activations = []
    first.register_forward_hook(lambda *call: activations.append(call[2].abs().max()))
    inputs = torch.rand(1, 3, 8, 8) * 2 - 1

    def run():
        if part == "decoder":
            return autoencoder.decode(inputs)
        return autoencoder.encode(inputs).parameters

    expected = run()
    assert activations[0] > torch.finfo(torch.float16).max and last.weight.dtype == torch.float32
    with torch.autocast("cpu", torch.float16):
        assert torch.equal(run(), expected)
        inputs = inputs.half()  # as a network gives it under autocast
        assert run().isfinite().all()
    with torch.autocast("cpu", torch.bfloat16):
        assert activations.clear() is None and run().isfinite().all()
        assert activations[0].dtype == torch.bfloat16


@torch.no_grad()
def test_forward_is_encode_then_decode():
    autoencoder = fill_parameters(
        AutoencoderKL({**SIZES, "attn_resolutions": []}, embed_dim=3)
    ).eval()
    image, noise = torch.rand(2, 3, 16, 8) * 2 - 1, torch.randn(2, 3, 8, 4)
    reconstruction, posterior = autoencoder(image, noise)
    assert autoencoder.downsampling == 2 and posterior.mean.shape == (2, 3, 8, 4)
    assert torch.equal(reconstruction, autoencoder.decode(autoencoder.encode(image).sample(noise)))
