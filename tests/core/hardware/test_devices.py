"""Computing on devices, and in precisions."""

import pytest
import torch

from core.hardware.devices import (
    device_name,
    float32_products,
    full_range,
    peak_memory,
    to_device,
    to_host,
    wait_for,
)


def test_memory_of_a_cpu_is_that_of_the_process():
    device = torch.device("cpu")
    before = peak_memory(device)
    block = torch.ones(2**27)  # 0.5 GiB
    wait_for(device)
    assert peak_memory(device) >= max(before, block.nbytes / 2**30)
    assert peak_memory(device) < 64  # GiB, not MiB
    assert "thread" in device_name(device)


@pytest.mark.parametrize(
    ("precision", "found"), [("32", ("highest", False)), ("tf32", ("high", True))]
)
def test_float32_is_exact_unless_tf32_is_asked_for(precision, found):
    def state():
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    before = state()
    with pytest.raises(KeyError), float32_products(precision):
        assert state() == found
        raise KeyError
    assert state() == before


@pytest.mark.parametrize(("dtype", "kept"), [(torch.float16, False), (torch.bfloat16, True)])
def test_only_float16_lacks_range(dtype, kept):
    ones = torch.ones(1, 1)
    with torch.autocast("cpu", dtype):
        with full_range("cpu"):
            assert (ones @ ones).dtype == (dtype if kept else torch.float32)
        assert (ones @ ones).dtype == dtype
    with full_range("cpu"):
        assert (ones @ ones).dtype == torch.float32


def test_tensors_come_to_the_host_and_back():
    tensors = [torch.arange(6).view(2, 3), torch.ones(2, dtype=torch.bool)]
    copies = to_host(tensors)
    tensors[0].zero_()  # a copy is no view
    assert copies[0].tolist() == [[0, 1, 2], [3, 4, 5]] and copies[1].dtype == torch.bool
    assert to_host([]) == [] and torch.equal(to_device(copies[0], torch.device("cpu")), copies[0])
