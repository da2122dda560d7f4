"""What all Lightning trainings share: checkpoints, precision and the end after a signal."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytorch_lightning.plugins.io import TorchCheckpointIO
from pytorch_lightning.utilities import rank_zero_only

from core.checkpoints import load_pickle, save_torch, save_weights, subset

LAST = "last.ckpt"  # everything that a run needs to go on

print_once = rank_zero_only(print)  # in the first of several processes, so no line comes twice


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
        """Write a checkpoint; raises OSError as `save_torch`."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".safetensors":
            save_weights(subset(checkpoint["state_dict"], self.kept), path)
        else:
            save_torch(checkpoint, path)

    def load_checkpoint(self, path, map_location="cpu", weights_only=True):
        """Content of a checkpoint; raises ValueError as `load_pickle`.

        Lightning's arguments are not used: tensors always come to the CPU, from where the model
        takes them, and no code of the file ever runs.
        """
        return load_pickle(Path(path), "cpu")


def lightning_precision(precision: str) -> str:
    """Lightning's name for one of `core.devices.PRECISIONS`; weights are always float32."""
    return f"{precision}-{'true' if precision == '32' else 'mixed'}"


def position(checkpoint: dict) -> tuple[int, int]:
    """(epoch, batches done in it) that a full checkpoint goes on from."""
    loops = checkpoint["loops"]["fit_loop"]
    epochs, batches = loops["epoch_progress"]["current"], loops["epoch_loop.batch_progress"]
    # After the last batch the epoch counts as begun (`ready`), not yet as `processed`.
    if batches["is_last_batch"]:
        return epochs["ready"], 0
    return epochs["processed"], batches["current"]["processed"]


@contextmanager
def stop_as_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt where Lightning ends the block after Ctrl-C or another signal.

    Lightning catches the KeyboardInterrupt, closes its loggers and raises SystemExit(1), which
    would read as a failure.
    """
    try:
        yield
    except SystemExit as end:
        raise KeyboardInterrupt from end
