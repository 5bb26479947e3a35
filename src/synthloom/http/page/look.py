"""How the page looks: its templates, and words for sizes and times."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from synthloom.domain.budget import budget_text
from synthloom.domain.errors import SynthloomError
from synthloom.domain.records import RunRecord
from synthloom.domain.run import RunStatus
from synthloom.http.auth import Caller, csrf_token, gate_of
from synthloom.http.page.assets import asset_version
from synthloom.reports.svg import clean
from synthloom.reports.words import number, percent

STATUS_WORDS = {
    RunStatus.QUEUED: "queued", RunStatus.RUNNING: "running", RunStatus.SUCCEEDED: "succeeded",
    RunStatus.FAILED: "failed", RunStatus.CANCELLED: "cancelled",
}
_OUTCOMES = {
    "passed": ("passed", "all checks passed"), "failed": ("unpassed", "not all checks passed"),
    "not_judged": ("done", "done, not judged"),
}


@cache
def environment() -> jinja2.Environment:
    """The page's templates, and the report's, which it borrows charts and tables from. Everything is escaped."""
    from synthloom.reports.render import environment as of_reports

    base = of_reports()
    loaders = [jinja2.PackageLoader("synthloom.http.page", "templates"), base.loader]
    found = base.overlay(loader=jinja2.ChoiceLoader([loader for loader in loaders if loader is not None]))
    found.filters |= {
        "bytes": size_text, "span": span_text, "moment": moment, "number": number, "budget": budget_text,
        "status": status_words, "method": method_title, "lines": lines, "percent": percent,
    }
    found.globals |= {"assets": asset_version(), "swap": False, "oob": False, "stale": False}
    return found


def render(
    request: Request, template: str, caller: Caller | None = None, *, status: int = 200, **context: Any
) -> HTMLResponse:
    """A template as a response. `caller` is who sees it; None on the page to log in and on errors."""
    gate = gate_of(request)
    body = environment().get_template(template).render(
        caller=caller, open=gate.open, csrf=csrf_token(request), path=request.url.path, **context
    )
    return HTMLResponse(body, status, headers={"Cache-Control": "no-store"})


def error_page(request: Request, error: SynthloomError, caller: Caller | None = None) -> Response:
    """An error as a page of its own."""
    return render(request, "error.html.j2", caller, status=error.http_status, error=error)


def form_key() -> str:
    """A key that makes sending a form twice the same as once."""
    return secrets.token_hex(12)


def size_text(size: int) -> str:
    """Bytes for people: 812 B, 1.4 KB, 23 MB."""
    value, units = float(size), ("B", "KB", "MB", "GB", "TB")
    for unit in units:
        if value < 1000 or unit == units[-1]:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def span_text(seconds: float) -> str:
    """A duration for people: 0.4 s, 12 s, 3 min 5 s, 2 h 10 min."""
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def moment(at: datetime) -> Markup:
    """A time as an element that a script turns into the reader's own zone."""
    utc = at.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        utc.isoformat(timespec="seconds"), utc.strftime("%-d %b %Y, %H:%M UTC"),
    )


def lines(text: str) -> Markup:
    """Text of several lines, escaped; elsewhere line ends become spaces."""
    return Markup("\n").join(clean(line) for line in text.splitlines())


def status_words(run: RunRecord) -> tuple[str, str]:
    """How a run stands: a word for its look, and words for people."""
    if run.status is RunStatus.RUNNING and run.cancel_requested_at is not None:
        return "cancelling", "cancelling…"
    if run.status is RunStatus.SUCCEEDED and run.outcome in _OUTCOMES:
        return _OUTCOMES[run.outcome]
    return run.status.value, STATUS_WORDS[run.status]


def method_title(name: str) -> str:
    """A method's name for people."""
    return "automatic" if name == "auto" else name.replace("_", " ")
