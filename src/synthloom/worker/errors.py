"""Errors that parent and child both give."""

from __future__ import annotations

from synthloom.domain.errors import ResourceError


def out_of_memory(megabytes: int | None) -> ResourceError:
    """The error of a run that used too much memory."""
    most = f"more than {megabytes:,} MB of memory" if megabytes else "more memory than the machine has"
    return ResourceError(
        f"the run used {most}.",
        do="Give fewer rows or columns, choose a lighter method such as cart, or ask the operator for more memory.",
    )
