"""Order, seeds and views of training samples follow from the run's seed and the epoch alone."""

import pytest

from training.batches import SeededBatches, Share


def epochs(views, count=5, **options):
    batches = SeededBatches(6, 4, seed=1, views=views, **options)
    found = []
    for epoch in range(batches.epoch, count):
        batches.set_epoch(epoch)
        found.append([sorted(item) for item in batches])
    return found


def test_every_sample_comes_once_an_epoch():
    for batches in epochs(views=2):
        assert [len(batch) for batch in batches] == [4, 2]
        assert sorted(index for batch in batches for index, *_ in batch) == list(range(6))


@pytest.mark.parametrize(("views", "distinct"), [(1, 1), (2, 2), (9, 5)])
def test_views_are_shown_by_turns_and_seeds_never_again(views, distinct):
    samples = [item for batches in epochs(views) for batch in batches for item in batch]
    assert len({view for index, _, view in samples if index == 3}) == distinct
    assert len({view for _, _, view in samples}) == 6 * distinct
    assert len({seed for _, seed, _ in samples}) == 30


def test_without_views_the_seed_says_all():
    assert all(len(item) == 2 for batches in epochs(views=0) for batch in batches for item in batch)


def test_a_resumed_epoch_goes_on_where_it_stopped():
    whole = epochs(views=2)
    assert epochs(views=2, epoch=3, start=1) == [whole[3][1:], whole[4]]


@pytest.mark.parametrize(
    ("length", "whole_batch", "world_size"), [(5, 4, 2), (7, 4, 4), (3, 8, 4), (6, 2, 1)]
)
def test_shares_hold_every_sample_once(length, whole_batch, world_size):
    """Weights of a batch over all processes add up to the number of processes, those of one sample are the same as another's."""
    whole = list(SeededBatches(length, whole_batch, seed=3))
    shares = [
        list(Share(SeededBatches(length, whole_batch, seed=3), rank, world_size))
        for rank in range(world_size)
    ]
    assert {len(share) for share in shares} == {len(whole)}
    for i, batch in enumerate(whole):
        entries = [entry for share in shares for entry in share[i]]
        assert all(share[i] for share in shares)  # or a process would keep the others waiting
        assert sorted(item for item, weight, _ in entries if weight) == sorted(batch)
        assert {weight for _, weight, _ in entries if weight} == {world_size / len(batch)}
        assert {count for _, _, count in entries} == {len(batch)}


def test_shares_follow_the_epoch_and_the_start():
    share = Share(SeededBatches(6, 2, seed=0, epoch=1, start=2), 0, 2)
    assert len(list(share)) == 1 and len(share) == 3
    share.sampler.set_epoch(2)
    assert len(list(share)) == 3
