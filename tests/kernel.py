"""What the tests ask of the system that they run on."""

import platform
import re

import pytest


def linux_version() -> tuple[int, int]:
    """Major and minor version of the kernel; (0, 0) elsewhere."""
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    return (int(found[1]), int(found[2])) if platform.system() == "Linux" and found else (0, 0)


needs_paging = pytest.mark.skipif(linux_version() < (5, 4), reason="no MADV_PAGEOUT here")
