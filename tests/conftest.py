"""Fixtures that several test files share: small models, golden numbers, pairs, error lines."""

import copy
import json
import math
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
import yaml
from tqdm import tqdm

from cldm.model import build_model, create_model
from core.imaging.images import write_png
from core.weights.checkpoints import load_state_dict, save_weights
from fid.backbones.resnet50 import grey_resnet50
from share import run_script, show_reports
from tests.weights import fill_parameters, fill_zero_layers

FIXTURES = Path(__file__).parent / "fixtures"

# The same examples in every run; `--hypothesis-profile default` searches for new ones.
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.load_profile("same")


@pytest.fixture(scope="session", autouse=True)
def reports():
    """Tests call `main` of programs without `run_script`, which shows reports."""
    show_reports()


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small operations: threads would mostly wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seed():
    """Seed torch, so that a test draws the same numbers in every run and order of tests."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny_yaml() -> Path:
    return FIXTURES / "tiny_sd15.yaml"


@pytest.fixture(scope="session")
def golden() -> dict[str, torch.Tensor]:
    """Inputs and outputs of the tiny model.

    They come from an independent implementation (see fixtures/README.md).
    """
    with np.load(FIXTURES / "golden_tiny_sd15.npz", allow_pickle=False) as entries:
        return {name: torch.from_numpy(entries[name]) for name in entries.files}


@pytest.fixture(scope="session")
def published_shapes():
    """Function that reads a table of fixtures/: {tensor name: shape} of a published checkpoint."""
    return lambda table: {
        name: tuple(shape) for name, shape in json.loads((FIXTURES / table).read_text()).items()
    }


@pytest.fixture(scope="session")
def shared_tiny_cldm(tiny_yaml):
    """The tiny model with the golden weights, in evaluation mode.

    All tests share it, so never change it.
    """
    return fill_parameters(build_model(tiny_yaml)).eval()


@pytest.fixture
def tiny_cldm(shared_tiny_cldm):
    """A copy of the tiny model with the golden weights that the test may change."""
    return copy.deepcopy(shared_tiny_cldm)


@pytest.fixture
def published_cldm(tiny_yaml):
    """The tiny model with the golden weights, as the class that its configuration names."""
    return fill_parameters(create_model(tiny_yaml)).eval()


# For the scripts: a model small enough to train for real, and a folder of pairs


@pytest.fixture(scope="session")
def micro_yaml(tmp_path_factory) -> Path:
    """The nano configuration with every part at its smallest.

    Images have 64 pixels, the model has half a million parameters.
    """
    nano = FIXTURES.parent.parent / "models" / "cldm_nano.yaml"
    model = yaml.safe_load(nano.read_text())["model"]
    params = model["params"]
    params["image_size"] = 8
    for part in ("control_stage_config", "unet_config"):
        params[part]["params"].update(
            model_channels=32, channel_mult=[1, 1], attention_resolutions=[2], context_dim=8
        )
    params["first_stage_config"]["params"]["ddconfig"].update(ch_mult=[1, 1, 1, 1])
    params["cond_stage_config"]["params"].update(width=8, layers=1, heads=2)
    path = tmp_path_factory.mktemp("micro") / "cldm_micro.yaml"
    path.write_text(yaml.safe_dump({"model": model}))
    return path


@pytest.fixture(scope="session")
def micro_weights(micro_yaml) -> Path:
    """A complete checkpoint of the micro model whose control branch does something."""
    torch.manual_seed(0)
    path = micro_yaml.with_name("micro.safetensors")
    save_weights(fill_zero_layers(create_model(micro_yaml), std=0.05).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def branch_weights(micro_yaml, micro_weights):
    """Function that makes a checkpoint of the micro model with a control branch of its own.

    It takes a name, which decides the branch's weights, and the number of hint channels. The
    weights of the base are those of `micro_weights`.
    """

    def make(name, channels):
        path = micro_yaml.with_name(f"{name}.safetensors")
        if not path.exists():
            torch.manual_seed(sum(map(ord, name)))
            model = fill_zero_layers(create_model(micro_yaml, hint_channels=channels), std=0.05)
            base = load_state_dict(micro_weights)
            weights = {
                key: value if key.startswith("control_model.") else base[key]
                for key, value in model.state_dict().items()
            }
            save_weights(weights, path)
        return path

    return make


@pytest.fixture
def pairs(tmp_path) -> Path:
    """Folder with `images` and `masks`: six pairs of 64 pixels; grey levels follow the classes."""
    root = tmp_path / "pairs"
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(6):
        rows, columns = np.mgrid[:64, :64]
        mask = (columns > 12 + 4 * i).astype(np.uint8) + (columns + rows > 80 + 4 * i)
        image = mask * 80 + rng.integers(0, 40, mask.shape)
        write_png(root / "images" / f"cell_{i}.png", image.astype(np.uint8))
        write_png(root / "masks" / f"cell_{i}.png", mask.astype(np.uint8))
    return root


@pytest.fixture
def error_line(capsys):
    """Function that runs a script's `main` as the command line does and returns its error line.

    It fails where the script succeeds, or prints more than one line on standard error.
    """

    def run(main, *argv) -> str:
        # An error that ended a loop left its bar open; the next bar would be drawn below it
        getattr(tqdm, "_instances", set()).clear()
        capsys.readouterr()  # what the test printed before
        with pytest.raises(SystemExit) as end:
            run_script(lambda: main([str(word) for word in argv]))
        assert end.value.code == 2
        error = capsys.readouterr().err.strip()
        assert "Traceback" not in error and "\n" not in error
        return error

    return run


@pytest.fixture(scope="session")
def resnet():
    """A grey ResNet-50 whose features differ between images, of ordinary size; never change it."""
    return fill_parameters(grey_resnet50()).eval()


@pytest.fixture(scope="session")
def cem_weights(resnet, tmp_path_factory):
    """A checkpoint in the MoCo layout: the query encoder of `resnet`, and norms of its own."""
    path = tmp_path_factory.mktemp("cem") / "moco.pth.tar"
    tensors = {
        f"module.encoder_q.{key}": value
        for key, value in resnet.state_dict().items()
        if not key.startswith("fc.")
    }
    torch.save({"epoch": 1, "arch": "resnet50", "state_dict": tensors, "norms": [0.25, 0.5]}, path)
    return path


@pytest.fixture
def image_folders(tmp_path):
    """`real` and `generated`: 6 and 5 grey 40-pixel stripes; the generated ones are darker."""
    rng = np.random.default_rng(0)
    for folder, count, level in (("real", 6, 150), ("generated", 5, 90)):
        (tmp_path / folder).mkdir()
        for i in range(count):
            stripes = 60 * np.sin(np.arange(40) * 2 * math.pi / (4 + 2 * i))
            pixels = level + stripes[None] + rng.normal(0, 10, (40, 40))
            write_png(tmp_path / folder / f"slice_{i}.png", pixels.clip(0, 255).astype(np.uint8))
    return tmp_path
