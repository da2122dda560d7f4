"""Checkpoints of a training."""

import torch
from torch import nn

from training.callbacks.checkpoints import ALIGNMENT, align_weights


def test_weights_move_to_where_torch_puts_new_ones():
    """As after a file whose header ends at any byte; aligned weights stay where they are."""
    memory = torch.arange(80.0)
    model = nn.Linear(4, 4, bias=False)
    model.weight = nn.Parameter(memory[4:20].view(4, 4))
    model.register_buffer("scale", memory[32:36])
    align_weights(model)
    assert model.weight.data_ptr() % ALIGNMENT == 0 and torch.equal(
        model.weight.data.flatten(), memory[4:20]
    )
    assert model.weight.requires_grad and model.scale.data_ptr() == memory[32:].data_ptr()
