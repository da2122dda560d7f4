"""MoCo v2: its loss, its queue, its key encoder."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from fid.pretraining.mocov2.moco import MoCo, copy_name
from fid.pretraining.mocov2.settings import CONFIG, MocoSettings
from fid.pretraining.settings import read_settings


@pytest.fixture
def model():
    changes = ["batch_size=2", "moco_k=8", "image_size=32", "moco_m=0.75"]
    settings = read_settings(MocoSettings, CONFIG, changes)
    model = MoCo(settings).train()
    model._trainer = SimpleNamespace(world_size=1)
    model.logged = {}
    model.log_dict = lambda metrics, **kwargs: model.logged.update(metrics)
    return model


@pytest.mark.parametrize("mixed", (False, True))
def test_loss_is_that_of_a_positive_among_the_queue(model, mixed):
    """In mixed precision, too, cosines are compared in float32."""
    views = [torch.randn(3, 1, 32, 32) for _ in range(2)]
    queue = model.queue.bank.clone()
    keys = []
    model.encoder_k.register_forward_hook(
        lambda module, args, output: keys.append(F.normalize(output.float()))
    )
    queries = []
    model.encoder_q.register_forward_hook(
        lambda module, args, output: queries.append(F.normalize(output.float()))
    )
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        loss = model.training_step(views, 0)
    key = keys[0]
    logits = torch.cat([(queries[0] * key).sum(1, keepdim=True), queries[0] @ queue.T], dim=1) / 0.2
    torch.testing.assert_close(loss, -F.log_softmax(logits, dim=1)[:, 0].mean())
    torch.testing.assert_close(
        model.queue.bank[:3], key
    )  # the batch is in the queue now, not before
    assert torch.equal(model.queue.bank[3:], queue[3:])
    assert model.logged["top1_prob"] == (logits.argmax(1) == 0).float().mean() * 100
    loss.backward()
    assert all(parameter.grad is None for parameter in model.encoder_k.parameters())


def test_residual_blocks_start_as_identities(model):
    """Or the network does not learn from few images."""
    norms = [module.bn3.weight for module in model.encoder_q.modules() if hasattr(module, "bn3")]
    assert len(norms) == 16 and not any(norm.any() for norm in norms)


def test_key_encoder_follows_by_momentum(model):
    with torch.no_grad():
        model.encoder_q.conv1.weight += 1
    before = model.encoder_k.conv1.weight.clone()
    model.keys(torch.randn(2, 1, 32, 32))
    torch.testing.assert_close(
        model.encoder_k.conv1.weight, 0.75 * before + 0.25 * model.encoder_q.conv1.weight
    )


def test_kept_copies():
    assert [copy_name(20)(epoch) for epoch in (0, 18, 19, 39)] == [
        None,
        None,
        "checkpoint_0020.pth.tar",
        "checkpoint_0040.pth.tar",
    ]
