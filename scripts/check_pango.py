"""Say whether report.pdf can be drawn here, and what to install if not. Never fails: everything else works without."""

from __future__ import annotations

import contextlib
import io
import sys

ADVICE = """\
Note: the system library Pango is missing, so report.pdf will not be made. Everything else works without it.
  Debian/Ubuntu:  apt-get install libpango-1.0-0 libpangoft2-1.0-0
  Fedora:         dnf install pango
  macOS:          brew install pango
  Windows:        see https://doc.courtbouillon.org/weasyprint/stable/first_steps.html
"""


def main() -> None:
    """Try to load what draws the PDF."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # weasyprint would print advice of its own
            import weasyprint  # noqa: F401
    except OSError:
        sys.stderr.write(ADVICE)


if __name__ == "__main__":
    main()
