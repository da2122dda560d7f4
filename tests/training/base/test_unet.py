"""A base without control branch, and what is saved of it."""

import torch

from training.base.unet import base_weights, build_base


def test_a_base_has_no_control_branch_and_saves_no_schedule(micro_yaml):
    model = build_base(micro_yaml)
    weights = base_weights(model)
    assert {key.split(".")[0] for key in weights} == {
        "model",
        "first_stage_model",
        "cond_stage_model",
    }
    assert {value.dtype for value in weights.values()} == {torch.float16}
    assert all(p.requires_grad for p in model.cond_stage_model.parameters())
