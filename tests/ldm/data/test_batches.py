"""Order, seeds and views of training samples follow from the run's seed and the epoch alone."""

import pytest

from ldm.data.batches import SeededBatches


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
