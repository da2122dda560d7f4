"""The loop over batches, with a sampler that makes up its images."""

import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cldm.options import SamplingOptions
from core.imaging.images import read_image, write_png
from core.signals import StoppedForRequeue
from generation.drawing import loop
from generation.drawing.loop import Painter, draw_images

MODEL = SimpleNamespace(device=torch.device("cpu"))


@pytest.fixture
def run(new_run):
    """An open run of four images."""
    run = new_run()
    run.open()
    return run


@pytest.fixture
def sampler(monkeypatch):
    """Replaces the sampler; `calls` has what it was asked for, `before` is called first."""
    sampler = SimpleNamespace(calls=[], before=lambda: None)

    def sample_images(model, hints, prompts, seeds, options, **keywords):
        sampler.before()
        sampler.calls.append({"prompts": prompts, "seeds": seeds, "hints": hints, **keywords})
        height, width = hints[0].shape[2:]
        # The number of the column, so that a crop can be told from a resized image
        levels = np.arange(width, dtype=np.uint8)[:, None]
        return np.broadcast_to(levels, (len(prompts), height, width, 3)).copy()

    monkeypatch.setattr(loop, "sample_images", sample_images)
    return sampler


def draw(run, numbers, multiple=8, sizes=None, batch_size=1):
    painter = Painter(MODEL, SamplingOptions(), multiple)
    draw_images(run, numbers, sizes or {0: (8, 8), 1: (8, 8)}, painter, batch_size)


def test_each_image_keeps_its_prompt_and_seed_in_any_batch(run, sampler):
    draw(run, [0, 2, 3], batch_size=2)
    assert [call["seeds"] for call in sampler.calls] == [
        [run.plan[0].seed, run.plan[2].seed],
        [run.plan[3].seed],
    ]
    assert sampler.calls[1]["prompts"] == [run.plan[3].prompt]
    assert [hint.shape for hint in sampler.calls[0]["hints"]] == [(2, 3, 8, 8), (2, 3, 8, 8)]
    assert run.pending(range(4)) == [1]


def test_padding_is_cropped_away(run, sampler):
    draw(run, [0], multiple=32)
    assert sampler.calls[0]["hints"][0].shape[2:] == (32, 32)
    image = read_image(run.folder / "images" / run.plan.file_name(0)) * 255
    assert image.shape == (8, 8, 3) and image[0, :, 0].round().tolist() == list(range(8))


def test_images_of_different_sizes_share_no_batch(run, sampler, tmp_path):
    for folder in ("masks", "depth"):
        write_png(tmp_path / folder / "c1.png", np.zeros((16, 8), np.uint8))
    draw(run, [0, 1, 2, 3], sizes={0: (8, 8), 1: (16, 8)}, batch_size=4)
    assert [call["hints"][0].shape for call in sampler.calls] == [(2, 3, 8, 8), (2, 3, 16, 8)]


@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGTERM, KeyboardInterrupt), (signal.SIGUSR1, StoppedForRequeue)],
)
def test_a_signal_ends_the_loop_after_a_whole_batch(run, sampler, number, error):
    sampler.before = lambda: os.kill(os.getpid(), number)
    with pytest.raises(KeyboardInterrupt) as stop:
        draw(run, [0, 1, 2, 3], batch_size=2)
    assert stop.type is error
    assert len(sampler.calls) == 1 and run.pending(range(4)) == [2, 3]


def test_a_signal_in_the_last_batch_stops_nothing(run, sampler):
    sampler.before = lambda: os.kill(os.getpid(), signal.SIGTERM)
    draw(run, [0, 1], batch_size=2)  # complete, so there is nothing to stop
    assert run.pending(range(2)) == []
