"""Where a run's results go, and what may be overwritten there."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

from synthloom.domain.artifact import ARTIFACT_NAMES
from synthloom.domain.errors import OutputError, UsageError

_ENDINGS = (".gz", ".csv", ".tsv", ".txt", ".parquet", ".pq", ".xlsx", ".xls")


def default_out(base: str, table: str) -> Path:
    """The folder of a run that names none: the table's name without its endings, under `base`."""
    name = "stdin" if table == "-" else Path(table).name
    shorter = True
    while shorter:
        shorter = False
        for ending in _ENDINGS:
            if name.lower().endswith(ending) and len(name) > len(ending):
                name, shorter = name[: -len(ending)], True
    return Path(base) / (name.strip(". ") or "table")


def check_out(
    folder: Path, table: str, *, overwrite: bool, names: Collection[str] = ARTIFACT_NAMES, sign: str = "report.json"
) -> None:
    """Refuse, before any work is done, a folder that cannot or should not be written.

    A folder that holds nothing but an earlier run's results is written anew; one with other files only under
    `overwrite`, and then nothing but files of the results' names is replaced.

    Args:
        folder: The folder, absolute.
        table: The table to be read; it must not be among the files that would be replaced.
        overwrite: Whether the person allowed it.
        names: Files that the command leaves.
        sign: The one that shows that a folder is an earlier run's.

    Raises:
        OutputError: it is a file, cannot be written, or holds files of somebody else.
        UsageError: the table itself would be overwritten.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError("this is a file, not a folder.", where=str(folder), do="Choose another --out.")
    _check_writable(folder)
    if table != "-" and Path(table).resolve().parent == folder and Path(table).name in names:
        raise UsageError("the table would be overwritten by the results.", where=table, do="Choose another --out.")
    if overwrite or not folder.is_dir():
        return
    there = [name for name in os.listdir(folder) if not _is_leftover(name)]
    foreign = [name for name in there if name not in names]
    if foreign or (there and sign not in there):
        shown = ", ".join(sorted(foreign or there)[:3])
        raise OutputError(
            f"the folder holds files that are not an earlier run's ({shown}).", where=str(folder),
            do="Choose another --out, or allow it with --overwrite: only files with the results' names are replaced.",
        )


def _is_leftover(name: str) -> bool:
    """Whether a name is what a killed run may leave, or what a system puts into every folder."""
    return name in (".DS_Store", "Thumbs.db") or bool(re.fullmatch(r"\..+\.[0-9a-f]{8}\.part", name))


def _check_writable(folder: Path) -> None:
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise OutputError("a part of this path is a file.", where=str(folder), do=f"{nearest} is in the way.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise OutputError(
            "you may not write there.", where=str(nearest), do="Change its permissions, or choose another --out.",
        )
