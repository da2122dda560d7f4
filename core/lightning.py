"""Parts of all Lightning trainings: checkpoints, precision and the end after a signal."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.plugins.io import TorchCheckpointIO

from core.hardware.devices import PRECISIONS
from core.recording.run_files import DAMAGED, LAST, PREVIOUS
from core.signals import StoppedForRequeue
from core.weights.checkpoints import save_torch, save_weights, subset
from core.weights.torch_files import load_pickle

RESTORED_WITHIN = 600  # seconds that processes wait for the one that restores `LAST`

Notes = Callable[[Mapping[str, torch.Tensor]], dict[str, str]]


def no_notes(tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """No texts for a .safetensors file, whatever its tensors are."""
    return {}


class WholeFileIO(TorchCheckpointIO):
    """Lightning's reader and writer of checkpoints: no half-written file, no code from a file.

    A name that ends in .safetensors gets the weights alone, without optimizer and position. Beside
    `LAST`, the one before is kept as `PREVIOUS`.

    Args:
        kept: beginnings of the tensors' names that go into a .safetensors file.
        notes: function from all tensors by name to texts by name for such a file; `step` is added.
    """

    def __init__(self, kept: tuple[str, ...] = ("",), notes: Notes = no_notes):
        super().__init__()
        self.kept, self.notes = kept, notes

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        """Write a checkpoint; raises OSError as `save_torch`."""
        path = Path(path)
        if path.suffix == ".safetensors":
            tensors = checkpoint["state_dict"]
            notes = {**self.notes(tensors), "step": str(checkpoint["global_step"])}
            save_weights(subset(tensors, self.kept), path, notes)
            return
        if path.name == LAST and path.exists():
            _keep_as_previous(path)
        save_torch(checkpoint, path)

    def load_checkpoint(self, path, map_location="cpu", weights_only=True):
        """Content of a checkpoint; raises ValueError as `load_pickle`.

        Lightning's arguments are not used: tensors always come to the CPU, from where the model
        takes them, and no code of the file ever runs.
        """
        return load_pickle(Path(path), "cpu")


def _keep_as_previous(last: Path) -> None:
    """Give `LAST` the name `PREVIOUS` as well; when the next one takes its name, that stays."""
    # A second name needs no space and no time. File systems that have none keep one checkpoint.
    _name_too(last, PREVIOUS)


def _name_too(path: Path, name: str) -> None:
    """Give a file another name beside its own; nothing on file systems that have no links."""
    temporary = path.with_name(f".{name}.tmp.ckpt")
    with suppress(OSError):
        temporary.unlink(missing_ok=True)
        os.link(path, temporary)
        os.replace(temporary, path.with_name(name))


def read_last(folder: Path) -> tuple[dict, str | None]:
    """The checkpoint to go on from: `PREVIOUS` where `LAST` is missing or damaged.

    Returns:
        Its content, and what is wrong with `LAST`; None where that is sound.
    Raises:
        FileNotFoundError: neither is there.
        ValueError: both are damaged, or `LAST` is and there is no other.
    """
    last, previous = folder / LAST, folder / PREVIOUS
    try:
        if not last.is_file():
            raise FileNotFoundError(f"{last}: not there")
        return load_pickle(last, "cpu"), None  # compares the checksums
    except (FileNotFoundError, ValueError) as error:
        if not previous.is_file():
            raise
        try:
            return load_pickle(previous, "cpu"), str(error)
        except ValueError as second:
            raise ValueError(
                f"{last} and {previous}: both are missing or damaged ({second}). Copy one of them "
                "back, or start a new run from other weights of this folder."
            ) from error


def restore_last(folder: Path) -> str | None:
    """Put `PREVIOUS` in the place of `LAST` where that is missing or damaged.

    The damaged file is kept as `DAMAGED`.

    Returns:
        What was done, in a line; None where `LAST` is sound.
    Raises:
        FileNotFoundError, ValueError: as `read_last`.
    """
    checkpoint, flaw = read_last(folder)
    if flaw is None:
        return None
    last = folder / LAST
    if last.exists():
        _name_too(last, DAMAGED)
    os.replace(folder / PREVIOUS, last)  # in one step: other processes look for it
    return f"{flaw} Going on from the one before, of step {checkpoint['global_step']:,}."


def wait_for_last(folder: Path, seconds: float = RESTORED_WITHIN) -> None:
    """Wait until `LAST` is sound, in processes beside the one that calls `restore_last`.

    Raises:
        FileNotFoundError, ValueError: as `restore_last`; or `LAST` stays damaged for so long.
    """
    end = time.monotonic() + seconds
    while True:
        # Asked first: where it is gone afterwards, it has taken the place of `LAST` meanwhile.
        hopeless = not (folder / PREVIOUS).is_file() or time.monotonic() > end
        try:
            load_pickle(folder / LAST, "cpu")
            return
        except (FileNotFoundError, ValueError):
            if hopeless:
                raise
        time.sleep(1)


def gather_objects(trainer: Trainer, value: Any) -> list[Any]:
    """The values of all processes in their order, the same in each.

    As objects, since arrays of two processes may differ in length, and tensors must not.
    """
    if trainer.world_size == 1:
        return [value]
    values = [None] * trainer.world_size
    torch.distributed.all_gather_object(values, value)
    return values


def lightning_precision(precision: str) -> str:
    """Lightning's name for one of `PRECISIONS`; weights are always float32."""
    # TF32 is a way to multiply: `core.hardware.devices.float32_products` sets it around a training.
    return "32-true" if PRECISIONS[precision] == torch.float32 else f"{precision}-mixed"


def position(checkpoint: dict) -> tuple[int, int]:
    """(epoch, batches done in it) that a full checkpoint goes on from."""
    loops = checkpoint["loops"]["fit_loop"]
    epochs, batches = loops["epoch_progress"]["current"], loops["epoch_loop.batch_progress"]
    # After its last batch an epoch counts as `started`, perhaps not yet as `processed`, while the
    # next one may be `ready` already.
    if batches["is_last_batch"]:
        return epochs["started"], 0
    return epochs["processed"], batches["current"]["processed"]


@contextmanager
def stop_as_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt where Lightning ends the block after Ctrl-C or another signal.

    Lightning catches the KeyboardInterrupt, closes its loggers and raises SystemExit(1), which
    would read as a failure. A StoppedForRequeue stays one.
    """
    try:
        yield
    except SystemExit as end:
        requeue = isinstance(end.__context__, StoppedForRequeue)
        raise (StoppedForRequeue if requeue else KeyboardInterrupt) from end
