import pytest

from training.data.loaders import build_loader


@pytest.mark.parametrize("on_gpu", [True, False])
def test_batches_are_pinned_for_gpus_alone(on_gpu):
    assert build_loader([1, 2], [], 0, on_gpu).pin_memory == on_gpu
