"""Groups of exported pairs: a later split of the data set keeps each together.

A real pair, the images made from its mask, and those made from variations of its mask are one
group. The content of files tells them, as names differ between folders; where a run has noted no
checksums, names do.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from conditions.pairs import Pair
from conditions.variation_set import sources_of_files
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
        noted = run.variation_sources if run else {}
        # Older runs have not noted them, but the sets that their masks are of may lie there.
        self.made_from = sources_of_files(self.checksums) if noted is None else noted

    def of_real(self, pair: Pair) -> str:
        """The group of a real pair: the stem of its mask."""
        return stem_of(pair.condition)

    def of_generated(self, line: Mapping) -> str:
        """The group of a pair of the manifest: that of its real pair, else the stem of its mask."""
        source, image = leading_file(line), line["options"].get("encoded_image")
        group, checksums = stem_of(source), []
        for file in (source, *([Path(image)] if image else [])):
            made_from = self.made_from.get(str(file), [])
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
