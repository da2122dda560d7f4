"""The options that choose a backbone, and the backbone with its weights."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch

from core.checkpoints import load_strictly
from core.device_options import device_option, pick_device
from core.downloads import find_weights
from core.files import sha256_of
from core.options import option, positive_int
from fid.backbones import BACKBONES, CEM, INCEPTION, Backbone

WEIGHTS_DIR = Path(__file__).resolve().parents[1] / "weights"


def _explain(names) -> str:
    """Help on backbones by name."""
    return "; ".join(f"{name}: {BACKBONES[name].about}" for name in names)


@dataclass(frozen=True)
class BackboneOptions:
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
    device: str = device_option()

    def check(self):
        """Raise OptionError for a device that is not there."""
        pick_device(self.device)


@dataclass(frozen=True)
class CemOptions(BackboneOptions):
    """`BackboneOptions` whose network was trained on electron micrographs."""

    network: str = option("cem500k", help=_explain(CEM), choices=CEM)


@dataclass(frozen=True)
class InceptionOptions(BackboneOptions):
    """`BackboneOptions` whose network was trained on photographs."""

    network: str = option("torchvision", help=_explain(INCEPTION), choices=INCEPTION)


def load_backbone(options: BackboneOptions, weights_option: str = "--weights-path") -> Backbone:
    """The backbone that `options` choose, with its weights, in evaluation mode.

    Args:
        weights_option: the script's name for `options.weights_path`, for messages.
    Raises:
        ValueError: the device is not there, or the file is no checkpoint (see `load_state_dict`).
        FileNotFoundError, OSError: the weights are not there; see `find_weights`.
        RuntimeError: the weights belong to another network.
    """
    # The device first: a wrong name should not cost a download.
    published, device = BACKBONES[options.network], pick_device(options.device)
    # The second folder is where torch.hub, and with it the published scripts, leave their
    # downloads.
    folders = [WEIGHTS_DIR, Path(torch.hub.get_dir()) / "checkpoints"]
    given, target = options.weights_path, options.download_dir
    path = find_weights(published.weights, weights_option, given, folders, target)
    network = published.build()
    tensors = {name: _own_memory(value) for name, value in published.read(path).items()}
    load_strictly(network, tensors, path)
    # Convolutions are faster where the channels come last in memory.
    network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
    preprocessing = published.preprocessing
    if norms := published.read_norms(path):  # a network trained on other images has others
        mean, std = norms
        preprocessing = dataclasses.replace(preprocessing, mean=(mean,), std=(std,))
    if options.image_size is not None:
        preprocessing = dataclasses.replace(preprocessing, size=options.image_size)
    return Backbone(
        name=published.result_name or published.name,
        network=network,
        preprocessing=preprocessing,
        width=published.width,
        # A user's own file is named; the published one goes by its content's name on all machines.
        weights=str(path) if given or not published.content else published.content,
        sha256=sha256_of(path),
        device=device,
    )


def _own_memory(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor as a network computes with it: float32, each number with a place of its own.

    A file may hold half precision, or one number that stands for a whole tensor.
    """
    return tensor.float().contiguous() if tensor.is_floating_point() else tensor.contiguous()
