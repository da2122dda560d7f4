"""The segmenter: a small U-Net from grey images to classes, and its checkpoint."""

import math
import re
from pathlib import Path

import segmentation_models_pytorch as smp
import torch

from core.checkpoints import load_pickle, save_torch
from core.files import refuse_existing
from segmentation.data import reflect_to

FORMAT = "em_segmenter_v1"  # names the checkpoint's layout, which tells it from any other .ckpt
# Small and fast, enough for phantoms. Of real micrographs it misses mitochondria that resnet18
# finds.
ENCODER = "tu-mobilenetv3_small_100"
DECODER_CHANNELS = (48, 24, 16, 8)  # deep to shallow; as many as the encoder has levels
SIZE_MULTIPLE = 32  # pixels; what a network of five levels needs, ours has four


def build_segmenter(
    num_classes: int, encoder: str = ENCODER, option: str = "encoder"
) -> torch.nn.Module:
    """An untrained U-Net from one grey channel to `num_classes` logits.

    It maps (N, 1, H, W) to (N, num_classes, H, W); H and W are multiples of `SIZE_MULTIPLE`.

    Args:
        encoder: its name in segmentation-models-pytorch.
        option: the script's name for `encoder`, for messages.
    Raises:
        ValueError: segmentation-models-pytorch has no encoder of that name.
    """
    known = smp.encoders.get_encoder_names()
    # A timm name with a colon would be downloaded from a hub, so only plain names pass.
    if encoder not in known and not re.fullmatch(r"tu-\w+", encoder):
        raise ValueError(
            f"{option} {encoder}: not an encoder of segmentation-models-pytorch, "
            f"try resnet18 or {ENCODER}"
        )
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


@torch.inference_mode()
def predict(model: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    """Class indices of one image, int64 (H, W) on the CPU.

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
    return logits.argmax(dim=1)[0, :height, :width].cpu()  # (H, W)


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
        ValueError: the file is damaged or no segmenter.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such segmenter")
    try:
        content = load_pickle(path, "cpu")
        if content["format"] != FORMAT:
            raise ValueError("another format")
        # The file says which encoder it was trained with, so no option has to.
        model = build_segmenter(**content["architecture"])
        model.load_state_dict(content["state_dict"])
        model.meta = content["meta"]
    except Exception as error:  # another program's content may break any line above
        raise ValueError(
            f"{path}: damaged, or no segmenter. Expected a checkpoint in the layout {FORMAT}."
        ) from error
    return model.to(device).eval()
