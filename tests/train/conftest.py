"""The command line of a small training."""

import pytest


@pytest.fixture
def options(micro_yaml, micro_weights, pairs, tmp_path):
    """Command line of a training on the micro model, six pairs in batches of two."""
    return [
        *f"--image_path {pairs}/images --mask_path {pairs}/masks".split(),
        *f"--cldm_config_path {micro_yaml} --resume_path {micro_weights}".split(),
        *f"--output_root {tmp_path}/runs --gpus 0 --learning_rate 1e-3".split(),
        *"--log_every 1 --logger csv".split(),
    ]
