"""Copies of weights that are rounded, and weights that are trained on."""

import torch

from cldm.first_values import NUMBER, are_same_weights, first_values


def weights():
    generator = torch.Generator().manual_seed(0)
    sizes = {"encoder.conv_in": 100, "decoder.conv_out": 100, "post_quant_conv": 1, "norm": 16}
    tensors = {name: torch.randn(size, generator=generator) for name, size in sizes.items()}
    return tensors | {"tiny": torch.tensor([1e-8, 3e-5]), "zero": torch.zeros(4)}


def test_rounded_copies_hold_the_same_weights():
    tensors = weights()
    values = first_values(tensors)
    assert len(values) == 4 * NUMBER + 1 + 2
    for dtype in (torch.float16, torch.bfloat16):
        rounded = {name: tensor.to(dtype) for name, tensor in reversed(tensors.items())}
        assert are_same_weights(values, first_values(rounded))


def test_a_trained_tensor_or_another_architecture_holds_others():
    values = first_values(weights())
    trained = weights()
    trained["decoder.conv_out"] *= 1.01
    assert not are_same_weights(values, first_values(trained))
    assert not are_same_weights(values, first_values({**weights(), "further": torch.ones(2)}))
