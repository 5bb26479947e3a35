"""Unexpected exceptions for whoever mends them: kinds and places, never messages.

A library's message may quote a cell ("could not convert string to float: ..."), so messages are left out.
"""

from __future__ import annotations

import sys
import traceback
from datetime import UTC, datetime


def crash_text(error: BaseException) -> str:
    """Kinds and places of an exception and its causes, innermost last; no messages."""
    lines = [f"synthloom, Python {sys.version.split()[0]}, {datetime.now(UTC).isoformat(timespec='seconds')}"]
    for link in _chain(error):
        lines.append(f"{type(link).__module__}.{type(link).__name__} (message left out, it may quote data)")
        lines += [
            f"  {frame.filename}:{frame.lineno} in {frame.name}: {frame.line}"
            for frame in traceback.extract_tb(link.__traceback__)
        ]
    return "\n".join(lines) + "\n"


def _chain(error: BaseException) -> list[BaseException]:
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__ or link.__context__
    return links
