"""Checkpoints in the published layouts and folders of images, small enough to score for real."""

import math

import numpy as np
import pytest
import torch

from core.imaging.images import write_png
from fid.backbones.resnet50 import grey_resnet50
from tests.weights import fill_parameters


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
def published_file(published_shapes, tmp_path):
    """Function from a table in fixtures/ to a checkpoint with its names and shapes.

    The optimizer and the rest are as published. A tensor repeats one number, so the file is small.
    """

    def write(table, **content):
        numbers = {}
        for i, (name, shape) in enumerate(published_shapes(table).items()):
            value = (
                torch.tensor(i)
                if name.endswith(("num_batches_tracked", "queue_ptr"))
                else torch.tensor(1 / (i + 2))
            )
            numbers[name] = value.expand(shape)
        path = tmp_path / f"{table.removesuffix('.json')}.pth.tar"
        optimizer = {
            "state": {0: {"momentum_buffer": torch.zeros(3)}},
            "param_groups": [{"lr": 0.015, "params": [0]}],
        }
        torch.save(
            {
                "epoch": 200,
                "arch": "resnet50",
                "state_dict": numbers,
                "optimizer": optimizer,
                "run_id": "0f",
                **content,
            },
            path,
        )
        return path

    return write


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
