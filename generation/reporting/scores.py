"""Scores of a run, read from the files that the programs of `fid/` write into its folder."""

from contextlib import suppress
from pathlib import Path

from core.imaging.pairing import IMAGES
from core.recording.records import RECORD, STATE, read_checked
from fid.results import Score


class ScoreOfRun(Score):
    """A score that says which images it is of."""

    gen_dir: str


def read_scores(run_dir: Path, num_images: int) -> list[dict]:
    """Scores as the report shows them; other JSON files are left out.

    Args:
        num_images: in the run by now. A score of another number of images says so.
    """
    found = []
    # Any name, because people choose it: a score is known by its content.
    for path in sorted(run_dir.glob("*.json")):
        if path.name in (RECORD, STATE):
            continue
        with suppress(ValueError):  # not a score
            score = read_checked(path, ScoreOfRun)
            found.append(_score_row(path.name, score, run_dir, num_images))
    return found


def _score_row(file: str, score: ScoreOfRun, run_dir: Path, num_images: int) -> dict:
    """One score with its numbers as texts."""
    kid, interval = None, None
    if score.kid is not None:
        deviation = score.kid_std
        # More digits than the FID's: a KID is near 0.
        kid = f"{score.kid:.4f}" + (f" ± {deviation:.2g}" if deviation is not None else "")
    if score.fid_interval:
        interval = "{:.2f} to {:.2f}".format(*score.fid_interval)
    # What would let a reader take the number for another one
    notes = []
    if score.scarce:
        notes.append("too few images for an FID: judge by KID")
    if score.num_generated != num_images:
        notes.append(f"of {score.num_generated:,} of the run's {num_images:,} images")
    # The last two parts, because a run may have been moved or scored on another machine.
    if Path(score.gen_dir).parts[-2:] != (run_dir.resolve().name, IMAGES):
        notes.append(f"of {score.gen_dir}")
    return {
        "file": file,
        "network": score.backbone,
        "size": score.image_size,
        "fid": f"{score.fid:.2f}",
        "interval": interval,
        "kid": kid,
        "real": score.num_real,
        "generated": score.num_generated,
        "real_dir": score.real_dir,
        "notes": notes,
    }
