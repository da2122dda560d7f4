"""Load the model, draw the images that a run lacks, complete the run's folder."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from cldm.configuration import size_multiple
from cldm.parts_in_turn import PartsInTurn
from cldm.speed import speed_up_drawing
from conditions.pairs import notify_of_ignored
from core.imaging.pairing import MANIFEST
from core.notices import report
from generation.drawing.loop import Painter, draw_images
from generation.drawing.model import drop_encoders, load_model
from generation.folder.manifest import read_manifest
from generation.preparing import Prepared
from generation.settings import Settings


def resume_command(run_dir: Path, exporting: Sequence) -> str:
    """The command line that makes the rest of a run.

    Args:
        exporting: words of the exports, because a resumed run does not take them over.
    """
    words = ["python", "generate.py", "--resume_run", run_dir, *exporting]
    return shlex.join(map(str, words))


def painter_of(model, prepared: Prepared, settings: Settings) -> Painter:
    """The loaded model without the parts that no image needs, ready to draw."""
    run, drawing, precision = prepared.run, settings.drawing, settings.model.precision
    texts = {run.plan[number].prompt for number in prepared.pending}
    drop_encoders(model, texts, bool(settings.start.encode_ratio), precision)
    # Parts that are moved to the GPU and back leave the memory that a graph reads.
    graphs = drawing.cuda_graphs and not drawing.save_memory
    speed_up_drawing(model, settings.model.compile, graphs)
    if drawing.save_memory:
        model = PartsInTurn(model)
    return Painter(model, settings.sampling, size_multiple(run.config), precision, prepared.grain)


def make_images(prepared: Prepared, settings: Settings) -> None:
    """Draw what is missing; at the end, whatever happens, complete the run's folder.

    Warns where the gate marks all pixels of a mask.

    Raises:
        RuntimeError: weights have changed meanwhile, or as `draw_images`.
        FileNotFoundError, ValueError, KeyboardInterrupt: see `load_model`, `Run.open` and
            `draw_images`.
    """
    run, weights, pending = prepared.run, prepared.weights, prepared.pending
    if pending:  # beside the model: the run is not opened, nor an image drawn, without checksums
        weights.start_reading()
    # First the model, which can fail: no folder is left behind then.
    model = load_model(settings.model, run.branches) if pending else None
    weights.require_unchanged()
    run.open()
    report(f"run folder: {run.folder}, seed {run.seed}")
    try:
        if pending:
            painter = painter_of(model, prepared, settings)
            batch_size = settings.drawing.batch_size_per_inference
            draw_images(run, pending, prepared.sizes, painter, batch_size, prepared.gate)
    finally:
        # After an error or a signal too: a part of a set has its manifest and report.
        changed = weights.changed_in_place()
        done = run.finish(changed)
        if done < len(run.plan):
            command = resume_command(run.folder, prepared.exports.words)
            report(f"\n{done} of {len(run.plan)} images are there; to make the rest: {command}")
    if prepared.gate:
        lines = read_manifest(run.folder)
        ignored = [line["mask"] for line in lines if line["ignored_share"] == 1]
        notify_of_ignored([run.folder / mask for mask in ignored], done)
    if changed:
        raise RuntimeError(
            f"{changed[0]}: was overwritten while images were drawn, so these may be wrong. "
            f"{MANIFEST} marks them. Put the file back; --resume_run then makes them again."
        )
