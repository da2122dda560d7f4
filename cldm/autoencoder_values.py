"""An autoencoder, told by a few of its weights.

It stays frozen while a U-Net or a control branch is trained. A checksum would not do: a copy of
the weights in float16 or bfloat16 is rounded, and keeps the autoencoder.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

VALUES = 2  # of each tensor: a training of the autoencoder changes all tensors of its decoder
RELATIVE, ABSOLUTE = 2**-8, 1e-7  # above the errors of rounding to bfloat16, and to float16 near 0


def autoencoder_values(tensors: Mapping[str, torch.Tensor]) -> list[float]:
    """The first values of each tensor of an autoencoder, in the order of the names."""
    firsts = (tensors[name].detach().flatten()[:VALUES].float() for name in sorted(tensors))
    return [value for first in firsts for value in first.tolist()]


def same_autoencoder(values: Sequence[float], others: Sequence[float]) -> bool:
    """Tell whether two lists of `autoencoder_values` are of one autoencoder, rounded or not."""
    return len(values) == len(others) and np.allclose(values, others, RELATIVE, ABSOLUTE)
