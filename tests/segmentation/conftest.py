"""Blobs on disk, and a segmenter trained on them."""

import pytest

from conditions.pairs import find_pairs
from segmentation.folders import TrainingPairs
from segmentation.options import SegmenterOptions
from segmentation.training import train_segmenter
from tests.blobs import blobs, write_pairs

STEPS = 50


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("blobs")
    for name, count, seed in (("train", 24, 0), ("val", 8, 1)):
        write_pairs(root / name, *blobs(count, seed))
    return root


@pytest.fixture(scope="session")
def sets(folders):
    return [
        find_pairs(folders / name / "images", folders / name / "masks") for name in ("train", "val")
    ]


@pytest.fixture(scope="session")
def trained(sets):
    return train_segmenter(
        TrainingPairs(sets[0]), 3, STEPS, SegmenterOptions(batch_size=8, image_size=64)
    )
