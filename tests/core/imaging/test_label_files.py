"""Files of labels as a set."""

import numpy as np
import tifffile
from PIL import Image

from core.imaging.label_files import check_label_files
from core.notices import Notice
from tests.picture_files import blocks, write


def test_each_folder_with_jpeg_is_warned_of_once(tmp_path, recwarn):
    """By content: a TIFF compressed as JPEG, and a JPEG that is named as a PNG."""
    labels = blocks((64, 64))
    paths = [write(tmp_path / "a" / f"{i}.{end}", labels) for i, end in enumerate(["png", "tif"])]
    paths.append(tmp_path / "a" / "packed.tif")
    tifffile.imwrite(paths[-1], labels, compression="zlib")
    paths.append(tmp_path / "a" / "planes.npz")
    np.savez(paths[-1], labels)
    check_label_files(paths)
    assert not recwarn
    paths += [write(tmp_path / "b" / name, labels) for name in ("0.jpg", "1.png")]
    for folder in "bc":
        paths.append(tmp_path / folder / "2.tif")
        paths[-1].parent.mkdir(exist_ok=True)
        tifffile.imwrite(paths[-1], labels, compression="jpeg")
    Image.fromarray(labels).save(tmp_path / "c" / "3.png", format="JPEG")
    check_label_files([*paths, *paths, tmp_path / "c" / "3.png"])
    messages = sorted(str(warning.message) for warning in recwarn)
    assert len(messages) == 2 and all(w.category is Notice for w in recwarn)
    words = "files of labels are compressed as JPEG, for example"
    assert messages[0].startswith(f"{tmp_path}/b: 2 of 3 {words} 0.jpg. JPEG changes classes")
    assert messages[1].startswith(f"{tmp_path}/c: 2 of 2 {words} 2.tif. ")
