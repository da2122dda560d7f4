"""The first values of tensors, by which the weights of a frozen part are known again.

A checksum would not do: a copy in float16 or bfloat16 is rounded, and holds the same weights.
Training changes all tensors of a part, so a few values of each tell it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

NUMBER = 4  # of each tensor; few are read from a mapped file
# Difference of two copies of a value: bfloat16 has 8 binary digits, and float16 ends at 2**-24.
RELATIVE, ABSOLUTE = 2**-8, 2**-20


def first_values(tensors: Mapping[str, torch.Tensor]) -> np.ndarray:
    """Up to `NUMBER` values of each tensor, float32 (N,), by the order of the names."""
    parts = [tensors[name].detach().flatten()[:NUMBER].float().cpu() for name in sorted(tensors)]
    return torch.cat(parts).numpy() if parts else np.zeros(0, np.float32)


def are_same_weights(values: Sequence[float], others: Sequence[float]) -> bool:
    """Tell whether two results of `first_values` are of the same weights, rounded or not."""
    return len(values) == len(others) and np.allclose(values, others, RELATIVE, ABSOLUTE)
