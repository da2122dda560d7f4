"""The model trained with nothing but Lightning's Trainer, on a data set of the user's own."""

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader


def test_published_batches_train_with_a_plain_trainer(tiny_cldm):
    """Any data set of `jpg`, `txt` and `hint` and nothing but Lightning's Trainer."""
    sample = {"jpg": torch.rand(64, 64, 3) * 2 - 1, "hint": torch.rand(64, 64, 3), "txt": "a cell"}
    before = tiny_cldm.control_model.middle_block_out[0].weight.clone()
    trainer = pl.Trainer(max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False)
    loader = DataLoader([sample, sample], batch_size=2)
    tiny_cldm.learning_rate = 1e-3
    trainer.fit(tiny_cldm, loader, loader)
    assert not torch.equal(tiny_cldm.control_model.middle_block_out[0].weight, before)
    assert trainer.callback_metrics["train/loss_epoch"].isfinite()


def test_batch_becomes_latents_and_conditions(shared_tiny_cldm):
    batch = {"jpg": torch.rand(2, 64, 128, 3), "hint": torch.rand(2, 64, 128, 3)}
    x_start, cond = shared_tiny_cldm.get_input(batch | {"txt": ["a cell", ""]})
    assert x_start.shape == (2, 4, 8, 16)
    assert torch.equal(cond["c_concat"][0], batch["hint"].permute(0, 3, 1, 2))
    assert cond["c_crossattn"][0].shape == (2, 77, 32)
