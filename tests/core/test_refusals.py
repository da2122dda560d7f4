"""Errors that our code raises in words for the user, told from faults."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from core.command_line.option_sources import naming_record
from core.hardware.workers import in_workers
from core.imaging.images import read_image
from core.refusals import is_refusal


def caught(action) -> Exception:
    with pytest.raises(Exception) as info:  # noqa: B017 (of any type)
        action()
    return info.value


def refuse(message):
    raise RuntimeError(
        f"{message}: contradict each other",
    )


def multiply(size):
    """A product of other sizes: a fault of the code."""
    return torch.zeros(2) @ torch.zeros(size)


def in_threads():
    with ThreadPoolExecutor(1) as pool:
        list(pool.map(refuse, ["a and b"]))


def test_what_we_raise_is_a_refusal(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    assert is_refusal(caught(lambda: refuse("a and b")))
    assert is_refusal(caught(in_threads))
    assert is_refusal(caught(lambda: read_image(tmp_path / "a.png")))
    assert is_refusal(caught(lambda: open(tmp_path / "absent")))
    assert is_refusal(caught(lambda: list(in_workers(read_image, [tmp_path / "a.png"] * 2, 2))))


@pytest.mark.parametrize(
    "fault",
    [
        lambda: torch.zeros(2) @ torch.zeros(3),
        lambda: torch.nn.Linear(2, 3)(torch.zeros(1, 5)),
        lambda: np.zeros(2) + np.zeros(3),
        lambda: int("three"),
        lambda: json.loads("{"),
        lambda: {}["size"],
        lambda: list(in_workers(multiply, [3, 3], 2)),
    ],
)
def test_faults_are_none(fault, tmp_path):
    assert not is_refusal(caught(fault))

    def in_block():
        with naming_record(tmp_path):
            fault()

    assert "with the options in" not in str(caught(in_block))
