"""Statistics of folders, and their cache."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.imaging.images import list_images
from core.notices import Notice
from fid import features
from fid.backbones.loading import load_backbone
from fid.backbones.options import BackboneOptions
from fid.features import folder_statistics


@pytest.fixture
def backbone(cem_weights):
    return load_backbone(BackboneOptions("cem500k", cem_weights, image_size=32, device="cpu"))


def test_batches_and_workers_do_not_matter(image_folders, backbone):
    paths = list_images(image_folders / "real")
    one, other = (
        folder_statistics(paths, backbone, 6),
        folder_statistics(paths, backbone, 4, num_workers=1),
    )
    np.testing.assert_allclose(one.features, other.features, rtol=1e-4, atol=1e-5)
    assert one.count == 6


def test_cache_is_used_until_anything_changes(
    image_folders, backbone, cem_weights, tmp_path, monkeypatch
):
    paths, cache = list_images(image_folders / "real"), tmp_path / "cache"
    larger = load_backbone(BackboneOptions("cem500k", cem_weights, image_size=48, device="cpu"))
    first = folder_statistics(paths, backbone, cache_dir=cache)
    assert len(list(cache.iterdir())) == 1
    with monkeypatch.context() as patch:
        patch.setattr("fid.features.read_batches", lambda *args: pytest.fail("not from the cache"))
        np.testing.assert_array_equal(
            folder_statistics(paths, backbone, cache_dir=cache).features, first.features
        )
    folder_statistics(paths[:-1], backbone, cache_dir=cache)  # other files
    folder_statistics(paths, larger, cache_dir=cache)  # another size
    assert len(list(cache.iterdir())) == 3
    os.utime(paths[0], ns=(1, 1))  # a file changed
    folder_statistics(paths, backbone, cache_dir=cache)
    assert len(list(cache.iterdir())) == 4


def test_images_replaced_with_their_size_and_time_are_read(image_folders, backbone, tmp_path):
    """As `cp --preserve` does with uncompressed images."""
    paths, cache = list_images(image_folders / "real"), tmp_path / "cache"
    for path in paths:
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(path, "TIFF")
    before = folder_statistics(paths, backbone, cache_dir=cache)
    stat = paths[0].stat()
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(paths[0], "TIFF")
    os.utime(paths[0], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert paths[0].stat().st_size == stat.st_size
    after = folder_statistics(paths, backbone, cache_dir=cache)
    assert not np.allclose(before.features[0], after.features[0])


def test_images_that_change_while_they_are_read_are_not_cached(
    image_folders, backbone, tmp_path, monkeypatch
):
    paths, read = list_images(image_folders / "real"), features.read_batches

    def change(*arguments):
        os.utime(paths[0], ns=(1, 1))
        return read(*arguments)

    monkeypatch.setattr(features, "read_batches", change)
    with pytest.warns(Notice, match="not kept for the next score .files have changed meanwhile"):
        found = folder_statistics(paths, backbone, cache_dir=tmp_path / "cache")
    assert found.count == len(paths)
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_costs_no_score(image_folders, backbone):
    paths = list_images(image_folders / "real")
    with pytest.warns(Notice, match="statistics of real are not kept for the next score .*/proc"):
        found = folder_statistics(paths, backbone, cache_dir=Path("/proc/cache"), title="real")
    assert found.count == len(paths)


def test_moments_alone_do_not_do_where_features_are_wanted(image_folders, backbone, tmp_path):
    paths, cache = list_images(image_folders / "real"), tmp_path / "cache"
    statistics = folder_statistics(paths, backbone, cache_dir=cache)
    (file,) = cache.iterdir()
    np.savez(file, count=6, mu=statistics.mu, scatter=statistics.cov)
    assert folder_statistics(paths, backbone, cache_dir=cache).features is None
    assert (
        folder_statistics(paths, backbone, keep_features=True, cache_dir=cache).features is not None
    )
    assert (
        folder_statistics(paths, backbone, cache_dir=cache).features is not None
    )  # the better entry was kept


def test_a_damaged_cache_is_named(image_folders, backbone, tmp_path):
    paths, cache = list_images(image_folders / "real"), tmp_path / "cache"
    folder_statistics(paths, backbone, cache_dir=cache)
    (file,) = cache.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match=f"{file}: a damaged cache file .* Remove it"):
        folder_statistics(paths, backbone, cache_dir=cache)
