"""Pyramids of OME-Zarr: their levels, means and labels, where voxels lie, read by ome-zarr."""

import numpy as np
import pytest

from generation.exporting import ome_zarr
from generation.exporting.ome_zarr import pyramid_of, write_ome_zarr


def read(path):
    """Images and labels as napari's plug-in gets them: (levels, transformations) by name."""
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    nodes = [node for node in Reader(parse_url(path))() if node.data]
    return {
        node.metadata["name"]: (
            [np.asarray(level) for level in node.data],
            node.metadata["coordinateTransformations"],
        )
        for node in nodes
    }


def test_long_voxels_become_cubes():
    levels = pyramid_of((600, 2000, 3000), (40, 8, 8))
    assert [level.shape for level in levels] == [
        (600, 2000, 3000),
        (600, 1000, 1500),
        (600, 500, 750),
        (300, 250, 375),
        (150, 125, 188),
    ]
    assert levels[-1].voxel == (160, 128, 128)
    assert pyramid_of((1, 1000, 4), (8, 8, 8))[-1].shape == (1, 250, 1)  # one slice stays one
    assert len(pyramid_of((256, 256, 256), (1, 1, 1))) == 1


def test_images_are_means_and_labels_are_nearest(tmp_path, monkeypatch):
    pytest.importorskip("ome_zarr")
    monkeypatch.setattr(ome_zarr, "COARSEST", 4)
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 16), dtype=np.uint8)
    write_ome_zarr(tmp_path / "a.ome.zarr", "a", image, image % 3, (8, 8, 8))
    (levels, places), (labels, label_places) = (
        read(tmp_path / "a.ome.zarr")[k] for k in "a masks".split()
    )
    assert [level.shape for level in levels] == [(7, 9, 16), (4, 5, 8), (2, 3, 4)]
    for fine, coarse in zip(levels, levels[1:], strict=False):
        padded = np.pad(fine, [(0, n % 2) for n in fine.shape], "edge").astype(float)
        boxes = padded.reshape(*(part for n in coarse.shape for part in (n, 2)))
        assert np.abs(coarse - boxes.mean((1, 3, 5))).max() <= 0.5
    for fine, coarse in zip(labels, labels[1:], strict=False):
        assert (coarse == fine[::2, ::2, ::2]).all()
    # The first mean is that of voxels 0 and 1, so it lies at 4 nm.
    assert [place[0]["scale"][0] for place in places] == [8, 16, 32]
    assert [place[1]["translation"][0] for place in places[1:]] == [4, 12]
    assert all(len(place) == 1 for place in label_places)
