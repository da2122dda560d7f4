"""The registry of backbones: adding one is an entry in a file here and its name in `BACKBONES`."""

from pathlib import Path

from fid.backbones.base import PublishedBackbone
from fid.backbones.cem import CEM1_5M, CEM500K
from fid.backbones.inception import CLEAN_FID, PYTORCH_FID, TORCHVISION

BACKBONES = {
    backbone.name: backbone for backbone in (CEM500K, CEM1_5M, TORCHVISION, CLEAN_FID, PYTORCH_FID)
}
CEM = (CEM500K.name, CEM1_5M.name)  # trained on electron micrographs
INCEPTION = (TORCHVISION.name, CLEAN_FID.name, PYTORCH_FID.name)  # trained on photographs
WEIGHTS_DIR = Path(__file__).resolve().parents[1] / "weights"

__all__ = ["BACKBONES", "CEM", "INCEPTION", "WEIGHTS_DIR", "PublishedBackbone"]
