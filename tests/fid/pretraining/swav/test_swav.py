"""SwAV: its loss, its crops, prototypes and queue, its optimizer."""

from types import SimpleNamespace

import pytest
import torch

from fid.pretraining.settings import read_settings
from fid.pretraining.swav.settings import CONFIG, SwavSettings
from fid.pretraining.swav.swav import SwAV, copy_name


@pytest.fixture
def model():
    changes = [
        "nmb_prototypes=6",
        "size_crops=[32, 24]",
        "nmb_crops=[2, 1]",
        "epoch_queue_starts=0",
    ]
    changes += ["min_scale_crops=[0.1, 0.1]", "max_scale_crops=[1, 1]"]
    model = SwAV(read_settings(SwavSettings, CONFIG, changes), queue_length=4).train()
    model._trainer = SimpleNamespace(current_epoch=0, global_step=0)
    model.log = lambda *args, **kwargs: None
    return model


def crops(batch=2):
    return [torch.randn(batch, 1, side, side) for side in (32, 32, 24)]


def test_crops_of_one_size_share_a_pass(model):
    sizes = []
    model.backbone.register_forward_hook(
        lambda module, args, output: sizes.append(tuple(args[0].shape))
    )
    embeddings = model.embed(crops())
    assert sizes == [(4, 1, 32, 32), (2, 1, 24, 24)]
    assert len(embeddings) == 3
    for embedding in embeddings:
        torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))


def test_the_heads_batch_norm_sees_all_crops_at_once(model):
    """As published: features of all sizes are joined before the projection head."""
    model.embed(crops())
    assert model.backbone.bn1.num_batches_tracked == 2  # one pass for each size
    assert model.projection_head[1].num_batches_tracked == 1


def test_prototypes_are_unit_vectors_and_frozen_at_first(model):
    model.settings.freeze_prototypes_niters = 1
    model.training_step(crops(), 0).backward()
    torch.testing.assert_close(model.prototypes.weight.norm(dim=1), torch.ones(6))
    model.on_after_backward()
    assert (
        model.prototypes.weight.grad is None
        and model.projection_head[0].weight.grad.abs().sum() > 0
    )
    model._trainer.global_step = 1
    model.training_step(crops(), 1).backward()
    model.on_after_backward()
    assert model.prototypes.weight.grad is not None


def test_queue_counts_once_it_is_full(model):
    batches = [
        [torch.full((2, 128), float(10 * step + side)) for side in range(2)] for step in range(1, 4)
    ]
    assert model.earlier_scores(batches[0]) is None
    assert model.earlier_scores(batches[1]) is None
    assert model.queue[:, :, 0].tolist() == [[20, 20, 10, 10], [21, 21, 11, 11]]
    scores = model.earlier_scores(batches[2])
    assert [score.shape for score in scores] == [(4, 6)] * 2
    torch.testing.assert_close(scores[1][0], model.prototypes(torch.full((128,), 21.0)))
    model.settings.epoch_queue_starts = 1
    assert model.earlier_scores(batches[0]) is None and model.queue[0, 0, 0] == 30


def test_every_process_goes_on_with_its_own_queue(model):
    queues = torch.stack([torch.full_like(model.queue, float(rank)) for rank in range(2)])
    model.all_gather = lambda queue: queues
    model._trainer = SimpleNamespace(world_size=2, global_rank=1)
    checkpoint = {"state_dict": model.state_dict()}
    model.on_save_checkpoint(checkpoint)
    model.on_load_checkpoint(checkpoint)
    model.load_state_dict(checkpoint["state_dict"])
    assert torch.equal(model.queue, queues[1])
    model._trainer = SimpleNamespace(world_size=1, global_rank=0)
    with pytest.raises(ValueError, match=r"queues of 2 process\(es\), this run has 1"):
        model.on_load_checkpoint(checkpoint)


def test_loss_by_hand(model):
    """Targets from three Sinkhorn rounds of each assigned crop; mean cross-entropy of others."""
    model.eval()
    model.queue = model.queue[:, :0]
    batch = crops(4)
    loss = model.training_step(batch, 0)
    with torch.no_grad():
        scores = [model.prototypes(embedding) for embedding in model.embed(batch)]
        total = 0
        for assigned in range(2):
            q = (scores[assigned] / 0.05).exp().T
            q /= q.sum()
            for _ in range(3):
                q /= q.sum(1, keepdim=True) * 6
                q /= q.sum(0, keepdim=True) * 4
            targets = (q * 4).T
            for i in range(3):
                if i != assigned:
                    total -= (
                        (targets * torch.log_softmax(scores[i] / 0.1, dim=1)).sum(1).mean() / 2 / 2
                    )
    torch.testing.assert_close(loss.detach(), total, rtol=1e-4, atol=1e-5)


def test_update_is_that_of_larc(model):
    """Step along (g + wd p) * trust |p| / (|g| + wd |p| + eps), with momentum."""
    model._trainer = SimpleNamespace(estimated_stepping_batches=10)
    (optimizer,), _ = model.configure_optimizers()
    weight = model.projection_head[3].weight
    before, gradient = weight.detach().clone(), torch.randn_like(weight)
    weight.grad = gradient.clone()
    optimizer.step()
    scale = 0.001 * before.norm() / (gradient.norm() + 1e-6 * before.norm() + 1e-8)
    torch.testing.assert_close(weight.detach(), before - 0.6 * scale * (gradient + 1e-6 * before))


def test_learning_rate_falls_along_a_cosine(model):
    model._trainer = SimpleNamespace(estimated_stepping_batches=11)
    (optimizer,), (schedule,) = model.configure_optimizers()
    rates = []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule["scheduler"].step()
    assert (
        rates[0] == pytest.approx(0.6)
        and rates[5] == pytest.approx((0.6 + 0.0006) / 2)
        and rates[-1] == pytest.approx(0.0006)
    )


def test_kept_copies():
    assert [copy_name(25, 30)(epoch) for epoch in (0, 1, 25, 29)] == [
        "ckp-0.pth",
        None,
        "ckp-25.pth",
        "ckp-29.pth",
    ]
