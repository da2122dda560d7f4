"""Losses under their published names, and the optimizer."""

import pytest
import torch

from ldm.util import instantiate_from_config


def test_mean_loss_under_its_published_names(published_cldm, monkeypatch):
    monkeypatch.setattr(published_cldm, "sample_losses", lambda *_: torch.tensor([0.25, 4.0]))
    x_start, t = torch.zeros(2, 4, 8, 8), torch.tensor([3, 900])
    loss, log = published_cldm.p_losses(x_start, {}, t)
    assert loss.item() == 4.25 / 2
    assert log == {"val/loss_simple": loss, "val/loss": loss}
    assert set(published_cldm.train().p_losses(x_start, {}, t)[1]) == {
        "train/loss_simple",
        "train/loss",
    }


# Training


@pytest.mark.parametrize("trainable", [None, False, True])
def test_optimizer_holds_the_unet_and_where_asked_the_text_encoder(config, trainable):
    if trainable is not None:
        config["params"]["cond_stage_trainable"] = trainable
    model = instantiate_from_config(config)
    optimizer = model.configure_optimizers()
    trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for name, parameter in model.named_parameters():
        frozen = ("first_stage_model.", *(() if trainable else ("cond_stage_model.",)))
        expected = not name.startswith(frozen)
        assert (id(parameter) in trained) == parameter.requires_grad == expected, name
    assert optimizer.param_groups[0]["lr"] == model.learning_rate == 1e-5
