"""The segmenter: a small U-Net from grey images to classes, and its checkpoint."""

import math
import re
from pathlib import Path

import segmentation_models_pytorch as smp
import torch

from core.files import refuse_existing, whole_file
from segmentation.data import reflect_to

FORMAT = "em_segmenter_v1"  # names the checkpoint's layout, so that another .ckpt is told apart
ENCODER = "tu-mobilenetv3_small_100"  # for phantoms; on real EM it misses mitochondria that resnet18 finds
DECODER_CHANNELS = (48, 24, 16, 8)  # deep to shallow; as many as the encoder has levels
SIZE_MULTIPLE = 32  # pixels; what a network of five levels needs, ours has four


def build_segmenter(num_classes: int, encoder: str = ENCODER) -> torch.nn.Module:
    """An untrained U-Net from one grey channel to `num_classes` logits; any image size that divides by 32.

    Raises:
        ValueError: segmentation-models-pytorch has no encoder of that name.
    """
    if encoder not in smp.encoders.get_encoder_names() and not re.fullmatch(
        r"tu-\w+", encoder
    ):  # nothing that timm would download
        raise ValueError(
            f"--encoder {encoder}: not an encoder of segmentation-models-pytorch, try resnet18 or {ENCODER}"
        )
    depth = len(DECODER_CHANNELS)
    model = smp.Unet(
        encoder,
        depth,
        encoder_weights=None,
        decoder_channels=DECODER_CHANNELS,
        in_channels=1,
        classes=num_classes,
    )
    model.architecture = {"encoder": encoder, "num_classes": num_classes}
    return model.to(memory_format=torch.channels_last)


def save_segmenter(
    path: str | Path, model: torch.nn.Module, meta: dict, overwrite: bool = False
) -> None:
    """Write weights, architecture and `meta` (plain numbers, texts, lists and dicts: it must load without a pickle's code).

    Raises:
        FileExistsError: `path` exists and `overwrite` is false.
    """
    refuse_existing(path, overwrite)
    weights = {key: value.cpu() for key, value in model.state_dict().items()}
    with whole_file(path) as temporary:
        torch.save(
            {
                "format": FORMAT,
                "architecture": model.architecture,
                "state_dict": weights,
                "meta": meta,
            },
            temporary,
        )


def load_segmenter(path: str | Path, device: str | torch.device = "cpu") -> torch.nn.Module:
    """The model that `save_segmenter` wrote, in evaluation mode, its `meta` as attribute.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is damaged or no segmenter.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["format"] != FORMAT:
            raise ValueError("another format")
        model = build_segmenter(**content["architecture"])
        model.load_state_dict(content["state_dict"])
        model.meta = content["meta"]
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except Exception as error:  # torch's reader meets garbage with any kind of exception
        raise ValueError(
            f"{path}: damaged, or no segmenter. Give a checkpoint that `train_segmenter.py train` wrote."
        ) from error
    return model.to(device).eval()


@torch.inference_mode()
def predict(model: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    """Class indices, int64 (H, W), of one grey image (1, H, W) in [0, 1] of any size; the model is put in evaluation mode."""
    height, width = image.shape[-2:]
    device = next(model.parameters()).device
    padded = reflect_to(
        image[None].to(device),
        *(math.ceil(n / SIZE_MULTIPLE) * SIZE_MULTIPLE for n in (height, width)),
    )
    logits = model.eval()(
        padded.contiguous(memory_format=torch.channels_last)
    )  # (1, classes, H', W')
    return logits.argmax(dim=1)[0, :height, :width].cpu()
