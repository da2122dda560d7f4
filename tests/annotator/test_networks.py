"""Published names and shapes, checkpoints of every layout, and files that are not the right one."""

import os

import numpy as np
import pytest
import torch

from annotator import midas, uniformer
from annotator.hed.network import HEDNetwork
from annotator.midas.network import DPTHybrid
from annotator.mlsd import MLSDdetector
from annotator.mlsd.network import MLSDNetwork
from annotator.network_detectors import MLSD_WEIGHTS
from annotator.networks import load_network, pad_to_multiple
from annotator.openpose.network import BodyNetwork, HandNetwork
from annotator.uniformer.network import UniformerNetwork
from annotator.weights import CKPTS_VARIABLE, published
from tests.weights import fill_parameters


@pytest.mark.parametrize(
    ("network", "table", "unused"),
    [
        (HEDNetwork, "hed", ()),
        (DPTHybrid, "midas_dpt_hybrid", midas.network.UNUSED),
        (MLSDNetwork, "mlsd_large", ()),
        (BodyNetwork, "openpose_body", ()),
        (HandNetwork, "openpose_hand", ()),
        (UniformerNetwork, "uniformer_upernet", uniformer.network.UNUSED),
    ],
)
def test_names_and_shapes_are_the_published_ones(network, table, unused, published_shapes):
    with torch.device("meta"):
        own = {name: tuple(tensor.shape) for name, tensor in network().state_dict().items()}
    published = published_shapes(f"keys_{table}.json")
    for prefix in unused:  # the file has it
        assert any(name.startswith(prefix) for name in published)
    assert own == {key: shape for key, shape in published.items() if not key.startswith(unused)}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Folder with a checkpoint of the smallest network."""
    folder = tmp_path_factory.mktemp("ckpts")
    torch.save(fill_parameters(MLSDNetwork()).state_dict(), folder / MLSD_WEIGHTS.name)
    return folder


@pytest.mark.parametrize(
    "layout",
    [
        lambda d: {"model": d, "optimizer": {}},
        lambda d: {"state_dict": {f"module.{k}": v for k, v in d.items()}},
    ],
)
def test_layouts_of_checkpoints(weights, tmp_path, layout):
    tensors = torch.load(weights / MLSD_WEIGHTS.name, weights_only=True)
    torch.save(layout(tensors), tmp_path / "other.pth")
    loaded = load_network(MLSDNetwork, MLSD_WEIGHTS, tmp_path / "other.pth", "cpu").state_dict()
    assert loaded.keys() == tensors.keys() and all(
        torch.equal(loaded[key], tensors[key]) for key in tensors
    )


def test_weights_are_found_by_the_environment_variable(weights, monkeypatch):
    monkeypatch.setenv(CKPTS_VARIABLE, str(weights))
    assert MLSDdetector()(np.zeros((32, 32, 3), np.uint8)).shape == (32, 32)


def test_a_checkpoint_of_another_detector_is_named(weights):
    with pytest.raises(
        RuntimeError, match=r"mlsd_large.*expected ControlNetHED.pth: does not fit HEDNetwork"
    ):
        load_network(HEDNetwork, published("ControlNetHED.pth"), weights / MLSD_WEIGHTS.name, "cpu")


class FolderMaker:
    """An object whose pickle makes a folder when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_file_that_runs_code_is_refused(tmp_path):
    torch.save(
        {"state_dict": {}, "meta": FolderMaker(tmp_path / "ran")}, tmp_path / MLSD_WEIGHTS.name
    )
    with pytest.raises(
        ValueError, match=f"{MLSD_WEIGHTS.name}: refused, loading it would run code"
    ):
        MLSDdetector(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_file_that_is_no_checkpoint_is_named(tmp_path):
    (tmp_path / MLSD_WEIGHTS.name).write_text("<html>404</html>")
    with pytest.raises(ValueError, match=f"{MLSD_WEIGHTS.name}: cannot be read as a checkpoint"):
        MLSDdetector(tmp_path)


def test_a_file_of_mmcv_is_read(tmp_path):
    """It holds class names, palette and arrays in `meta`, an optimizer, and names in `module.`.

    A second head may be there, or not. Tensors that nobody knows are refused.
    """
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1))
    tensors = {f"module.{key}": value for key, value in network.state_dict().items()}
    meta = {"CLASSES": ("wall",), "PALETTE": [[1, 2, 3]]}
    meta |= {"mean": np.float64(0.5), "std": np.ones(3)}

    def build():
        return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1))

    def load(tensors):
        content = {"meta": meta, "state_dict": tensors, "optimizer": {"step": 1}}
        torch.save(content, tmp_path / "file.pth")
        return load_network(build, MLSD_WEIGHTS, tmp_path / "file.pth", "cpu", unused=("head.",))

    for extra in ({}, {"module.head.weight": torch.ones(1)}):
        assert torch.equal(load(tensors | extra)[0].weight, network[0].weight)
    with pytest.raises(RuntimeError, match=r"1 left over \['other.weight'\]"):
        load(tensors | {"module.other.weight": torch.ones(1)})
    with pytest.raises(RuntimeError, match="2 tensors missing"):
        load({"module.head.weight": torch.ones(1)})


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="argument weights .*none.pth: no such file"):
        MLSDdetector(tmp_path / "none.pth")


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (33, 47)])
def test_any_size_and_channels(weights, size):
    detector = MLSDdetector(weights)
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    assert detector(picture).shape == detector(picture[..., 0]).shape == size
    both = detector.detect([picture, picture[::-1].copy()])
    assert (both[0] == detector(picture)).all()


def test_padding_repeats_the_border():
    x = torch.arange(6.0).view(1, 1, 2, 3)
    assert pad_to_multiple(x, 4)[0, 0].tolist() == [
        [0, 1, 2, 2],
        [3, 4, 5, 5],
        [3, 4, 5, 5],
        [3, 4, 5, 5],
    ]
