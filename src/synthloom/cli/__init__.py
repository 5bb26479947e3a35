"""The command line: `synthloom run table.csv` and its siblings. Thin; the work is the service's.

Exit codes: 0 done · 1 an unexpected error · 2 used wrongly · 3 the table or a file cannot be used · 4 a verdict failed
under --require-verdicts · 5 something optional is not installed · 6 a privacy promise cannot be kept · 7 the method
could not learn the table · 8 a result could not be written · 130 cancelled.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

_CANCELLED = """{"version": 1, "command": null, "ok": false, "exit_code": 130, "result": null, "error": \
{"code": "cancelled", "what": "stopped before anything was begun.", "where": null, "do": null}, "notices": []}
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code.

    Args:
        arguments: What stands behind `synthloom`; default: the process's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        from synthloom.cli.app import start

        code = start(words)
    except KeyboardInterrupt:  # before or between the commands' own handling
        if "--json" in words:
            sys.stdout.write(_CANCELLED)
        else:
            sys.stderr.write("Cancelled.\n")
        code = 130
    sys.exit(code)
