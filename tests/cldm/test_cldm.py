"""The published class: the plain model beside what a Trainer and notebooks ask of it."""

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from cldm import cldm


@torch.no_grad()
def test_names_order_and_predictions_are_those_of_the_plain_model(
    published_cldm, shared_tiny_cldm, golden
):
    assert isinstance(published_cldm, pl.LightningModule)
    assert not isinstance(shared_tiny_cldm, pl.LightningModule)
    state, plain = published_cldm.state_dict(), shared_tiny_cldm.state_dict()
    assert list(state) == list(plain)
    cond = {"c_crossattn": [golden["context"]], "c_concat": [golden["hint"]]}
    expected = shared_tiny_cldm.apply_model(golden["x"], golden["t"], cond)
    assert torch.equal(published_cldm.apply_model(golden["x"], golden["t"], cond), expected)
    assert cldm.ControlNet is type(shared_tiny_cldm.control_model)
    assert cldm.ControlledUnetModel is type(shared_tiny_cldm.model.diffusion_model)


def test_published_batches_train_with_a_plain_trainer(published_cldm):
    """Any data set of `jpg`, `txt` and `hint` and nothing but Lightning's Trainer."""
    sample = {"jpg": torch.rand(64, 64, 3) * 2 - 1, "hint": torch.rand(64, 64, 3), "txt": "a cell"}
    before = published_cldm.control_model.middle_block_out[0].weight.clone()
    trainer = pl.Trainer(max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False)
    loader = DataLoader([sample, sample], batch_size=2)
    published_cldm.learning_rate = 1e-3
    trainer.fit(published_cldm, loader, loader)
    assert not torch.equal(published_cldm.control_model.middle_block_out[0].weight, before)
    assert trainer.callback_metrics["train/loss_epoch"].isfinite()


def test_batch_becomes_latents_and_conditions(published_cldm):
    batch = {"jpg": torch.rand(2, 64, 128, 3), "hint": torch.rand(2, 64, 128, 3)}
    x_start, cond = published_cldm.get_input(batch | {"txt": ["a cell", ""]})
    assert x_start.shape == (2, 4, 8, 16)
    assert torch.equal(cond["c_concat"][0], batch["hint"].permute(0, 3, 1, 2))
    assert cond["c_crossattn"][0].shape == (2, 77, 32)
