"""A folder of small micrographs."""

import numpy as np
import pytest

from core.imaging.images import write_png


@pytest.fixture(scope="module")
def em_folder(tmp_path_factory):
    """Five noisy 48-pixel pictures, three of them in a sub-folder."""
    root = tmp_path_factory.mktemp("em")
    (root / "more").mkdir()
    rng = np.random.default_rng(0)
    for i in range(5):
        pixels = np.kron(rng.integers(60, 200, (6, 6)), np.ones((8, 8))) + rng.normal(
            0, 10, (48, 48)
        )
        write_png(
            root / ("more" if i > 1 else "") / f"{i}.png", pixels.clip(0, 255).astype(np.uint8)
        )
    return root
