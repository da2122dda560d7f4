"""The networks that turn images into features, with their published weights and what each expects as input."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import inception_v3, resnet50
from torchvision.models.inception import BasicConv2d, InceptionE

from core.checkpoints import load_pickle, load_state_dict
from core.downloads import WeightsFile, find_weights, sha256_of
from fid.images import Preprocessing

WEIGHTS_DIR = Path(__file__).resolve().parent / "weights"
DIMENSIONS = 2048  # of the features of every backbone here

CEM = {  # name -> weights, mean and standard deviation of the images they were trained on
    "cem500k": (
        WeightsFile(
            "cem500k_mocov2_resnet50_200ep.pth.tar",
            "https://zenodo.org/records/6453140/files/cem500k_mocov2_resnet50_200ep.pth.tar?download=1",
        ),
        (0.57287007, 0.12740536),
    ),
    "cem1.5m": (
        WeightsFile(
            "cem15m_swav_resnet50_200ep.pth.tar",
            "https://zenodo.org/records/6453160/files/cem15m_swav_resnet50_200ep.pth.tar?download=1",
        ),
        (0.575710, 0.127650),
    ),
}
# Prefixes of the backbone's names in a checkpoint; the first that is found counts. MoCo wraps it, SwAV is it.
PREFIXES = ("module.encoder_q.", "encoder_q.", "module.encoder.", "encoder.", "module.", "")
HEADS = ("fc.", "projection_head.", "prototypes.")  # what sits on a backbone during its training

TORCHVISION = WeightsFile(
    "inception_v3_google-0cc3c7bd.pth",
    "https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
    "0cc3c7bd",
    "BSD-3-Clause",
)
TENSORFLOW = WeightsFile(
    "pt_inception-2015-12-05-6726825d.pth",
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    "Apache-2.0",
)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
INCEPTION = {  # standard -> weights, text that names them, resize rule, mean, std
    "torchvision": (
        TORCHVISION,
        "Inception_V3_Weights.IMAGENET1K_V1",
        "pillow-bilinear",
        *IMAGENET,
    ),
    "clean-fid": (
        TENSORFLOW,
        "inception-2015-12-05 (TensorFlow port)",
        "pillow-bicubic",
        (128 / 255,) * 3,
        (128 / 255,) * 3,
    ),
    "pytorch-fid": (
        TENSORFLOW,
        "inception-2015-12-05 (TensorFlow port)",
        "torch-bilinear",
        (0.5,) * 3,
        (0.5,) * 3,
    ),
}


@dataclass(frozen=True)
class Backbone:
    """A network ready to turn images into features.

    Attributes:
        name: as results state it.
        network: (N, C, size, size) -> (N, 2048), in evaluation mode.
        preprocessing: from pixels to its input.
        weights: the file, or the published name of its content.
        sha256: of the weights file.
    """

    name: str
    network: nn.Module
    preprocessing: Preprocessing
    weights: str
    sha256: str
    device: torch.device

    @torch.inference_mode()
    def features(self, batch: torch.Tensor) -> np.ndarray:
        """Prepared images (N, C, size, size) -> float32 (N, 2048).

        Raises:
            ValueError: features that are not finite, so the weights are damaged.
        """
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            features = (
                self.network(batch.to(self.device, memory_format=torch.channels_last))
                .float()
                .cpu()
                .numpy()
            )
        if not np.isfinite(features).all():
            raise ValueError(
                f"{self.weights}: gives features that are not finite. The file is damaged or of another network."
            )
        return features

    def settings(self) -> dict:
        """What two scores must share to be comparable."""
        return {"backbone": self.name, "weights_sha256": self.sha256, **asdict(self.preprocessing)}


def load_cem(
    name: str,
    size: int = 224,
    weights_path: Path | None = None,
    download_dir: Path | None = None,
    device: torch.device | str = "cpu",
    option: str = "--weights-path",
) -> Backbone:
    """A ResNet-50 that was trained on electron micrographs without labels (Conrad & Narayan 2021, 2023).

    Args:
        name: `cem500k` (MoCo v2) or `cem1.5m` (SwAV); says which constants normalise when the file has no `norms`.
        weights_path: a checkpoint in either published layout, for example one of `fid/pretraining`.
        option: the script's name for it, for messages.
    Raises:
        FileNotFoundError, ValueError, OSError: see `find_weights` and `load_state_dict`.
        RuntimeError: the checkpoint is of another network.
    """
    file, norms = CEM[name]
    path = find_weights(file, weights_path, [WEIGHTS_DIR], download_dir, option)
    network = grey_resnet50()
    network.fc = nn.Identity()
    _load(network, path, _cem_state_dict(path))
    mean, std = _norms(path) or norms
    return _ready(
        name,
        network,
        Preprocessing(size, "pillow-bilinear", True, (mean,), (std,)),
        str(path),
        path,
        device,
    )


def grey_resnet50() -> nn.Module:
    """torchvision's ResNet-50 with one input channel.

    The SwAV variant pads by 1 before a stem that pads by 2; together that is this stem's padding of 3. Untrained, its residual blocks
    add nothing yet (Goyal et al. 2017): with few images and steps it does not learn otherwise (README.md).
    """
    network = resnet50(zero_init_residual=True)
    network.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    return network


def _cem_state_dict(path):
    """The backbone's tensors of a checkpoint by torchvision's names, without the heads."""
    tensors = load_state_dict(path)
    prefix = next(prefix for prefix in PREFIXES if any(key.startswith(prefix) for key in tensors))
    tensors = {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }
    return {key: value for key, value in tensors.items() if not key.startswith(HEADS)}


def _norms(path):
    """(mean, std) that a checkpoint carries, or None."""
    content = load_pickle(path, "cpu") if path.suffix != ".safetensors" else {}
    norms = content.get("norms")
    if norms is None:
        return None
    numbers = (
        list(norms.values() if isinstance(norms, dict) else norms)
        if isinstance(norms, dict | list | tuple)
        else []
    )
    if (
        len(numbers) != 2
        or not all(isinstance(x, float | int) and math.isfinite(x) for x in numbers)
        or numbers[1] <= 0
    ):
        raise ValueError(
            f"{path}: `norms` is {norms!r}, expected mean and standard deviation in [0, 1] units"
        )
    return tuple(map(float, numbers))


def load_inception(
    standard: str,
    size: int = 299,
    weights_path: Path | None = None,
    download_dir: Path | None = None,
    device: torch.device | str = "cpu",
) -> Backbone:
    """Inception v3 by one of the standards of `INCEPTION`.

    `torchvision` is what the published script used. `clean-fid` and `pytorch-fid` share the weights that published FIDs rest on
    and differ in resizing: with antialiasing (Parmar et al. 2022) and without.

    Raises:
        as `load_cem`.
    """
    file, published_name, resize, mean, std = INCEPTION[standard]
    path = find_weights(
        file, weights_path, [WEIGHTS_DIR, Path(torch.hub.get_dir()) / "checkpoints"], download_dir
    )
    network = (
        inception_v3(init_weights=False, aux_logits=False)
        if standard == "torchvision"
        else tensorflow_inception()
    )
    network.fc = nn.Identity()
    _load(
        network,
        path,
        {
            key: value
            for key, value in load_state_dict(path).items()
            if not key.startswith(("fc.", "AuxLogits."))
        },
    )
    weights = str(path) if weights_path else published_name
    return _ready(
        "inception_v3",
        network,
        Preprocessing(size, resize, False, mean, std),
        weights,
        path,
        device,
    )


class _UnpaddedPool(BasicConv2d):
    """The 1x1 convolution behind a 3x3 mean. TensorFlow's mean leaves the padding out of its count, torchvision's does not."""

    def forward(self, x):
        counted = F.avg_pool2d(x.new_ones(1, 1, *x.shape[2:]), kernel_size=3, stride=1, padding=1)
        return super().forward(x / counted)


class _MaxPooled(InceptionE):
    """The last block of the TensorFlow graph: maximum instead of mean in its pooling branch."""

    def _forward(self, x):
        return [
            *super()._forward(x)[:-1],
            self.branch_pool(F.max_pool2d(x, kernel_size=3, stride=1, padding=1)),
        ]


def tensorflow_inception() -> nn.Module:
    """The Inception v3 of 2015 that the first FID used (Heusel et al. 2017), with torchvision's names; its classes are 1008."""
    network = inception_v3(num_classes=1008, init_weights=False, aux_logits=False)
    for name in (
        "Mixed_5b",
        "Mixed_5c",
        "Mixed_5d",
        "Mixed_6b",
        "Mixed_6c",
        "Mixed_6d",
        "Mixed_6e",
        "Mixed_7b",
    ):
        block = getattr(network, name)
        conv = block.branch_pool.conv
        block.branch_pool = _UnpaddedPool(conv.in_channels, conv.out_channels, kernel_size=1)
    network.Mixed_7c = _MaxPooled(2048)
    return network


def _load(network, path, tensors):
    """Give `network` exactly these tensors; raises RuntimeError naming what does not fit."""
    own = network.state_dict()
    missing, unexpected = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    shapes = [f"{key} {tuple(tensors[key].shape)} instead of {tuple(own[key].shape)}" for key in own.keys() & tensors.keys()
              if own[key].shape != tensors[key].shape]  # fmt: skip
    if missing or unexpected or shapes:
        raise RuntimeError(
            f"{path}: a checkpoint of another network; {len(missing)} tensors missing {missing[:2]}, {len(unexpected)} left over "
            f"{unexpected[:2]}, {len(shapes)} of another shape {shapes[:1]}. Check --weights-path."
        )
    network.load_state_dict(tensors)


def _ready(name, network, preprocessing, weights, path, device):
    network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
    return Backbone(name, network, preprocessing, weights, sha256_of(path), torch.device(device))
