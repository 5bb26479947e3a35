"""The command line: `synthloom run table.csv` and its siblings. Thin; the work is the service's.

Exit codes: 0 done · 1 an unexpected error · 2 used wrongly · 3 the table or a file cannot be used · 4 a verdict failed
under --require-verdicts · 5 something optional is not installed · 6 a privacy promise cannot be kept · 7 the method
could not learn the table · 8 a result could not be written · 9 the present state does not allow it · 10 database or
store out of reach · 11 not allowed · 12 too many requests · 13 a backend failed · 14 too much memory or time · 130
cancelled.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:  # loading `typing` takes longer than all of this file, and Ctrl-C is not ours until main() runs
    from collections.abc import Callable, Sequence
    from types import FrameType
    from typing import Any, NoReturn

STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")
"""The signals that mean "stop"; one that was already ignored when we began (nohup, a job behind &) stays so."""

_CANCELLED = b"""{"version": 1, "command": null, "ok": false, "exit_code": 130, "result": null, "error": \
{"code": "cancelled", "what": "stopped before anything was begun.", "where": null, "do": null}, "notices": []}
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Args:
        arguments: What stands behind `synthloom`; default: the process's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    stoppable = heed(lambda _number, _frame: _leave(words))
    from synthloom.cli.app import start

    code = start(words)
    for number in stoppable:  # all is said and done: what comes now must not change the exit code
        signal.signal(number, signal.SIG_IGN)
    end(code)


def end(code: int) -> NoReturn:
    """Flush and end the process without Python's and the libraries' own clearing up.

    A worker thread may still be inside C code that cannot be interrupted; and Arrow's threads, when the process ends
    soon after they were made, now and then bring it down with "terminate called without an active exception".
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError):  # whoever read it is gone; what could be said of that has been said
                stream.flush()
    os._exit(code)


def heed(handler: Callable[[int, FrameType | None], None]) -> dict[int, Any]:
    """Let `handler` hear the signals that mean "stop"; the handlers before it. Only in the main thread."""
    before = {}
    for name in STOPPING:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handler)
    return before


def _leave(words: list[str]) -> None:
    """End the process at once. Nothing is begun yet, or all is done: no file is open, no thread at work.

    A KeyboardInterrupt would not do: while packages are being loaded it gets lost in them, or comes out as something
    else.
    """
    if "--json" in words:
        os.write(1, _CANCELLED)
    else:
        os.write(2, b"cancelled\n")
    os._exit(130)
