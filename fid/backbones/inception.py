"""Inception v3, trained on photographs, by the three standards of published FIDs."""

from functools import partial

from core.deferred import Deferred
from core.fetching.downloads import WeightsFile
from fid.backbones.base import PublishedBackbone, tensors_without
from fid.preprocessing import Preprocessing

INCEPTION_WIDTH = 2048  # channels of its last block
HEADS = ("fc.", "AuxLogits.")
TORCHVISION_FILE = WeightsFile(
    "inception_v3_google-0cc3c7bd.pth",
    "https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth",
    "0cc3c7bd",
    "BSD-3-Clause",
)
TENSORFLOW_FILE = WeightsFile(
    "pt_inception-2015-12-05-6726825d.pth",
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    "Apache-2.0",
)


def _published(name, about, weights, content, build, resize, mean, std):
    """The entry of one standard; (mean, std) are three numbers each, or one for all channels."""
    mean, std = (x if isinstance(x, tuple) else (x,) * 3 for x in (mean, std))
    return PublishedBackbone(
        name=name,
        about=about,
        weights=weights,
        build=build,
        read=partial(tensors_without, HEADS),
        preprocessing=Preprocessing(299, resize, False, mean, std),
        width=INCEPTION_WIDTH,
        result_name="inception_v3",
        content=content,
    )


TORCHVISION = _published(
    "torchvision",
    "as the published script, comparable with nothing else",
    TORCHVISION_FILE,
    "Inception_V3_Weights.IMAGENET1K_V1",
    Deferred("fid.backbones.inception_network:headless_torchvision_inception"),
    "pillow-bilinear",
    mean=(0.485, 0.456, 0.406),  # of ImageNet, as the published script has it: these weights were
    std=(0.229, 0.224, 0.225),  # trained on pixels in [-1, 1]
)
CLEAN_FID = _published(
    "clean-fid",
    "the weights of published FIDs, resized with antialiasing (Parmar et al. 2022)",
    TENSORFLOW_FILE,
    "inception-2015-12-05 (TensorFlow port)",
    Deferred("fid.backbones.inception_network:headless_tensorflow_inception"),
    "pillow-bicubic",
    mean=128 / 255,
    std=128 / 255,
)
PYTORCH_FID = _published(
    "pytorch-fid",
    "the same weights, resized without antialiasing",
    TENSORFLOW_FILE,
    "inception-2015-12-05 (TensorFlow port)",
    Deferred("fid.backbones.inception_network:headless_tensorflow_inception"),
    "torch-bilinear",
    mean=0.5,
    std=0.5,
)
