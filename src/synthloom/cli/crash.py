"""Errors nobody foresaw: one line for the person, a log for whoever mends it, and no data in either.

A library's message may quote a cell ("could not convert string to float: ..."), so messages are left out: the log holds
the kinds of the errors and the places in the code, never what the code was working on.
"""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from synthloom.domain.errors import SynthloomError
from synthloom.service.traces import crash_text
from synthloom.settings import Settings


def crash_error(error: BaseException, *, debug: bool = False) -> SynthloomError:
    """An unexpected exception as the error to show; its log is written, and printed too under --debug."""
    text = crash_text(error)
    if debug:
        sys.stderr.write(text)
    kind = type(error).__name__
    if isinstance(error, MemoryError):
        return SynthloomError("the memory ran out.", do="Give fewer rows or columns, or use a larger machine.")
    try:
        path = _write(text)
    except OSError:
        return SynthloomError(f"something unexpected went wrong ({kind}).", do="Run again with --debug to see where.")
    return SynthloomError(
        f"something unexpected went wrong ({kind}): a defect in Synthloom, not in your table.",
        do=f"Please report it with the log, which holds no data: {path}",
    )


def _write(text: str) -> Path:
    try:
        configured = Settings.from_environment().log_dir
    except SynthloomError:  # a broken setting must not hide the error that brought us here
        configured = None
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    folder = Path(configured) if configured else Path(tempfile.gettempdir()) / f"synthloom-{user}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, path = tempfile.mkstemp(prefix=f"{datetime.now(UTC):%Y%m%dT%H%M%S}-", suffix=".log", dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8") as log:
        log.write(text)
    return Path(path)
