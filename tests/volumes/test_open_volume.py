"""What all formats share: options that a format does not read, and files of no format."""

import pytest
import tifffile

from core.command_line.options import OptionError
from tests.volumes.stacks import voxels
from volumes import ArrayOptions, open_volume


@pytest.mark.parametrize("name", ["a.mrc", "a.h5", "slices"])
def test_options_that_a_format_does_not_read_are_refused(tmp_path, name):
    path = tmp_path / name
    if name == "slices":
        path.mkdir()
        tifffile.imwrite(path / "0.tif", voxels()[0])
    elif name == "a.mrc":
        pytest.importorskip("mrcfile").write(path, voxels("int16"))
    else:
        with pytest.importorskip("h5py").File(path, "w") as file:
            file["data"] = voxels()
    open_volume(path)
    with pytest.raises(OptionError, match=f"level: .*{name}: .* does not read it"):
        open_volume(path, ArrayOptions(level=1))
