"""Tensors of masks and edges: planes by hand, both formats, notes, options."""

from pathlib import Path

import numpy as np
import pytest

from conditions.rgba_build import (
    Job,
    TensorOptions,
    build_rgba,
    describe,
    read_meta,
    write_rgba,
)
from core.command_line.options import OptionError
from core.imaging.images import write_png

LABELS = np.array([[0, 1], [2, 0]])
EDGES = np.array([[0, 255], [51, 204]], np.uint8)


@pytest.mark.parametrize(
    ("beta", "alpha"), [(1, (0, 1, 0.2, 0.8)), (2, (0, 1, 0.4, 1)), (0, 4 * (0,))]
)
def test_planes_and_alpha_by_hand(beta, alpha):
    rgba = build_rgba(LABELS, EDGES, beta)
    assert rgba.shape == (2, 2, 4) and rgba.dtype == np.float32
    planes = rgba[..., :3]
    assert (planes.argmax(axis=2) == LABELS).all() and (planes.sum(axis=2) == 1).all()
    assert np.allclose(rgba[..., 3].ravel(), alpha)


@pytest.mark.parametrize("kind", ["npz", "png"])
def test_a_note_comes_back_from_either_format(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    write_rgba(path, build_rgba(LABELS, EDGES, 1), "a note")
    assert read_meta(path) == "a note"
    whole = path.read_bytes()
    path.write_bytes(whole[:20])
    with pytest.raises(ValueError):
        read_meta(path)
    path.write_bytes(whole)
    if kind == "png":
        write_png(path, np.zeros((2, 2, 4), np.uint8))
    else:
        np.savez(path, rgba=np.zeros((2, 2, 4)))
    assert read_meta(path) is None


def test_no_program_is_started_for_a_postscript_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_: pytest.fail("started"))
    with pytest.raises(ValueError, match="neither PNG, TIFF, JPEG nor BMP"):
        read_meta(path)


def test_a_note_changes_with_everything_that_a_tensor_depends_on():
    job = Job(Path("a.png"), Path("b.png"), Path("a"), None)
    others = TensorOptions(canny_low=7), TensorOptions(canny_high=700), TensorOptions(beta_edge=2)
    notes = {describe(job, options) for options in (TensorOptions(), *others)}
    notes.add(describe(job._replace(mask=Path("c.png")), TensorOptions()))
    assert len(notes) == 5


def test_options_that_do_not_fit():
    assert TensorOptions().folder == "100_200"
    for field, options in (
        ("canny_low", TensorOptions(canny_low=201)),
        ("num_mask_classes", TensorOptions(num_mask_classes=4)),
    ):
        with pytest.raises(OptionError) as caught:
            options.check()
        assert caught.value.field == field
