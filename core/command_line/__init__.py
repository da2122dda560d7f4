"""Command lines: types that check values, groups of options as dataclasses, and their sources."""
