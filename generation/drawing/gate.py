"""The quality gate: pictures that miss their masks are drawn again, doubtful pixels are marked."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from core.files import sha256_of
from core.imaging.images import list_images
from core.seeds import sample_seed
from generation.drawn import Drawn
from generation.options import GateOptions
from generation.planning.plan import PlannedImage


@dataclass(frozen=True)
class Gate:
    """The options with the segmenter behind them.

    Attributes:
        agreement: (picture uint8 (H, W, 3), labels (H, W)) -> number in [0, 1].
        doubtful: the same arguments -> bool (H, W), the pixels to be ignored; None marks none.
        hardness: labels (H, W) -> number, with which copies of their images grow; None makes as
            many of all.
    """

    min_agreement: float | None
    max_redraws: int
    agreement: Callable[[np.ndarray, np.ndarray], float]
    doubtful: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    hardness: Callable[[np.ndarray], float] | None = None


def build_gate(options: GateOptions, num_classes: int) -> Gate | None:
    """The gate that the options ask for, None without a segmenter.

    Raises:
        FileNotFoundError, RuntimeError, ValueError: as `Judge` and `gather_pairs`.
    """
    if options.gate_segmenter is None:
        return None
    # Here: they load torchvision, which takes seconds, and most runs have no gate.
    from segmentation.data import gather_pairs
    from segmentation.judge import Judge

    judge, doubtful, hardness = Judge(options.gate_segmenter, num_classes), None, None
    if options.gate_pairs:
        pairs = gather_pairs(*([folder] for folder in options.gate_pairs), num_classes)
        losses = judge.class_losses(pairs)
        if options.ignore_ratio:
            doubtful = partial(judge.doubtful, class_losses=losses, ratio=options.ignore_ratio)
        if options.resample:
            hardness = partial(judge.hardness, class_losses=losses)
    return Gate(options.min_agreement, options.max_redraws, judge.agreement, doubtful, hardness)


def gate_digests(options: GateOptions) -> dict[str, str]:
    """Checksum of the real pairs, by a name for the record of a run; empty without any."""
    if options.gate_pairs is None:
        return {}
    files = [path for folder in options.gate_pairs for path in list_images(folder)]
    both = "".join(sha256_of(path) for path in files)
    return {"gate_pairs": hashlib.sha256(both.encode()).hexdigest()}


def pass_gate(
    batch: Sequence[PlannedImage],
    labels: Sequence[np.ndarray],
    draw: Callable[[Sequence[int], Sequence[PlannedImage]], Sequence[np.ndarray]],
    gate: Gate | None,
) -> list[Drawn]:
    """The pictures of a batch, drawn again where they miss their masks.

    A picture that passes is the one that is drawn without a gate.

    Args:
        labels: masks of the batch, (H, W) each.
        draw: (places in the batch, images to draw for them) -> pictures, uint8 (H, W, 3) each.
    """
    places = list(range(len(batch)))
    pictures = draw(places, batch)
    if gate is None:
        return [Drawn(*both, None, {}) for both in zip(batch, pictures, strict=True)]
    kept = [
        (gate.agreement(picture, own), 0, planned, picture)
        for planned, own, picture in zip(batch, labels, pictures, strict=True)
    ]
    for redraw in range(1, gate.max_redraws + 1 if gate.min_agreement is not None else 1):
        failed = [i for i in places if kept[i][0] < gate.min_agreement]
        if not failed:
            break
        again = [
            replace(batch[i], seed=sample_seed(batch[i].seed, "redraw", redraw)) for i in failed
        ]
        for i, planned, picture in zip(failed, again, draw(failed, again), strict=True):
            agreement = gate.agreement(picture, labels[i])
            if agreement > kept[i][0]:
                kept[i] = agreement, redraw, planned, picture
    return [_drawn(gate, own, *best) for own, best in zip(labels, kept, strict=True)]


def _drawn(gate, labels, agreement, redraw, planned, picture) -> Drawn:
    """The kept picture with its notes."""
    ignored = gate.doubtful(picture, labels) if gate.doubtful else None
    notes = {"agreement": agreement, "redraw": redraw, "seed": planned.seed}
    if ignored is not None:
        notes["ignored_share"] = float(ignored.mean())
    return Drawn(planned, picture, ignored, notes)
