"""Groups of exported pairs: a later split of the data set keeps each together.

A real pair, the images made from its mask, and those made from variations of its mask are one
group. The content of files tells them, as names differ between folders; where a run has noted no
checksums, names do.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from conditions.pairs import Pair
from conditions.variation_set import sources_of_variations
from core.files import sha256_of
from core.imaging.pairing import stem_of
from generation.folder.manifest import leading_file
from segmentation.run_record import read_run


class Groups:
    """The groups of a run's pairs, beside real ones.

    Args:
        run_dir: folder of the run.
        real: the real pairs of the data set.
    Raises:
        ValueError: the record of the run, or of a set of variations, is damaged.
    """

    def __init__(self, run_dir: Path, real: Sequence[Pair]):
        run = read_run(run_dir)
        self.checksums = run.condition_checksums if run else {}  # SHA-256 by file
        # Groups by SHA-256 of a mask or of a real image
        self.by_content: dict[str, list[str]] = defaultdict(list)
        for pair in real if self.checksums else ():
            for path in pair:
                self.by_content[sha256_of(path)].append(self.of_real(pair))
        self.noted = run.variation_sources if run else None
        self.variations = cache(sources_of_variations)

    def of_real(self, pair: Pair) -> str:
        """The group of a real pair: the stem of its mask."""
        return stem_of(pair.condition)

    def _sources_of(self, file: Path) -> list[str]:
        """SHA-256 of what a mask was varied from; empty for a mask that is no variation."""
        if self.noted is not None:
            return self.noted.get(str(file), [])
        # Older runs have not noted it, but the set that the mask is of may lie where it was.
        return self.variations(file.parent.parent).get(stem_of(file), [])

    def of_generated(self, line: Mapping) -> str:
        """The group of a pair of the manifest: that of its real pair, else the stem of its mask."""
        source, image = leading_file(line), line["options"].get("encoded_image")
        group, checksums = stem_of(source), []
        for file in (source, *([Path(image)] if image else [])):
            made_from = self._sources_of(file)
            checksums += [*filter(None, [self.checksums.get(str(file))]), *made_from]
            if made_from and file == source:
                group = group.rpartition("_v")[0]  # the number of the variation
        found = [known for checksum in checksums for known in self.by_content[checksum]]
        # Empty masks are equal, whatever their images show: there the name decides, or the image.
        if found and group not in found:
            group = found[-1]
        for checksum in checksums:  # other variations of one mask, without its real pair
            if group not in self.by_content[checksum]:
                self.by_content[checksum].append(group)
        return group
