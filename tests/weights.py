"""Weights that depend on a tensor's name alone, to compare implementations with equal names."""

import math
import zlib

import torch
from safetensors.torch import save_file


def named_value(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """Normal noise from a CPU generator seeded with the CRC-32 of `name`.

    Matrices and kernels are divided by the root of their fan-in. Vectors whose name ends in
    `weight`, the scales of norms, are 1 + noise / 10. Other vectors are noise / 50. The golden
    numbers were made by this rule.
    """
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    if len(shape) > 1:
        return noise / math.sqrt(math.prod(shape[1:]))
    return 1 + 0.1 * noise if name.endswith("weight") else 0.02 * noise


@torch.no_grad()
def fill_parameters(module: torch.nn.Module) -> torch.nn.Module:
    """Give every parameter of `module` the value of its name; returns `module`."""
    for name, parameter in module.named_parameters():
        parameter.copy_(named_value(name, tuple(parameter.shape)))
    return module


@torch.no_grad()
def fill_zero_layers(module: torch.nn.Module, std: float) -> torch.nn.Module:
    """Draw every all-zero parameter of `module` from N(0, std^2); returns `module`.

    A fresh network's zero layers would hide whatever stands before them.
    """
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        if not parameter.any():
            parameter.normal_(0, std, generator=generator)
    return module


def save(path, content):
    """Write `content` as other programs do, by torch or safetensors; returns `path`."""
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return path


def assert_same_tensors(actual, expected):
    """Check that two state dicts have equal names and, for each name, equal type and values."""
    assert set(actual) == set(expected)
    for name, value in expected.items():
        assert actual[name].dtype == value.dtype and torch.equal(actual[name], value), name
