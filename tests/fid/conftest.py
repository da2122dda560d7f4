"""Checkpoints in the published layouts and folders of images, small enough to score for real."""

import pytest
import torch


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
