"""Pictures that a training draws of itself."""

from types import SimpleNamespace

import pytest
import torch

from cldm.logger import ImageLogger
from cldm.options import SamplingOptions


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
