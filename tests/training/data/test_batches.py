"""Order, seeds and views of training samples follow from the run's seed and the epoch alone."""

import pytest

from core.samples import SampleKey
from training.data.batches import BatchesOfProcess, SeededBatches


def epochs(views, count=5, **options):
    batches = SeededBatches(6, 4, seed=1, views=views, **options)
    found = []
    for epoch in range(batches.epoch, count):
        batches.set_epoch(epoch)
        found.append([sorted(keys) for keys in batches])
    return found


def test_every_sample_comes_once_an_epoch():
    for batches in epochs(views=2):
        assert [len(batch) for batch in batches] == [4, 2]
        assert sorted(key.index for batch in batches for key in batch) == list(range(6))


@pytest.mark.parametrize(("views", "distinct"), [(1, 1), (2, 2), (9, 5)])
def test_views_are_shown_by_turns_and_seeds_never_again(views, distinct):
    keys = [key for batches in epochs(views) for batch in batches for key in batch]
    assert len({key.view for key in keys if key.index == 3}) == distinct
    assert len({key.view for key in keys}) == 6 * distinct
    assert len({key.seed for key in keys}) == 30


def test_without_views_the_seed_decides_all():
    keys = [key for batches in epochs(views=0) for batch in batches for key in batch]
    assert all(key.view is None for key in keys)


def test_a_resumed_epoch_goes_on_where_it_stopped():
    whole = epochs(views=2)
    assert epochs(views=2, epoch=3, start=1) == [whole[3][1:], whole[4]]


@pytest.mark.parametrize(
    ("batch", "world_size", "shares"),
    [
        (5, 1, [[0, 1, 2, 3, 4]]),
        (5, 2, [[0, 2, 4], [1, 3]]),
        (2, 3, [[0], [1], [0]]),  # the third process repeats the first sample, at weight 0
    ],
)
def test_processes_share_each_batch(batch, world_size, shares):
    keys = [SampleKey(i, 10 + i) for i in range(batch)]
    found = [next(iter(BatchesOfProcess([keys], rank, world_size))) for rank in range(world_size)]
    assert [[placed.key.index for placed in part] for part in found] == shares
    assert {placed.whole_batch for part in found for placed in part} == {batch}
    # the mean over processes of weighted sums of equal losses is that loss
    total = sum(placed.weight for part in found for placed in part) / world_size
    assert total == pytest.approx(1)


def test_an_image_is_needed_until_its_view_is_known():
    keys = [SampleKey(0, 1, view=5), SampleKey(1, 2, view=6), SampleKey(2, 3)]
    (part,) = BatchesOfProcess([keys], known={6})
    assert [placed.needs_image for placed in part] == [True, False, True]


@pytest.mark.parametrize(
    ("length", "whole_batch", "world_size"), [(5, 4, 2), (7, 4, 4), (3, 8, 4), (6, 2, 1)]
)
def test_parts_hold_every_sample_once(length, whole_batch, world_size):
    """Weights of a batch over all processes add up to the number of processes."""
    whole = list(SeededBatches(length, whole_batch, seed=3))
    parts = [
        list(BatchesOfProcess(SeededBatches(length, whole_batch, seed=3), rank, world_size))
        for rank in range(world_size)
    ]
    assert {len(part) for part in parts} == {len(whole)}
    for i, batch in enumerate(whole):
        assert all(part[i] for part in parts)  # or a process would keep the others waiting
        counted = [placed for part in parts for placed in part[i] if placed.weight]
        assert sorted(placed.key for placed in counted) == sorted(batch)
        assert {placed.weight for placed in counted} == {world_size / len(batch)}
        assert {placed.whole_batch for part in parts for placed in part[i]} == {len(batch)}


def test_parts_follow_the_epoch_and_the_start():
    part = BatchesOfProcess(SeededBatches(6, 2, seed=0, epoch=1, start=2), 0, 2)
    assert len(list(part)) == 1 and len(part) == 3
    part.sampler.set_epoch(2)
    assert len(list(part)) == 3
