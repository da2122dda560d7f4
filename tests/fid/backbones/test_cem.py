"""CEM backbones: published checkpoints load strictly, and features are those of the network."""

import pytest
import torch
from torch import nn

from core.weights.checkpoints import save_weights
from fid.backbones.loading import load_backbone
from fid.backbones.options import BackboneOptions
from fid.backbones.resnet50 import grey_resnet50

MOCO, SWAV = "keys_cem500k_mocov2.json", "keys_cem15m_swav.json"


def load(name, path):
    return load_backbone(BackboneOptions(name, path, device="cpu"))


@pytest.fixture
def images():
    return torch.rand(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))


def test_moco_layout_gives_the_query_encoder(published_file):
    backbone = load("cem500k", published_file(MOCO, norms=[0.25, 0.5]))
    names = list(torch.load(published_file(MOCO), weights_only=True)["state_dict"])
    conv = backbone.network.layer1[0].conv1.weight
    assert conv.unique().item() == pytest.approx(
        1 / (names.index("module.encoder_q.layer1.0.conv1.weight") + 2)
    )
    assert (backbone.preprocessing.mean, backbone.preprocessing.std) == ((0.25,), (0.5,))
    assert not backbone.network.training


def test_swav_layout_gives_the_backbone(published_file):
    backbone = load("cem1.5m", published_file(SWAV))
    assert (backbone.preprocessing.mean, backbone.preprocessing.std) == (
        (0.575710,),
        (0.127650,),
    )  # no norms in the file
    assert backbone.preprocessing.size == 224 and backbone.preprocessing.grey


def test_features_are_the_pooled_ones_of_the_network(resnet, cem_weights, images):
    backbone = load("cem500k", cem_weights)
    features = backbone.features(images)
    assert features.shape == (3, backbone.width) and features.dtype == "float32"
    with torch.no_grad():
        expected = nn.Sequential(*list(resnet.children())[:-1])(images).flatten(1)
    torch.testing.assert_close(torch.from_numpy(features), expected, rtol=1e-4, atol=1e-5)
    assert (features.std(axis=0) > 0).mean() > 0.5


def test_the_stem_of_swav_is_the_same(images):
    """Padding by 1 before a stem that pads by 2 is padding by 3."""
    stem = grey_resnet50().conv1
    split = nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(1, 64, 7, stride=2, padding=2, bias=False))
    split[1].weight = stem.weight
    assert torch.equal(stem(images), split(images))


@pytest.mark.parametrize("prefix", ["module.encoder_q.", "encoder.", "module.", ""])
def test_other_layouts_and_safetensors(resnet, tmp_path, prefix):
    path = tmp_path / "weights.safetensors"
    save_weights({f"{prefix}{key}": value for key, value in resnet.state_dict().items()}, path)
    assert torch.equal(load("cem500k", path).network.conv1.weight, resnet.conv1.weight)


@pytest.mark.parametrize("norms", [[0.5], [0.5, 0.0], "grey", [0.5, float("nan")]])
def test_norms_that_make_no_sense(published_file, norms):
    with pytest.raises(ValueError, match="`norms` is"):
        load("cem500k", published_file(SWAV, norms=norms))
