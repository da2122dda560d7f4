"""Two thresholds with hysteresis, as Canny 1986 links edges, for all that draws edges."""

from core.command_line.options import OptionError

# On |dx| + |dy| of the 3 x 3 Sobel filters of grey levels 0..255; the published settings. An edge
# starts above the high threshold and goes on above the low one.
CANNY_LOW, CANNY_HIGH = 100, 200


def check_thresholds(field: str, low: float, high: float) -> None:
    """Raise OptionError for `field`, the low threshold, where it is above the high one."""
    # OpenCV would swap them silently; a record of the settings would then be wrong.
    if low > high:
        raise OptionError(field, f"{low:g} is above the high threshold, {high:g}")
