"""Files that nobody points to: what a worker left that lost its lease, or an upload that was never recorded.

Files are written before anything points to them, so that nothing ever points to a file that is not there. What was
written and never pointed to costs room and holds people's data: `synthloom sweep` finds it, and removes it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from synthloom.domain.errors import ConflictError, UsageError
from synthloom.ports import ArtifactStore, RunLedger
from synthloom.service.uploads import dataset_key

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
    if not seconds >= 3600:
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


def sweep_stores(
    ledger: RunLedger, stores: Mapping[str, ArtifactStore], *, seconds: float = DAY, remove: bool = False,
    even_all: bool = False,
) -> dict[str, tuple[str, ...]]:
    """What `sweep` finds in each store, by the store's name; the columns' names beside a table go with it.

    Args:
        ledger: Whose rows point to files.
        stores: Stores that belong to this ledger alone, by names.
        seconds: As for `sweep`.
        remove: Whether to remove what is found.
        even_all: Remove files even where the ledger points to none that are old: another ledger may be meant.

    Raises:
        ConflictError: all old files would be removed, and `even_all` is not said; nothing was removed.
        UsageError: as for `sweep`.
    """
    spared = 0

    def known(keys: Sequence[str]) -> set[str]:
        nonlocal spared
        kept = ledger.pointed_to([dataset_key(key) for key in keys])
        found = {key for key in keys if dataset_key(key) in kept}
        spared += len(found)
        return found

    found = {name: sweep(store, known, seconds=seconds) for name, store in stores.items()}
    if not remove:
        return found
    count = sum(map(len, found.values()))
    if count and not spared and not even_all:
        raise ConflictError(
            f"the database points to none of the {count} files that are old enough.",
            do="See that SYNTHLOOM_DATABASE_URL and the store belong together. If all are to go, say --even-all.",
        )
    return {name: sweep(store, known, seconds=seconds, remove=True) for name, store in stores.items()}
