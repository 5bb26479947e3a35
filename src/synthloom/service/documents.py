"""A report as documents, and back."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence

from synthloom.domain.errors import InputError, MissingDependencyError
from synthloom.domain.event import Cancelled, Emit, Notice, Progress, ignore, never
from synthloom.domain.report import Report
from synthloom.ports import Content
from synthloom.service.recorder import check_cancelled

DOCUMENTS = ("report.json", "report.html", "report.pdf")
"""The forms a report comes in."""

_EFFORT = {"report.json": 1.0, "report.html": 3.0, "report.pdf": 40.0}  # seconds against each other, for progress
_SHARE = 0.7  # of the step `store`; the rest is for the tables


def parse_report(content: bytes, where: str) -> Report:
    """The report in a report.json; InputError says what is wrong with it."""
    from synthloom.reports.render import from_json

    try:
        return from_json(content)
    except InputError as error:
        raise InputError(error.what, where=where, do=error.do) from None


def render_documents(
    report: Report, names: Sequence[str] = DOCUMENTS, *, emit: Emit = ignore,
    cancelled: Cancelled = never,
) -> dict[str, Content]:
    """A report's documents by file name.

    Raises:
        MissingDependencyError: the PDF alone was asked for and Pango is missing; beside others it is a Notice.
    """
    from synthloom.reports.render import to_html, to_json, to_pdf

    makers: dict[str, Callable[[], bytes]] = {
        "report.json": lambda: to_json(report), "report.html": lambda: to_html(report).encode(),
        "report.pdf": lambda: _quietly(lambda: to_pdf(report)),
    }
    documents: dict[str, Content] = {}
    before, whole = 0.0, sum(_EFFORT[name] for name in names)
    for name in names:
        emit(Progress(step="store", fraction=_SHARE * before / whole, message=f"drawing {name}"))
        before += _EFFORT[name]
        try:
            documents[name] = makers[name]()
        except MissingDependencyError as error:
            if len(names) == 1:
                raise
            emit(Notice(code="pdf_missing", message=f"{name} was not made. {error.text()}"))
        check_cancelled(cancelled)
    return documents


def _quietly(make: Callable[[], bytes]) -> bytes:
    """Keep standard output ours: without Pango, weasyprint prints its advice there; ours stands in the error."""
    with contextlib.redirect_stdout(io.StringIO()):
        return make()
