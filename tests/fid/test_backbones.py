"""Backbones: published checkpoints load strictly, and features are those of the published networks."""

import pytest
import torch
from pytorch_fid import inception as published_inception
from torch import nn
from torchvision.models import resnet50

from core.checkpoints import save_weights
from fid.backbones import DIMENSIONS, grey_resnet50, load_cem, load_inception, tensorflow_inception
from tests.weights import fill_parameters

MOCO, SWAV = "keys_cem500k_mocov2.json", "keys_cem15m_swav.json"


@pytest.fixture
def images():
    return torch.rand(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))


def test_moco_layout_gives_the_query_encoder(published_file):
    backbone = load_cem("cem500k", weights_path=published_file(MOCO, norms=[0.25, 0.5]))
    names = list(torch.load(published_file(MOCO), weights_only=True)["state_dict"])
    conv = backbone.network.layer1[0].conv1.weight
    assert conv.unique().item() == pytest.approx(
        1 / (names.index("module.encoder_q.layer1.0.conv1.weight") + 2)
    )
    assert (backbone.preprocessing.mean, backbone.preprocessing.std) == ((0.25,), (0.5,))
    assert not backbone.network.training


def test_swav_layout_gives_the_backbone(published_file):
    backbone = load_cem("cem1.5m", weights_path=published_file(SWAV))
    assert (backbone.preprocessing.mean, backbone.preprocessing.std) == (
        (0.575710,),
        (0.127650,),
    )  # no norms in the file
    assert backbone.preprocessing.size == 224 and backbone.preprocessing.grey


def test_features_are_the_pooled_ones_of_the_network(resnet, cem_weights, images):
    backbone = load_cem("cem500k", weights_path=cem_weights)
    features = backbone.features(images)
    assert features.shape == (3, DIMENSIONS) and features.dtype == "float32"
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
    assert torch.equal(
        load_cem("cem500k", weights_path=path).network.conv1.weight, resnet.conv1.weight
    )


def test_checkpoints_of_other_networks(tmp_path, resnet):
    path = tmp_path / "other.pth"
    for tensors, message in (
        (
            resnet50().state_dict(),
            r"1 of another shape \['conv1.weight \(64, 3, 7, 7\) instead of \(64, 1, 7, 7\)'\]",
        ),
        ({"module.encoder_q.conv1.weight": torch.zeros(64, 1, 7, 7)}, "317 tensors missing"),
        (
            resnet.state_dict() | {"layer5.weight": torch.zeros(1)},
            r"1 left over \['layer5.weight'\]",
        ),
        (
            {
                key: value
                for key, value in resnet.state_dict().items()
                if key != "bn1.num_batches_tracked"
            },
            "1 tensors missing",
        ),
    ):
        save_weights(tensors, path)
        with pytest.raises(
            RuntimeError, match=f"other.pth: a checkpoint of another network; .*{message}"
        ):
            load_cem("cem500k", weights_path=path)


@pytest.mark.parametrize("norms", [[0.5], [0.5, 0.0], "grey", [0.5, float("nan")]])
def test_norms_that_make_no_sense(published_file, norms):
    with pytest.raises(ValueError, match="`norms` is"):
        load_cem("cem500k", weights_path=published_file(SWAV, norms=norms))


def test_damaged_weights_are_noticed(published_file, images):
    backbone = load_cem("cem1.5m", weights_path=published_file(SWAV))
    backbone.network.bn1.running_var.fill_(float("nan"))
    with pytest.raises(ValueError, match="features that are not finite"):
        backbone.features(images)


def test_offline_the_file_and_its_place_are_named(monkeypatch, tmp_path):
    def refuse(*args):
        raise ConnectionError("no network")

    monkeypatch.setattr("core.downloads.download", refuse)
    monkeypatch.setattr("fid.backbones.WEIGHTS_DIR", tmp_path)
    with pytest.raises(
        FileNotFoundError,
        match=f"put it at {tmp_path}/cem500k_mocov2_resnet50_200ep.pth.tar, or name it with --weights-path",
    ):
        load_cem("cem500k")


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
        expected = theirs(pixels.permute(0, 3, 1, 2) / 255)[0].flatten(1)
    backbone = load_inception("pytorch-fid", weights_path=path)
    ours = torch.from_numpy(
        backbone.features(torch.stack([backbone.preprocessing(image.numpy()) for image in pixels]))
    )
    assert expected.std() > 1e-3
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


def test_standards_of_inception(tmp_path):
    path = tmp_path / "inception.pth"
    torch.save(tensorflow_inception().state_dict(), path)
    clean = load_inception("clean-fid", weights_path=path).preprocessing
    assert clean.resize == "pillow-bicubic" and not clean.grey and clean.size == 299
    x = clean.__class__(2, "pillow-bicubic", False, clean.mean, clean.std)(
        torch.tensor([0, 64, 128, 255]).repeat_interleave(3).reshape(2, 2, 3).byte().numpy()
    )
    torch.testing.assert_close(
        x[0].flatten(), torch.tensor([-1.0, -0.5, 0.0, 127 / 128])
    )  # (pixel - 128) / 128
    with pytest.raises(RuntimeError, match="another network"):
        load_cem("cem500k", weights_path=path)
