"""bf16 where it is fast, and a warning where it is not."""

import warnings

import pytest

from core.hardware import bf16
from core.notices import Notice


def test_a_product_is_measured():
    bf16.bf16_time_on_cpu.cache_clear()
    share = bf16.bf16_time_on_cpu()
    assert 0.1 < share < 20
    assert bf16.bf16_time_on_cpu() == share  # measured once, so that an answer stays an answer


@pytest.mark.parametrize(
    ("device_type", "precision", "share", "told"),
    [
        ("cpu", "bf16", 4.06, "this CPU does not multiply in bf16: a product takes 4.1 times"),
        ("cpu", "bf16", 0.4, None),
        ("cpu", "32", 4.06, None),
        ("mps", "bf16", 4.06, None),
        ("cuda", "bf16", 0.4, "this GPU does not multiply in bf16. Use 32"),
        ("cuda", "16", 0.4, None),
    ],
)
def test_bf16_is_a_notice_where_it_is_slow(device_type, precision, share, told, monkeypatch):
    monkeypatch.setattr(bf16, "bf16_time_on_cpu", lambda: share)
    monkeypatch.setattr(bf16.torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    with warnings.catch_warnings(record=True) as notices:
        warnings.simplefilter("always")
        bf16.notify_of_slow_bf16(device_type, precision)
    assert len(notices) == (told is not None)
    for notice in notices:
        assert notice.category is Notice and told in str(notice.message)
