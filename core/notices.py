"""Lines for the user of a program: warnings, and reports of what is done; nothing stops."""

import logging
import warnings

REPORTS = logging.getLogger("reports")  # silent until a program adds a handler


class Notice(UserWarning):
    """A warning about the user's files or options, not about code; programs print one line."""


def notify(message: str) -> None:
    """Warn the user; the same message comes once."""
    # The place is here, whoever calls: Lightning shows warnings of its own files in another form.
    warnings.warn(message, Notice, stacklevel=1)


def report(lines: str) -> None:
    """Tell the user of a program what is being done; nobody hears it in a notebook."""
    REPORTS.info(lines)
