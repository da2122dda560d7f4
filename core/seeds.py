"""Seeds that belong to one sample."""

import hashlib


def sample_seed(seed: int, name: str, index: int) -> int:
    """Seed of one sample, a whole number of 63 bits.

    Nothing enters but the arguments, so a sample is the same in any order, batch or process.

    Args:
        seed: of the run.
        name, index: of the sample.
    """
    # A hash: sums such as seed + index would give two runs with close seeds the same samples. And
    # Python's own `hash` of a text differs from process to process.
    digest = hashlib.sha256(f"{seed}/{name}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # torch's generators take signed 64 bits
