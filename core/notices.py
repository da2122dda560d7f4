"""Warnings for the user of a program: one line, and nothing stops."""

import warnings


class Notice(UserWarning):
    """A warning about the user's files or options, not about code; programs print one line."""


def notify(message: str) -> None:
    """Warn the user; the same message comes once."""
    # The place is here, whoever calls: Lightning shows warnings of its own files in another form.
    warnings.warn(message, Notice, stacklevel=1)
