"""Checks of many files: a progress bar where it takes long, and one error for all problems."""

from collections.abc import Iterable, Sequence

from tqdm import tqdm

BAR_FROM = 200  # items: fewer are checked before a bar could be read


def bar_for_many(items: Iterable, total: int | None = None, desc: str = "checking files") -> tqdm:
    """The same items, behind a progress bar if there are many; the bar vanishes at the end.

    Args:
        total: number of items; their length when not given.
    """
    total = len(items) if total is None else total
    return tqdm(items, desc=desc, total=total, disable=total <= BAR_FROM, leave=False)


def raise_first(problems: Sequence[Exception]) -> None:
    """Raise the first problem, if there is any, with the number of further ones."""
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        # The same type, so that callers treat it as they would the problem itself.
        raise type(problems[0])(f"{problems[0]}{more}") from problems[0]
