"""Inception v3 by its standards: the published networks, and what they are shown."""

import pytest
import torch
from einops import rearrange
from pytorch_fid import inception as published_inception
from torchvision.models import inception_v3

from fid.backbones.inception_network import tensorflow_inception
from fid.backbones.loading import load_backbone
from fid.backbones.options import BackboneOptions
from tests.weights import fill_parameters


def load(name, path):
    return load_backbone(BackboneOptions(name, path, device="cpu"))


def test_tensorflow_inception_is_the_published_one(monkeypatch, tmp_path):
    """Same names, and the same features for the same weights, to rounding."""
    network = fill_parameters(tensorflow_inception()).eval()
    path = tmp_path / "inception.pth"
    torch.save(network.state_dict(), path)
    monkeypatch.setattr(
        published_inception,
        "load_state_dict_from_url",
        lambda *args, **kwargs: network.state_dict(),
    )
    theirs = published_inception.InceptionV3().eval()
    pixels = torch.randint(
        0, 256, (2, 120, 90, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    with torch.no_grad():
        expected = theirs(rearrange(pixels, "n h w c -> n c h w") / 255)[0].flatten(1)
    backbone = load("pytorch-fid", path)
    ours = torch.from_numpy(
        backbone.features(torch.stack([backbone.preprocessing(image.numpy()) for image in pixels]))
    )
    assert expected.std() > 1e-3
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


def test_old_files_without_counters_load(tmp_path):
    """torchvision's file comes from a torch that did not count the batches of batch norms."""
    published = {
        name: value
        for name, value in inception_v3(init_weights=False).state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert "AuxLogits.fc.weight" in published
    torch.save(published, tmp_path / "inception.pth")
    network = load("torchvision", tmp_path / "inception.pth").network
    stem = "Conv2d_1a_3x3.conv.weight"
    assert torch.equal(network.state_dict()[stem], published[stem])


def test_standards_of_inception(tmp_path):
    path = tmp_path / "inception.pth"
    torch.save(tensorflow_inception().state_dict(), path)
    clean = load("clean-fid", path).preprocessing
    assert clean.resize == "pillow-bicubic" and not clean.grey and clean.size == 299
    x = clean.__class__(2, "pillow-bicubic", False, clean.mean, clean.std)(
        torch.tensor([0, 64, 128, 255]).repeat_interleave(3).reshape(2, 2, 3).byte().numpy()
    )
    torch.testing.assert_close(
        x[0].flatten(), torch.tensor([-1.0, -0.5, 0.0, 127 / 128])
    )  # (pixel - 128) / 128
    with pytest.raises(RuntimeError, match="does not fit ResNet"):
        load("cem500k", path)
