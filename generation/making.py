"""Load the model, draw the images that a run lacks, complete the run's folder."""

import shlex
from collections.abc import Mapping, Sequence

from cldm.parts_in_turn import PartsInTurn
from cldm.speed import speed_up_drawing
from conditions.pairs import notify_of_ignored
from core.imaging.pairing import MANIFEST
from core.notices import report
from generation.drawing.gate import Gate
from generation.drawing.loop import Painter, draw_images
from generation.drawing.model import drop_encoders, load_model
from generation.drawing.watched_weights import WatchedWeights
from generation.folder.manifest import read_manifest
from generation.run import Run
from generation.settings import Settings
from microscope.grain import Grain


def resume_command(run: Run, settings: Settings) -> str:
    """The command line that makes the rest of a run."""
    # With the options of the export, because a resumed run does not take them over.
    words = ["python", "generate.py", "--resume_run", run.folder, *settings.exporting_words]
    return shlex.join(map(str, words))


def make_images(
    run: Run,
    weights: WatchedWeights,
    pending: Sequence[int],
    settings: Settings,
    sizes: Mapping[int, tuple[int, int]],
    multiple: int,
    gate: Gate | None = None,
    grain: Grain | None = None,
) -> None:
    """Draw what is missing; at the end, whatever happens, complete the run's folder.

    Warns where the gate marks all pixels of a mask.

    Args:
        weights: files and checksums of the run's branches.
        pending: numbers of the images to draw.
        sizes, multiple, gate, grain: see `draw_images` and `Painter`.
    Raises:
        RuntimeError: weights have changed meanwhile, or as `draw_images`.
        FileNotFoundError, ValueError, KeyboardInterrupt: see `load_model`, `Run.open` and
            `draw_images`.
    """
    if pending:  # beside the model: the run is not opened, nor an image drawn, without checksums
        weights.start_reading()
    # First the model, which can fail: no folder is left behind then.
    model = load_model(settings.model, run.branches) if pending else None
    weights.require_unchanged()
    run.open()
    report(f"run folder: {run.folder}, seed {run.seed}")
    try:
        if pending:
            drawing = settings.drawing
            texts = {run.plan[number].prompt for number in pending}
            from_images = bool(settings.start.encode_ratio)
            drop_encoders(model, texts, from_images, settings.model.precision)
            # Parts that are moved to the GPU and back leave the memory that a graph reads.
            graphs = drawing.cuda_graphs and not drawing.save_memory
            speed_up_drawing(model, settings.model.compile, graphs)
            painter = Painter(
                PartsInTurn(model) if drawing.save_memory else model,
                settings.sampling,
                multiple,
                settings.model.precision,
                grain,
            )
            draw_images(run, pending, sizes, painter, drawing.batch_size_per_inference, gate)
    finally:
        # After an error or a signal too: a part of a set has its manifest and report.
        changed = weights.changed_in_place()
        done = run.finish(changed)
        if done < len(run.plan):
            command = resume_command(run, settings)
            report(f"\n{done} of {len(run.plan)} images are there; to make the rest: {command}")
    if gate:
        lines = read_manifest(run.folder)
        ignored = [line["mask"] for line in lines if line["ignored_share"] == 1]
        notify_of_ignored([run.folder / mask for mask in ignored], done)
    if changed:
        raise RuntimeError(
            f"{changed[0]}: was overwritten while images were drawn, so these may be wrong. "
            f"{MANIFEST} marks them. Put the file back; --resume_run then makes them again."
        )
