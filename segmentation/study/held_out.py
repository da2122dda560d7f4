"""Nothing may learn from a validation or test pair: neither a segmenter nor what makes pairs."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from conditions.pairs import Pair
from conditions.variation_set import sources_of_files, sources_of_variations
from core.files import sha256_of
from core.imaging.pairing import by_stem, stem_of
from core.notices import notify
from segmentation.data import digest_of, read_input, read_target
from segmentation.run_record import read_run
from segmentation.study.parts import Parts

REMEDY = "Make pairs of training masks and of images outside test and validation alone."


class HeldOut:
    """The validation and test pairs, and how they are recognised.

    Args:
        parts: of a study.
        num_classes: of its masks.
    """

    def __init__(self, parts: Parts, num_classes: int):
        self.num_classes = num_classes
        self.pixels, self.files = {}, {}  # checksum of pixels, or of a file -> the image
        for pair in parts.held_out:
            for path, digest in self._digests(pair):
                self.pixels[digest] = self.files[sha256_of(path)] = pair.image

    def refuse_pairs(self, pairs: Sequence[Pair]) -> None:
        """Check that no generated pair is made of the mask or the image of one of these.

        An image that was redrawn, or a mask that was varied, is another one: there the records tell
        that `generate.py` and `utils/vary_masks.py` write.

        Raises:
            ValueError: names the file, or the folder, and the image.
        """
        for pair in pairs:
            for path, digest in self._digests(pair):
                if found := self.pixels.get(digest):
                    kind = "is" if path == pair.image else "shows the mask of"
                    raise ValueError(f"{path}: {kind} {found}, which is held out. {REMEDY}")
        folders = dict.fromkeys(pair.image.parents[1] for pair in pairs)
        for folder in folders:
            _notify_of_unknown_starts(folder)
            for what, checksum in _noted_sources(folder):
                if found := self.files.get(checksum):
                    raise ValueError(
                        f"{folder}: {what} is, or was made from, {found} or its mask, which is "
                        f"held out. {REMEDY}"
                    )

    def refuse_images(self, images: Sequence[Path]) -> None:
        """Check that no image that pairs will be made of is one of these; raises ValueError."""
        for path in images:
            if found := self.pixels.get(digest_of(read_input(path))):
                raise ValueError(
                    f"{path}: is {found}, which is held out. Take it out of the folder"
                )

    def _digests(self, pair: Pair) -> Iterator[tuple[Path, bytes]]:
        """Both files of a pair with the checksum of their pixels, where it tells them apart."""
        mask = read_target(pair.condition, self.num_classes)  # (H, W)
        for path, pixels in ((pair.image, read_input(pair.image)), (pair.condition, mask)):
            if digest := digest_of(pixels):
                yield path, digest


def refuse_unlike_namesakes(images: Sequence[Path], parts: Parts) -> None:
    """Check that an image without labels is the labelled image that bears its name, if any.

    Folders that hold both would keep one of them.

    Raises:
        RuntimeError: two of the images share a name.
        ValueError: names both files.
    """
    without = by_stem(images)
    for pair in parts.largest:
        path = without.get(stem_of(pair.image))
        if path and digest_of(read_input(path)) != digest_of(read_input(pair.image)):
            raise ValueError(
                f"{path}: bears the name of {pair.image}, and shows something else. Rename it"
            )


def _notify_of_unknown_starts(folder: Path) -> None:
    """Notify of runs whose records are too old to tell what they redrew."""
    run = read_run(folder)
    if run and run.encoded_images and not run.condition_checksums:
        notify(
            f"{folder}: redrew real images, such as {run.encoded_images[0]}, and its record is too "
            "old to tell whether held-out ones are among them. Check this yourself"
        )
    if run and run.variation_sources is None:
        moved = [path for path in run.condition_checksums if _is_moved_variation(Path(path))]
        if moved:
            notify(
                f"{folder}: drew {moved[0]}, which is gone, and its record is too old to tell "
                "whether this was a variation of a held-out mask. Check this yourself"
            )


def _is_moved_variation(path: Path) -> bool:
    """Tell whether a file that is not there had a name as those of `utils/vary_masks.py`."""
    return bool(re.search(r"_v\d+$", stem_of(path))) and not path.exists()


def _noted_sources(folder: Path) -> Iterator[tuple[str, str]]:
    """Files of a folder of pairs, with the SHA-256 of files that they were made from."""
    varied = sources_of_variations(folder)
    if run := read_run(folder):
        yield from run.condition_checksums.items()
        # A run may have drawn varied masks. Where it has not noted them, their set may.
        noted = run.variation_sources
        varied |= sources_of_files(run.condition_checksums) if noted is None else noted
    for name, checksums in varied.items():
        for checksum in checksums:
            yield name, checksum
