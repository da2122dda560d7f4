"""Autoencoders that are rounded, and those that are trained on."""

import torch

from cldm.autoencoder_values import autoencoder_values, same_autoencoder


def weights():
    generator = torch.Generator().manual_seed(0)
    sizes = {"encoder.conv_in": 100, "decoder.conv_out": 100, "post_quant_conv": 1, "norm": 16}
    tensors = {name: torch.randn(size, generator=generator) for name, size in sizes.items()}
    return tensors | {"tiny": torch.tensor([1e-8, 3e-5]), "zero": torch.zeros(4)}


def test_rounded_copies_are_the_same_autoencoder():
    tensors = weights()
    values = autoencoder_values(tensors)
    assert len(values) == 11
    for dtype in (torch.float16, torch.bfloat16):
        rounded = {name: tensor.to(dtype) for name, tensor in reversed(tensors.items())}
        assert same_autoencoder(values, autoencoder_values(rounded))


def test_a_trained_tensor_or_another_architecture_is_another():
    values = autoencoder_values(weights())
    trained = weights()
    trained["decoder.conv_out"] *= 1.01
    assert not same_autoencoder(values, autoencoder_values(trained))
    assert not same_autoencoder(values, autoencoder_values({**weights(), "further": torch.ones(2)}))
