"""A trained segmenter as a model of bioimage.io: TorchScript and a description of its tensors.

The layout is version 0.5 of the specification at https://github.com/bioimage-io/spec-bioimage-io.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import nn

from core.cards import UNKNOWN_SIZE, as_code, card_table, licence_text, write_card
from core.files import sha256_of, whole_folder
from segmentation.network import pixel_size_of_segmenter
from segmentation.options import SIZE_MULTIPLE, BioimageOptions

DESCRIPTION = "rdf.yaml"  # the name that the specification gives it
WEIGHTS, DOCUMENTATION = "weights.pt", "README.md"
TEST_INPUT, TEST_OUTPUT = "test_input.npy", "test_output.npy"
FORMAT_VERSION = "0.5.4"  # the fields below are in all later versions too
SMALLEST = 2 * SIZE_MULTIPLE  # pixels; below, the deepest level has one
CHECKED_SIZES = ((128, 128), (96, 160))  # the second one shows sizes that tracing froze
TOLERANCE = 1e-5  # of probabilities


class Probabilities(nn.Module):
    """A segmenter whose output is a probability for each class."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, image):
        """Grey images (N, 1, H, W) in [0, 1] -> probabilities (N, C, H, W)."""
        return self.model(image).softmax(dim=1)  # (N, C, H, W)


def test_image(height: int, width: int) -> np.ndarray:
    """A picture for the test tensors, uint8 (1, 1, height, width): waves, the same every time."""
    rows, columns = np.mgrid[:height, :width]
    waves = np.sin(rows / 7) + np.sin(columns / 11 + rows / 23)  # [-2, 2]
    return np.round((waves + 2) * 63.75).astype(np.uint8)[None, None]


@torch.inference_mode()
def trace(model: nn.Module) -> torch.jit.ScriptModule:
    """The model's `Probabilities` as TorchScript, compared with the model at two sizes.

    Raises:
        RuntimeError: the results differ by more than `TOLERANCE`: this encoder cannot be traced.
    """
    network = Probabilities(model.cpu()).eval()
    images = [torch.from_numpy(test_image(*size)).float() / 255 for size in CHECKED_SIZES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the check below tells more than the tracer's warnings
        traced = torch.jit.trace(network, images[0], check_trace=False)
    for image in images:
        difference = float((traced(image) - network(image)).abs().max())
        if not difference <= TOLERANCE:
            raise RuntimeError(
                f"the TorchScript model differs from the segmenter by {difference:.2g}. Train with "
                "another encoder, such as resnet18."
            )
    return traced


def describe(
    options: BioimageOptions, class_names: Sequence[str], files: Mapping[str, str]
) -> dict:
    """Content of `rdf.yaml`.

    Args:
        files: SHA-256 by name, of the files that it names.
    """

    def file(name):
        return {"source": name, "sha256": files[name]}

    return {
        "format_version": FORMAT_VERSION,
        "type": "model",
        "name": options.name,
        "description": f"A U-Net that tells {len(class_names)} classes in electron micrographs.",
        "authors": [{"name": name} for name in options.authors],
        "cite": [{"text": "Ronneberger et al. 2015, U-Net", "doi": "10.48550/arXiv.1505.04597"}],
        **({"license": options.licence} if options.licence else {}),
        "documentation": DOCUMENTATION,
        "tags": ["electron-microscopy", "semantic-segmentation", "2d", "unet", "pytorch"],
        "inputs": [_input_tensor(file(TEST_INPUT))],
        "outputs": [_output_tensor(file(TEST_OUTPUT), class_names)],
        "weights": {
            "torchscript": {**file(WEIGHTS), "pytorch_version": torch.__version__.split("+")[0]}
        },
    }


def _input_tensor(test_tensor: dict) -> dict:
    """Description of the image, whose sides are multiples of the network's factor."""
    size = {"min": SMALLEST, "step": SIZE_MULTIPLE}
    sides = [{"type": "space", "id": side, "size": size.copy()} for side in ("y", "x")]
    as_float = {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}
    scale = {"id": "scale_linear", "kwargs": {"gain": 1 / 255, "offset": 0.0}}
    return {
        "id": "image",
        "description": "a grey micrograph of 8 bits",
        "axes": [{"type": "batch"}, {"type": "channel", "channel_names": ["grey"]}, *sides],
        "data": {"type": "uint8"},
        "test_tensor": test_tensor,
        # First, or fractions would be cut; last, or readers turn them into 8 bits again.
        "preprocessing": [as_float, scale, as_float],
    }


def _output_tensor(test_tensor: dict, class_names: Sequence[str]) -> dict:
    """Description of the probabilities, which are as large as the image."""
    sides = [
        {"type": "space", "id": side, "size": {"tensor_id": "image", "axis_id": side}}
        for side in ("y", "x")
    ]
    channels = {"type": "channel", "channel_names": list(class_names)}
    return {
        "id": "probabilities",
        "description": "a probability for each class; they sum to 1",
        "axes": [{"type": "batch"}, channels, *sides],
        "data": {"type": "float32", "range": [0.0, 1.0]},
        "test_tensor": test_tensor,
    }


def write_package(
    folder: Path, model: nn.Module, options: BioimageOptions, checkpoint: Path
) -> None:
    """Write model, description, test tensors and documentation into a new folder, whole.

    Args:
        model: from `load_segmenter`.
        checkpoint: its file, for the documentation.
    Raises:
        OptionError, RuntimeError: as `BioimageOptions.names_of` and `trace`.
        OSError: the folder exists and is not empty, or cannot be written.
    """
    names = options.names_of(model.architecture["num_classes"])
    traced = trace(model)
    image = test_image(*CHECKED_SIZES[0])
    with torch.inference_mode():
        output = traced(torch.from_numpy(image).float() / 255).numpy()  # (1, C, H, W)
    with whole_folder(folder) as temporary:
        _save_script(traced, temporary / WEIGHTS)
        np.save(temporary / TEST_INPUT, image)
        np.save(temporary / TEST_OUTPUT, output)
        _write_documentation(temporary, model, options, names, checkpoint)
        files = {path.name: sha256_of(path) for path in temporary.iterdir()}
        text = yaml.safe_dump(describe(options, names, files), sort_keys=False, allow_unicode=True)
        (temporary / DESCRIPTION).write_text(text, encoding="utf-8")


def _save_script(traced, path):
    """Save TorchScript without torch's advice to prefer a format that bioimage.io lacks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.save(traced, path)


def _write_documentation(folder, model, options, names, checkpoint):
    """Write a card of the model, which is its documentation too."""
    scores = model.meta.get("val") or {}
    rows = [("mIoU", f"{scores['miou']:.4f}")] if "miou" in scores else []
    sections = {
        "What it is": f"A U-Net ({as_code(model.architecture['encoder'])}) from grey electron "
        f"micrographs to {len(names)} classes. Pixel size: "
        f"{pixel_size_of_segmenter(model) or UNKNOWN_SIZE}",
        "Classes": card_table(("index", "name"), list(enumerate(names))),
        "Scores on validation images": card_table(("score", "value"), rows),
        "Made from": card_table(("file", "SHA-256"), [(checkpoint.name, sha256_of(checkpoint))]),
        "Validation": "Segment images that you have labelled yourself, of your microscope and "
        "pixel size, and compare (for example by mIoU) before you rely on the result.",
        "Limits": "The network knows what its training images showed. It was trained for 8-bit "
        "images of one pixel size.",
        "Licence": licence_text(options.licence, "The training images may restrict it."),
    }
    metadata = {
        "license": (options.licence or "unknown").lower(),
        "pipeline_tag": "image-segmentation",
        "tags": ["electron-microscopy", "bioimage.io"],
    }
    write_card(folder / DOCUMENTATION, metadata, options.name, sections)
