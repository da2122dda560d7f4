"""ResNet-50s trained on electron micrographs without labels (Conrad & Narayan 2021, 2023)."""

from core.deferred import Deferred
from core.fetching.downloads import WeightsFile
from fid.backbones.base import PublishedBackbone
from fid.preprocessing import Preprocessing

RESNET50_WIDTH = 2048  # channels of its last block


def _published(name: str, about: str, weights: WeightsFile, mean: float, std: float):
    """The entry of a network that differs from its sibling in its training alone."""
    return PublishedBackbone(
        name=name,
        about=about,
        weights=weights,
        build=Deferred("fid.backbones.resnet50:headless_resnet50"),
        read=Deferred("fid.backbones.resnet50:read_tensors"),
        preprocessing=Preprocessing(224, "pillow-bilinear", True, (mean,), (std,)),
        width=RESNET50_WIDTH,
        read_norms=Deferred("fid.backbones.resnet50:read_norms"),
    )


CEM500K = _published(
    "cem500k",
    "ResNet-50, MoCo v2 on CEM500K",
    WeightsFile(
        "cem500k_mocov2_resnet50_200ep.pth.tar",
        "https://zenodo.org/records/6453140/files/cem500k_mocov2_resnet50_200ep.pth.tar?download=1",
    ),
    mean=0.57287007,
    std=0.12740536,
)
CEM1_5M = _published(
    "cem1.5m",
    "ResNet-50, SwAV on CEM1.5M",
    WeightsFile(
        "cem15m_swav_resnet50_200ep.pth.tar",
        "https://zenodo.org/records/6453160/files/cem15m_swav_resnet50_200ep.pth.tar?download=1",
    ),
    mean=0.575710,
    std=0.127650,
)
