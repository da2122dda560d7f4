import hashlib

from core.seeds import sample_seed


def test_a_seed_is_made_of_run_name_and_index_alone():
    digest = hashlib.sha256(b"7/cell_3/12").hexdigest()
    assert sample_seed(7, "cell_3", 12) == int(digest[:16], 16) // 2 < 2**63
    seeds = {sample_seed(s, name, i) for s in range(5) for name in "ab" for i in range(5)}
    assert len(seeds) == 50
