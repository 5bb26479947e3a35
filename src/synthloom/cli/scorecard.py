"""The scorecard in the terminal: the verdict first, then what must be known, then the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

    from synthloom.domain.measurement import Verdict
    from synthloom.domain.report import Report
    from synthloom.reports.scorecard import ScoreRow

_MARKS = {
    "passed": ("pass", "green"), "failed": ("FAIL", "bold red"), "not_applicable": ("n/a", "dim"), "measured": ("", ""),
    "undefined": ("", "dim"), "error": ("BROKE", "bold red"),
}
_WIDE = 100
"""Columns a terminal needs to show intervals without breaking every title; the report has them anyway."""

_OUTCOMES = {"passed": "bold green", "failed": "bold red", "not_judged": "bold yellow"}


def failed_verdicts(report: Report) -> tuple[Verdict, ...]:
    """The verdicts that did not pass."""
    return tuple(v for v in report.verdicts if not v.passed)


def print_scorecard(console: Console, report: Report) -> None:
    """Print a report in a few lines."""
    from synthloom.reports.race_view import race_line
    from synthloom.reports.scorecard import alerts, headline, remarks, scorecard_rows

    meta = report.meta
    console.print(Text(headline(report), style=_OUTCOMES[report.outcome]))
    if report.plan is not None:
        console.print(Text(f"{meta.n_synth:,} rows by {meta.model} ({meta.backend}), attempt {meta.attempt}", "dim"))
    if line := race_line(report):
        console.print(Text(line, "dim"))
    for title, text in alerts(report):
        console.print(Text.assemble((f"{title}: ", "bold yellow"), text))
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    grid.add_column("")
    wide = console.width >= _WIDE
    for title in ("value", "interval", "real vs real", "limit") if wide else ("value", "real vs real", "limit"):
        grid.add_column(title, justify="right", no_wrap=True)
    grid.add_column("")
    for section, rows in groupby(scorecard_rows(report), key=lambda row: row.section):
        grid.add_row(Text(section, style="bold"))
        for row in rows:
            grid.add_row(*_cells(row, wide=wide))
    console.print()
    console.print(grid)
    notes = [(row.title, row.note) for row in scorecard_rows(report) if row.status in ("failed", "error")]
    _print_notes(console, (*notes, *remarks(report)))


def _cells(row: ScoreRow, *, wide: bool) -> tuple[Text, ...]:
    word, style = _MARKS[row.status]
    dim = "dim" if row.status == "undefined" else ""
    interval = (Text(row.interval, style="dim"),) if wide else ()
    return (
        Text(f"  {row.title}", style=dim), Text(row.value, style=dim), *interval, Text(row.floor, style="dim"),
        Text(row.limit, style="dim"), Text(word, style=style),
    )


def _print_notes(console: Console, notes: Sequence[tuple[str, str]]) -> None:
    """Why a verdict failed, a metric broke or has no number, in a sentence each."""
    if notes:
        console.print()
    for title, text in notes:
        console.print(Text.assemble((f"{title}: ", "bold"), text))
