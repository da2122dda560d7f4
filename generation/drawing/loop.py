"""The loop of a generation: conditions are read, images drawn, files written in the background."""

import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from tqdm import tqdm

from cldm.options import SamplingOptions
from cldm.sampling import NotFiniteError, Start, sample_images
from core.hardware.devices import mixed_precision
from core.imaging.pairing import IMAGES
from core.signals import StoppedForRequeue, StopRequest
from generation.drawing.gate import Gate, pass_gate
from generation.drawing.grain import add_grain
from generation.drawing.writer import BackgroundWriter
from generation.folder.run_folder import lock_images
from generation.names import image_name
from generation.planning.branches import labels_of
from generation.planning.inputs import read_hints, stack_hints
from generation.planning.plan import PlannedImage, make_batches
from generation.planning.start import read_start
from generation.run import Run
from microscope.grain import Grain


@dataclass(frozen=True)
class Painter:
    """A loaded model, and how it draws.

    Attributes:
        model: as `load_model` gives it, or its `PartsInTurn`.
        multiple: what the model's heights and widths must be multiples of.
        precision: one of `core.hardware.devices.PRECISIONS`.
        grain: added to each image; None for none.
    """

    model: torch.nn.Module
    sampling: SamplingOptions
    multiple: int
    precision: str = "32"
    grain: Grain | None = None

    def draw(
        self, batch: Sequence[PlannedImage], hints: Sequence[Sequence[np.ndarray]]
    ) -> np.ndarray:
        """Images of a batch, uint8 (N, H, W, 3); H and W are padded to multiples of `multiple`.

        All of the batch begin with noise, or all with their real images and one ratio.

        Args:
            hints: as `stack_hints` takes them.
        Raises:
            NotFiniteError: an image has values that are NaN or infinite.
        """
        with mixed_precision(self.model.device.type, self.precision):
            return sample_images(
                self.model,
                stack_hints(hints, self.multiple),
                [planned.prompt for planned in batch],
                [planned.seed for planned in batch],
                self.sampling,
                start=self._start(batch),
                blends=[planned.blend for planned in batch] if batch[0].blend else None,
                finish=self.grain and partial(add_grain, self.grain),
            )

    def _start(self, batch: Sequence[PlannedImage]) -> Start | None:
        """Real images that the batch begins with; None for noise."""
        ratio = batch[0].encode_ratio
        if ratio == 1:
            return None
        images = [[read_start(planned.conditions)] for planned in batch]
        (pictures,) = stack_hints(images, self.multiple)  # (N, 3, H, W) in [0, 1]
        return Start(2 * pictures - 1, ratio)


def draw_images(
    run: Run,
    numbers: Sequence[int],
    sizes: Mapping[int, tuple[int, int]],
    painter: Painter,
    batch_size: int,
    gate: Gate | None = None,
) -> None:
    """Draw images of a run and write their files.

    Args:
        numbers: of the images in the plan.
        sizes: (height, width) by number of the condition set.
        batch_size: images drawn together.
        gate: judges them.
    Raises:
        KeyboardInterrupt: a scheduler asked the process to stop. The batch at hand was finished,
            and images are missing.
        RuntimeError: an image has values that are NaN or infinite. Nothing of its batch is written;
            what was drawn before is.
    """
    # Samples are made one by one as batches need them, however long the plan is.
    batches = make_batches((run.plan[k] for k in numbers), sizes, batch_size)
    start = time.monotonic()
    with (
        lock_images(run.folder),
        StopRequest() as stop,
        BackgroundWriter() as writer,
        tqdm(total=len(numbers), desc="generate", unit="image") as bar,
    ):
        for batch in batches:
            # Read again, though they were checked: hints of 10,000 conditions fill no memory then.
            hints = [read_hints(planned.conditions, run.branches) for planned in batch]
            labels = [labels_of(own_hints, run.branches) for own_hints in hints]
            draw = partial(_draw_cropped, run, painter, hints)
            for drawn, own_hints in zip(pass_gate(batch, labels, draw, gate), hints, strict=True):
                writer.submit(partial(run.write_files, drawn, own_hints), run.note)
            bar.update(len(batch))
            bar.set_postfix_str(f"{60 * bar.n / (time.monotonic() - start):.1f} images/min")
            if stop:  # after a whole batch, because the scheduler leaves time for it
                break
    if bar.n < len(numbers):
        # Slurm sends SIGUSR1 before the time is over; the job is put into the queue again then.
        raise StoppedForRequeue if stop.received == signal.SIGUSR1 else KeyboardInterrupt


def _draw_cropped(
    run: Run,
    painter: Painter,
    hints: Sequence[Sequence[np.ndarray]],
    places: Sequence[int],
    batch: Sequence[PlannedImage],
) -> list[np.ndarray]:
    """Pictures of a batch without their padding, uint8 (H, W, 3) each.

    Args:
        places: of the images of `batch` in `hints`.
    Raises:
        RuntimeError: a picture has values that are NaN or infinite.
    """
    own_hints = [hints[place] for place in places]
    try:
        pictures = painter.draw(batch, own_hints)  # uint8 (N, H', W', 3)
    except NotFiniteError as error:
        path = run.folder / IMAGES / image_name(batch[error.index].ending)
        raise RuntimeError(
            f"{path}: not written, because its values are NaN or infinite. Start a new run "
            "with a lower --scale or --strength, or with --precision 32."
        ) from error
    height, width = own_hints[0][0].shape[:2]  # the same for all of a batch
    return [picture[:height, :width] for picture in pictures]
