"""From options to a backbone: what is refused, and where weights are looked for."""

import dataclasses
from pathlib import Path
from shutil import copyfile

import pytest
import torch
from torchvision.models import resnet50

from core.files import sha256_of
from core.weights.checkpoints import save_weights
from fid.backbones import BACKBONES, CEM, INCEPTION
from fid.backbones.loading import load_backbone
from fid.backbones.options import BackboneOptions


def load(name, path):
    return load_backbone(BackboneOptions(name, path, device="cpu"))


def test_every_entry_is_chosen_by_its_name():
    assert list(BACKBONES) == [*CEM, *INCEPTION]
    for name, published in BACKBONES.items():
        assert published.name == name and published.about and published.weights.url
        channels = 1 if published.preprocessing.grey else 3
        assert len(published.preprocessing.mean) == len(published.preprocessing.std) == channels


@pytest.mark.parametrize("name", BACKBONES)
def test_the_stated_width_is_that_of_the_network(name):
    """At 96 pixels, which takes less time than the network's own size."""
    published = BACKBONES[name]
    network = published.build().eval()
    with torch.no_grad():
        features = network(torch.zeros(1, 1 if published.preprocessing.grey else 3, 96, 96))
    assert features.shape == (1, published.width)


def test_the_options_change_size_and_device_alone(cem_weights):
    own, small = (
        load_backbone(BackboneOptions("cem500k", cem_weights, image_size=size, device="cpu"))
        for size in (None, 48)
    )
    assert (own.preprocessing.size, small.preprocessing.size) == (224, 48)
    assert own.preprocessing.mean == small.preprocessing.mean == (0.25,)  # of the file
    assert own.device == torch.device("cpu")


def test_checkpoints_of_other_networks(tmp_path, resnet):
    path = tmp_path / "other.pth"
    for tensors, message in (
        (
            resnet50().state_dict(),
            r"another architecture; 1 tensors of another shape, such as "
            r"conv1.weight \(64, 3, 7, 7\) instead of \(64, 1, 7, 7\)",
        ),
        ({"module.encoder_q.conv1.weight": torch.zeros(64, 1, 7, 7)}, "317 tensors missing"),
        (
            resnet.state_dict() | {"layer5.weight": torch.zeros(1)},
            r"1 left over .*layer5.weight",
        ),
        (
            {
                key: value
                for key, value in resnet.state_dict().items()
                if key != "bn1.num_batches_tracked"
            },
            "1 tensors missing .*bn1.num_batches_tracked",
        ),
    ):
        save_weights(tensors, path)
        with pytest.raises(RuntimeError, match=f"other.pth: .*{message}"):
            load("cem500k", path)


def test_the_weights_of_another_backbone_are_refused(cem_weights, tmp_path, monkeypatch):
    """The layers fit, and the result would state the wrong network and its constants."""
    named = Path(copyfile(cem_weights, tmp_path / BACKBONES["cem1.5m"].weights.name))
    with pytest.raises(ValueError, match=f"{named}: has the weights of cem1.5m, not of cem500k"):
        load("cem500k", named)
    load("cem1.5m", named)
    known = BACKBONES["clean-fid"].weights._replace(sha256=sha256_of(named)[:8])
    renamed = named.rename(named.with_name("mine.pth"))
    other = dataclasses.replace(BACKBONES["clean-fid"], weights=known)
    monkeypatch.setitem(BACKBONES, "clean-fid", other)
    with pytest.raises(ValueError, match="mine.pth: has the weights of clean-fid, not of cem500k"):
        load("cem500k", renamed)


def test_damaged_weights_are_noticed(cem_weights):
    backbone = load("cem500k", cem_weights)
    backbone.network.bn1.running_var.fill_(float("nan"))
    with pytest.raises(ValueError, match="features that are not finite"):
        backbone.features(torch.rand(1, 1, 64, 64))


def test_offline_the_file_and_its_place_are_named(monkeypatch, tmp_path):
    def refuse(*args):
        raise ConnectionError("no network")

    monkeypatch.setattr("core.fetching.downloads.download", refuse)
    monkeypatch.setattr("fid.backbones.loading.WEIGHTS_DIR", tmp_path)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    file = BACKBONES["cem500k"].weights.name
    remedy = f"put it at {tmp_path}/{file}, or name it with --weights-path"
    with pytest.raises(FileNotFoundError, match=remedy):
        load("cem500k", None)
