import os

import pytest

from core.hardware.workers import in_workers


@pytest.mark.parametrize("num_workers", [0, 2])
def test_results_keep_the_order_of_the_items(num_workers):
    assert list(in_workers(abs, range(-9, 0), num_workers)) == [9, 8, 7, 6, 5, 4, 3, 2, 1]


def test_one_worker_is_this_process():
    assert list(in_workers(lambda _: os.getpid(), range(3), 1)) == [os.getpid()] * 3


def test_an_error_of_a_worker_arrives():
    with pytest.raises(ValueError, match="invalid literal"):
        list(in_workers(int, ["1", "x", "3"], 2, chunk=1))
