"""The export of a segmenter from the command line."""

import pytest

from segmentation.network import build_segmenter, save_segmenter
from utils import export_segmenter


@pytest.fixture
def checkpoint(tmp_path):
    save_segmenter(tmp_path / "s.ckpt", build_segmenter(3), {})
    return tmp_path / "s.ckpt"


def test_what_is_exported(checkpoint, tmp_path, monkeypatch, capsys):
    """The export itself is tested in test_bioimage.py; tracing takes seconds."""
    calls = []
    monkeypatch.setattr("segmentation.bioimage.write_package", lambda *words: calls.append(words))
    words = [str(checkpoint), str(tmp_path / "out"), "--authors", "A", "B"]
    export_segmenter.main([*words, "--dry_run"])
    assert not calls
    export_segmenter.main(words)
    ((folder, model, options, source),) = calls
    assert folder == tmp_path / "out" and source == checkpoint
    assert model.architecture["num_classes"] == 3 and list(options.authors) == ["A", "B"]
    assert "class_0, class_1, class_2" in capsys.readouterr().out


def test_bad_input_is_one_line(checkpoint, tmp_path, error_line):
    def fails(*words):
        return error_line(export_segmenter.main, *words)

    out = tmp_path / "out"
    assert "--authors" in fails(checkpoint, out)
    authors = "--authors", "A"
    assert "none.ckpt: no such segmenter" in fails(tmp_path / "none.ckpt", out, *authors)
    assert "--class_names: expected 3" in fails(checkpoint, out, *authors, "--class_names", "a")
    assert "--name: 1 letters" in fails(checkpoint, out, *authors, "--name", "x")
    assert "not an empty folder" in fails(checkpoint, tmp_path, *authors)
    assert not out.exists()
