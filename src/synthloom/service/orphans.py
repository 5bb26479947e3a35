"""Files that nobody points to: what a worker left that lost its lease, or an upload that was never recorded.

Files are written before anything points to them, so that nothing ever points to a file that is not there. What was
written and never pointed to costs room and holds people's data: an operator's command finds it, and removes it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from synthloom.domain.errors import UsageError
from synthloom.ports import ArtifactStore

Known = Callable[[Sequence[str]], Collection[str]]
"""Of the keys given, those that something points to, or that belong to a run that is not final yet."""

DAY = 86_400.0
"""Younger files may be about to be pointed to."""

_AT_ONCE = 500


def sweep(store: ArtifactStore, known: Known, *, seconds: float = DAY, remove: bool = False) -> tuple[str, ...]:
    """Keys of files that nothing points to and that are older than `seconds`, sorted.

    Args:
        store: The datasets' or the artifacts'.
        known: Asked for at most 500 keys at a time, just before they are removed.
        seconds: At least an hour: a run may write for as long before it points to anything.
        remove: Whether to remove them; every file removed is in the answer.

    Raises:
        UsageError: `seconds` is less than an hour.
    """
    if seconds < 3600:
        raise UsageError(f"files {seconds:g} seconds old may still be needed.", do="Say 3600 or more.")
    old = store.keys_older_than(seconds)
    found = []
    for start in range(0, len(old), _AT_ONCE):
        asked = old[start : start + _AT_ONCE]
        spared = set(known(asked))
        for key in asked:
            if key not in spared:
                if remove:
                    store.delete(key)
                found.append(key)
    return tuple(found)
