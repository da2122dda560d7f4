"""Pictures that a training draws of itself."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cldm.logger import ImageLogger
from cldm.options import SamplingOptions


@pytest.mark.parametrize(("epoch_starts", "logged"), [(False, [3]), (True, [0, 3, 4])])
def test_batches_that_are_logged(tmp_path, monkeypatch, epoch_starts, logged):
    """Two epochs of four batches; the fourth batch is due."""
    log = ImageLogger(batch_frequency=4, folder=tmp_path, epoch_starts=epoch_starts)
    picture = {"samples": np.zeros((1, 8, 8, 3), np.uint8)}
    monkeypatch.setattr(log, "log_images", lambda *_: picture)
    for batch in range(7):
        trainer = SimpleNamespace(
            fit_loop=SimpleNamespace(total_batch_idx=batch),
            is_global_zero=True,
            global_step=batch,
            current_epoch=batch // 4,
            loggers=[],
        )
        log.on_train_batch_end(trainer, torch.nn.Identity(), None, {}, batch % 4)
    steps = sorted(int(path.name.split("gs-")[1][:6]) for path in tmp_path.iterdir())
    assert steps == logged


def test_pictures_that_are_not_finite_are_left_out_and_training_goes_on(tiny_cldm, tmp_path):
    trainer = SimpleNamespace(
        fit_loop=SimpleNamespace(total_batch_idx=0),
        is_global_zero=True,
        global_step=7,
        current_epoch=0,
        loggers=[],
    )
    batch = {"jpg": torch.zeros(1, 64, 64, 3), "txt": ["a cell"], "hint": torch.ones(1, 64, 64, 3)}
    log = ImageLogger(batch_frequency=1, options=SamplingOptions(steps=1), folder=tmp_path)
    tiny_cldm.control_model.train()
    log.on_train_batch_end(trainer, tiny_cldm, None, batch, 0)
    written = set(tmp_path.iterdir())
    assert len(written) == 4
    batch["hint"][0, 3, 3] = torch.nan
    with pytest.warns(UserWarning, match="step 7: no image log, picture 0 .* NaN or infinite"):
        log.on_train_batch_end(trainer, tiny_cldm, None, batch, 1)
    assert set(tmp_path.iterdir()) == written and tiny_cldm.control_model.training
