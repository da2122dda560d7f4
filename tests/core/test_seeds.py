"""Seeds of samples, and the order in which samples are drawn."""

import hashlib
from itertools import pairwise

from core.draws import SeededDraws
from core.seeds import sample_seed


def test_a_seed_is_made_of_run_name_and_index_alone():
    digest = hashlib.sha256(b"7/cell_3/12").hexdigest()
    assert sample_seed(7, "cell_3", 12) == int(digest[:16], 16) // 2 < 2**63
    seeds = {sample_seed(s, name, i) for s in range(5) for name in "ab" for i in range(5)}
    assert len(seeds) == 50


def test_draws_go_through_all_samples_again_and_again():
    draws = list(SeededDraws(4, 10, seed=3, name="a"))
    indices, seeds = zip(*draws, strict=True)
    rounds = [indices[:4], indices[4:8]]
    assert all(sorted(one) == [0, 1, 2, 3] for one in rounds)
    assert len(set(seeds)) == 10
    assert draws == list(SeededDraws(4, 10, seed=3, name="a"))
    assert draws[:6] == list(SeededDraws(4, 6, seed=3, name="a"))  # the number of draws ends them
    for start in range(11):
        assert draws[start:] == list(SeededDraws(4, 10, seed=3, name="a", start=start))
    orders = [
        next(zip(*SeededDraws(20, 20, *key), strict=True)) for key in ((3, "a"), (3, "b"), (4, "a"))
    ]
    assert all(one != other for one, other in pairwise(orders))
