"""The scorecard in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from synthloom.domain.measurement import Verdict
    from synthloom.domain.report import Report

_STYLES = {"pass": "green", "passed": "green", "fail": "bold red", "failed": "bold red"}


def failed_verdicts(report: Report) -> tuple[Verdict, ...]:
    """The verdicts that did not pass."""
    return tuple(v for v in report.verdicts if not v.passed)


def print_scorecard(console: Console, report: Report) -> None:
    """Verdict first, then the numbers."""
    from synthloom.reports.scorecard import scorecard_rows

    scorecard_rows(report)
