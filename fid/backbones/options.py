"""Options of the network that turns images into features."""

from dataclasses import dataclass
from pathlib import Path

from core.command_line.options import option, positive_int
from core.hardware.device_options import DeviceOptions
from fid.backbones import BACKBONES, CEM, INCEPTION


def _explain(names) -> str:
    """Help on backbones by name."""
    return "; ".join(f"{name}: {BACKBONES[name].about}" for name in names)


@dataclass(frozen=True)
class BackboneOptions(DeviceOptions):
    """The network that turns images into features, and where its weights are."""

    network: str = option("cem500k", help=_explain(BACKBONES), choices=tuple(BACKBONES))
    weights_path: Path | None = option(
        None,
        Path,
        "FILE",
        "weights to use; looked for in fid/weights, then downloaded, when not given",
    )
    download_dir: Path | None = option(
        None,
        Path,
        "DIR",
        "where weights are looked for last and downloaded to; fid/weights when not given",
    )
    image_size: int | None = option(
        None,
        positive_int,
        "PIXELS",
        "height and width that images are resized to; None is the network's own",
    )


@dataclass(frozen=True)
class CemOptions(BackboneOptions):
    """`BackboneOptions` whose network was trained on electron micrographs."""

    network: str = option("cem500k", help=_explain(CEM), choices=CEM)


@dataclass(frozen=True)
class InceptionOptions(BackboneOptions):
    """`BackboneOptions` whose network was trained on photographs."""

    network: str = option("torchvision", help=_explain(INCEPTION), choices=INCEPTION)
