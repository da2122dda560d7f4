"""Seeds that belong to one sample."""

import hashlib


def sample_seed(seed: int, name: str, index: int) -> int:
    """Seed of one sample, 63 bits, from the run's seed, a name and a number; nothing else enters."""
    digest = hashlib.sha256(f"{seed}/{name}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
