"""Published names and shapes, checkpoints of every layout, and files that are not the right one."""

import numpy as np
import pytest
import torch

from annotator.hed.network import HEDNetwork
from annotator.midas.network import DPTHybrid
from annotator.mlsd import WEIGHTS, MLSDdetector
from annotator.mlsd.network import MLSDNetwork
from annotator.networks import CKPTS_VARIABLE, load_network, pad_to_multiple, published
from annotator.openpose.network import BodyNetwork, HandNetwork
from annotator.uniformer.network import UniformerNetwork
from tests.weights import fill_parameters


@pytest.mark.parametrize(
    ("network", "table"),
    [
        (HEDNetwork, "hed"), (DPTHybrid, "midas_dpt_hybrid"), (MLSDNetwork, "mlsd_large"),
        (BodyNetwork, "openpose_body"), (HandNetwork, "openpose_hand"), (UniformerNetwork, "uniformer_upernet"),
    ],
)  # fmt: skip
def test_names_and_shapes_are_the_published_ones(network, table, published_shapes):
    with torch.device("meta"):
        own = {name: tuple(tensor.shape) for name, tensor in network().state_dict().items()}
    assert own == published_shapes(f"keys_{table}.json")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Folder with a checkpoint of the smallest network."""
    folder = tmp_path_factory.mktemp("ckpts")
    torch.save(fill_parameters(MLSDNetwork()).state_dict(), folder / WEIGHTS.name)
    return folder


@pytest.mark.parametrize("layout", [lambda d: {"model": d, "optimizer": {}}, lambda d: {"state_dict": {f"module.{k}": v for k, v in d.items()}}])
def test_layouts_of_checkpoints(weights, tmp_path, layout):
    tensors = torch.load(weights / WEIGHTS.name, weights_only=True)
    torch.save(layout(tensors), tmp_path / "other.pth")
    loaded = load_network(MLSDNetwork, WEIGHTS, tmp_path / "other.pth", "cpu").state_dict()
    assert loaded.keys() == tensors.keys() and all(torch.equal(loaded[key], tensors[key]) for key in tensors)


def test_weights_are_found_by_the_environment_variable(weights, monkeypatch):
    monkeypatch.setenv(CKPTS_VARIABLE, str(weights))
    assert MLSDdetector()(np.zeros((32, 32, 3), np.uint8)).shape == (32, 32)


def test_a_checkpoint_of_another_detector_is_named(weights):
    with pytest.raises(RuntimeError, match=r"mlsd_large.*not the weights of HEDNetwork.*ControlNetHED.pth"):
        load_network(HEDNetwork, published("ControlNetHED.pth"), weights / WEIGHTS.name, "cpu")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="--weights_path .*none.pth"):
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
    assert pad_to_multiple(x, 4)[0, 0].tolist() == [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [3, 4, 5, 5]]
