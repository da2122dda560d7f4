"""Inception v3, trained on photographs, by the three standards of published FIDs."""

from functools import partial

from torch import nn
from torch.nn import functional as F
from torchvision.models import inception_v3
from torchvision.models.inception import BasicConv2d, InceptionE

from core.downloads import WeightsFile
from fid.backbones.base import PublishedBackbone, tensors_without
from fid.images import Preprocessing

INCEPTION_WIDTH = 2048  # channels of its last block
TENSORFLOW_CLASSES = 1008  # of the 2015 graph
HEADS = ("fc.", "AuxLogits.")
# Blocks of the TensorFlow graph that average in their pooling branch.
AVERAGING_BLOCKS = (
    "Mixed_5b",
    "Mixed_5c",
    "Mixed_5d",
    "Mixed_6b",
    "Mixed_6c",
    "Mixed_6d",
    "Mixed_6e",
    "Mixed_7b",
)
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


class _UnpaddedPool(BasicConv2d):
    """The 1x1 convolution behind a 3x3 mean, corrected at the edges.

    TensorFlow's mean leaves the padding out of its count, torchvision's does not.
    """

    def forward(self, x):
        """(N, C_in, H, W), averaged with padding -> (N, C_out, H, W)."""
        ones = x.new_ones(1, 1, *x.shape[2:])  # (1, 1, H, W)
        inside = F.avg_pool2d(ones, kernel_size=3, stride=1, padding=1)  # (1, 1, H, W)
        return super().forward(x / inside)  # (N, C_out, H, W)


class _MaxPooled(InceptionE):
    """The last block of the TensorFlow graph: a maximum, no mean, in its pooling branch."""

    def _forward(self, x):
        """(N, 2048, H, W) -> four maps of (N, 320 or 768 or 192, H, W), to be joined by channel."""
        *others, _ = super()._forward(x)
        pooled = F.max_pool2d(x, kernel_size=3, stride=1, padding=1)  # (N, 2048, H, W)
        return [*others, self.branch_pool(pooled)]  # the last one (N, 192, H, W)


def tensorflow_inception() -> nn.Module:
    """The Inception v3 of the first FID (Heusel et al. 2017), with torchvision's names."""
    network = inception_v3(num_classes=TENSORFLOW_CLASSES, init_weights=False, aux_logits=False)
    for name in AVERAGING_BLOCKS:
        block = getattr(network, name)
        conv = block.branch_pool.conv
        block.branch_pool = _UnpaddedPool(conv.in_channels, conv.out_channels, kernel_size=1)
    network.Mixed_7c = _MaxPooled(2048)
    return network


def headless_tensorflow_inception() -> nn.Module:
    """`tensorflow_inception` up to its pooled features, (N, 3, size, size) -> (N, 2048)."""
    network = tensorflow_inception()
    network.fc = nn.Identity()
    return network


def headless_torchvision_inception() -> nn.Module:
    """torchvision's Inception v3 up to its pooled features, (N, 3, size, size) -> (N, 2048)."""
    network = inception_v3(init_weights=False, aux_logits=False)
    network.fc = nn.Identity()
    return network


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
    headless_torchvision_inception,
    "pillow-bilinear",
    mean=(0.485, 0.456, 0.406),  # of ImageNet, as the published script has it: these weights were
    std=(0.229, 0.224, 0.225),  # trained on pixels in [-1, 1]
)
CLEAN_FID = _published(
    "clean-fid",
    "the weights of published FIDs, resized with antialiasing (Parmar et al. 2022)",
    TENSORFLOW_FILE,
    "inception-2015-12-05 (TensorFlow port)",
    headless_tensorflow_inception,
    "pillow-bicubic",
    mean=128 / 255,
    std=128 / 255,
)
PYTORCH_FID = _published(
    "pytorch-fid",
    "the same weights, resized without antialiasing",
    TENSORFLOW_FILE,
    "inception-2015-12-05 (TensorFlow port)",
    headless_tensorflow_inception,
    "torch-bilinear",
    mean=0.5,
    std=0.5,
)
