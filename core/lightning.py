"""What all Lightning trainings share: precisions, and checkpoints that are whole and safe."""

from pathlib import Path

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from core.checkpoints import load_pickle, save_weights, subset
from core.files import whole_file

PRECISIONS = {
    "16": "16-mixed",
    "32": "32-true",
    "bf16": "bf16-mixed",
}  # --precision -> Lightning's name
LAST = "last.ckpt"  # everything that a run needs to go on


class WholeFileIO(TorchCheckpointIO):
    """How Lightning reads and writes checkpoints here: no half-written file, no code from a file.

    A name that ends in .safetensors gets the weights alone, without optimizer and position.

    Args:
        kept: beginnings of the tensors' names that go into a .safetensors file.
    """

    def __init__(self, kept: tuple[str, ...] = ("",)):
        super().__init__()
        self.kept = kept

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        """Write `checkpoint` to `path`; raises OSError where the disk is full."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".safetensors":
            save_weights(subset(checkpoint["state_dict"], self.kept), path)
            return
        with whole_file(path) as temporary:
            try:
                torch.save(checkpoint, temporary)
            except RuntimeError as error:  # how torch reports a full disk
                reason = str(error).splitlines()[0]
                raise OSError(
                    f"{path}: could not be written ({reason}). Is the disk full?"
                ) from error

    def load_checkpoint(self, path, map_location="cpu", weights_only=True):
        """Content of a checkpoint, tensors on the CPU; raises as `load_pickle`."""
        # Whatever Lightning asks for: on the GPU the weights would be in memory twice for a while.
        return load_pickle(Path(path), "cpu")


def position(checkpoint: dict) -> tuple[int, int]:
    """(epoch, batches done in it) that a full checkpoint goes on from."""
    # Lightning's own counters. "ready" counts epochs that began, "processed" those that ended.
    loops = checkpoint["loops"]["fit_loop"]
    epochs, batches = loops["epoch_progress"]["current"], loops["epoch_loop.batch_progress"]
    if batches["is_last_batch"]:
        return epochs["ready"], 0
    return epochs["processed"], batches["current"]["processed"]
