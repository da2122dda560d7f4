"""Pages of TIFF files that belong to a set."""

import pytest
import tifffile

from core.notices import Notice
from tests.volumes.stacks import check_reads, voxels


def test_a_file_of_a_set_that_another_file_describes_is_told(tmp_path):
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1">'
        '<BinaryOnly MetadataFile="cell.companion.ome" UUID="urn:uuid:2"/></OME>'
    )
    path = tmp_path / "z0.ome.tif"
    tifffile.imwrite(path, voxels()[0], description=xml, metadata=None)
    with pytest.warns(Notice, match="z0.ome.tif: .* that cell.companion.ome describes. 1 slice"):
        check_reads(path, voxels()[:1])
