"""The segmenter: a small U-Net from grey images to classes, and its checkpoint."""

import math
from pathlib import Path

import torch

from core.files import refuse_existing
from core.imaging.pixel_size import PixelSize, as_pixel_size
from core.weights.checkpoints import load_strictly, save_torch
from core.weights.torch_files import load_pickle
from core.weights.weights_in_use import note_weights
from segmentation.options import ENCODER, SIZE_MULTIPLE, check_encoder
from segmentation.reflection import reflect_to

# Functions import timm and segmentation-models-pytorch, which load for seconds: trainings and
# generations have a segmenter only when one is asked for.

FORMAT = "em_segmenter_v1"  # names the checkpoint's layout, which tells it from any other .ckpt
DECODER_CHANNELS = (48, 24, 16, 8)  # deep to shallow; as many as the encoder has levels


def build_segmenter(num_classes: int, encoder: str = ENCODER) -> torch.nn.Module:
    """An untrained U-Net from one grey channel to `num_classes` logits.

    It maps (N, 1, H, W) to (N, num_classes, H, W); H and W are multiples of `SIZE_MULTIPLE`.

    Args:
        encoder: its name in segmentation-models-pytorch.
    Raises:
        OptionError: as `check_encoder`.
    """
    import segmentation_models_pytorch as smp

    check_encoder(encoder)
    model = smp.Unet(
        encoder,
        len(DECODER_CHANNELS),
        encoder_weights=None,  # others would be downloaded
        decoder_channels=DECODER_CHANNELS,
        in_channels=1,
        classes=num_classes,
    )
    model.architecture = {"encoder": encoder, "num_classes": num_classes}
    return model.to(memory_format=torch.channels_last)  # the faster layout of convolutions


def predict(model: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    """Class indices of one image, int64 (H, W) on the CPU; arguments as in `predict_logits`."""
    return predict_logits(model, image).argmax(dim=0)  # (H, W)


@torch.inference_mode()
def predict_logits(model: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    """Logits of the classes of one image, (C, H, W) on the CPU.

    Args:
        model: put into evaluation mode.
        image: (1, H, W) in [0, 1], of any size.
    """
    height, width = image.shape[-2:]
    device = next(model.parameters()).device
    # Padded, not resized: the network was trained at the pixel size of the images.
    sides = (math.ceil(n / SIZE_MULTIPLE) * SIZE_MULTIPLE for n in (height, width))
    padded = reflect_to(image[None].to(device), *sides)  # (1, 1, H', W')
    logits = model.eval()(padded.contiguous(memory_format=torch.channels_last))  # (1, C, H', W')
    return logits[0, :, :height, :width].float().cpu()  # (C, H, W)


def predict_probabilities(model: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    """Probabilities of the classes of one image, (C, H, W): the mean over its turns and flips.

    A segmenter trained on all eight of them errs differently in each. Arguments as in
    `predict_logits`.
    """
    total = 0
    for turns in range(4):
        for flipped in (False, True):
            view = image.rot90(turns, (-2, -1))
            view = view.flip(-1) if flipped else view
            probabilities = predict_logits(model, view).softmax(dim=0)  # (C, H, W) or (C, W, H)
            probabilities = probabilities.flip(-1) if flipped else probabilities
            total = total + probabilities.rot90(-turns, (-2, -1))  # (C, H, W)
    return total / 8


def predict_turned(model: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    """As `predict`, by `predict_probabilities`."""
    return predict_probabilities(model, image).argmax(dim=0)  # (H, W)


def save_segmenter(
    path: str | Path, model: torch.nn.Module, meta: dict, overwrite: bool = False
) -> None:
    """Write weights, architecture and notes.

    Args:
        meta: notes; plain numbers, texts, lists and dictionaries, because the file must load
            without running a pickle's code.
    Raises:
        FileExistsError: `path` exists and `overwrite` is false.
    """
    refuse_existing(path, overwrite)
    content = {
        "format": FORMAT,
        "architecture": model.architecture,
        "state_dict": {key: value.cpu() for key, value in model.state_dict().items()},
        "meta": meta,
    }
    save_torch(content, path)


def load_segmenter(path: str | Path, device: str | torch.device = "cpu") -> torch.nn.Module:
    """The model that `save_segmenter` wrote, in evaluation mode, with its notes as `meta`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file cannot be read, is no segmenter, or names an unknown encoder.
        RuntimeError: its tensors do not fit the architecture that it names.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such segmenter")
    note_weights(path)
    content = load_pickle(path, "cpu")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path}: no segmenter. Expected a checkpoint in the layout {FORMAT}.")
    try:
        # The file says which encoder it was trained with, so no option has to.
        model = build_segmenter(**content["architecture"])
        tensors, model.meta = content["state_dict"], content["meta"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: a segmenter with a damaged description ({error})") from error
    load_strictly(model, tensors, path)
    return model.to(device).eval()


def pixel_size_of_segmenter(model: torch.nn.Module) -> PixelSize | None:
    """The pixel size of the images that a loaded segmenter was trained on; None where unknown."""
    return as_pixel_size(model.meta.get("pixel_size_nm"))
