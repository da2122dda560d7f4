"""Inception v3 as torchvision and as TensorFlow have it."""

from torch import nn
from torch.nn import functional as F
from torchvision.models import inception_v3
from torchvision.models.inception import BasicConv2d, InceptionE

TENSORFLOW_CLASSES = 1008  # of the 2015 graph
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
