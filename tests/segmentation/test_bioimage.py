"""Exports for bioimage.io: the specification accepts them, and they compute what they should."""

import numpy as np
import pytest
import torch
import yaml

from core.command_line.options import OptionError
from segmentation import bioimage
from segmentation.bioimage import write_package
from segmentation.network import build_segmenter, save_segmenter
from segmentation.options import BioimageOptions

OPTIONS = BioimageOptions("Cells", ("Jane Doe",), "CC-BY-4.0", ("resin", "cell", "nucleus"))


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Folder of an exported segmenter, and the segmenter."""
    root = tmp_path_factory.mktemp("bioimage")
    torch.manual_seed(0)
    model = build_segmenter(3).eval()
    model.meta = {"val": {"miou": 0.75}}
    save_segmenter(root / "s.ckpt", model, model.meta)
    write_package(root / "out", model, OPTIONS, root / "s.ckpt")
    return root / "out", model


def test_the_specification_accepts_it(package, monkeypatch, tmp_path):
    monkeypatch.setenv("BIOIMAGEIO_CACHE_PATH", str(tmp_path))
    spec = pytest.importorskip("bioimageio.spec")
    described = spec.load_description(package[0] / "rdf.yaml", perform_io_checks=True)
    assert not isinstance(described, spec.InvalidDescr), described.validation_summary.display()
    assert described.validation_summary.status in ("valid-format", "passed")
    assert described.outputs[0].axes[1].channel_names == ["resin", "cell", "nucleus"]


def test_another_program_gets_the_test_output(package):
    """It does what the description says, and knows nothing else of the model."""
    folder, _ = package
    description = yaml.safe_load((folder / "rdf.yaml").read_text())
    image, output = (np.load(folder / f"test_{kind}.npy") for kind in ("input", "output"))
    assert image.dtype == description["inputs"][0]["data"]["type"]
    first, scale, last = description["inputs"][0]["preprocessing"]
    assert first == last == {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}
    x = image.astype(np.float32) * np.float32(scale["kwargs"]["gain"])
    network = torch.jit.load(folder / description["weights"]["torchscript"]["source"])
    found = network(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, output, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_every_size_that_the_description_allows(package):
    folder, model = package
    network = torch.jit.load(folder / "weights.pt")
    y, x = yaml.safe_load((folder / "rdf.yaml").read_text())["inputs"][0]["axes"][2:]
    for k in (0, 3):
        image = torch.rand(
            2, 1, *(axis["size"]["min"] + k * axis["size"]["step"] for axis in (y, x))
        )
        with torch.no_grad():
            expected = model(image).softmax(dim=1)
            torch.testing.assert_close(network(image), expected, rtol=0, atol=1e-5)


def test_a_model_that_tracing_changes_is_refused(package, monkeypatch):
    monkeypatch.setattr(bioimage, "TOLERANCE", -1.0)
    with pytest.raises(RuntimeError, match="differs from the segmenter by"):
        bioimage.trace(package[1])


def test_the_documentation_names_scores_and_classes(package):
    text = (package[0] / "README.md").read_text()
    for words in ("| `mIoU` | `0.7500` |", "| `2` | `nucleus` |", "`s.ckpt`", "license: cc-by-4.0"):
        assert words in text


def test_names_that_the_specification_refuses():
    for name in ("abcd", "x" * 129, "cells/nuclei", "Zellen \u00fc"):
        with pytest.raises(OptionError, match="^name: "):
            BioimageOptions(name).check()
    BioimageOptions().check()
    assert BioimageOptions().names_of(2) == ["class_0", "class_1"]
    for names in (("a",), ("a", "a")):
        with pytest.raises(OptionError, match="class_names: expected 2 different names"):
            BioimageOptions(class_names=names).names_of(2)
