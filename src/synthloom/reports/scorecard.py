"""A report in a few lines: rows for a terminal, a fragment for a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from synthloom.domain.measurement import Failed, Measured, Measurement, Threshold, Undefined, Verdict
from synthloom.domain.report import Report
from synthloom.reports import words

RowStatus = Literal["passed", "failed", "not_applicable", "measured", "undefined", "error"]
_ORDER = {"fidelity": 0, "utility": 1, "privacy": 2, "fairness": 3}


@dataclass(frozen=True)
class ScoreRow:
    """One metric as plain text.

    Attributes:
        section: fidelity, utility, privacy or fairness.
        key: The metric's key in report.json.
        title: Its name for people.
        value: Its number, or `undefined`, or `failed`.
        interval: `0.51 to 0.55`, or empty.
        floor: What real against real gives, or empty.
        limit: `at most 0.1`, or empty where nothing is judged.
        status: `passed`, `failed` or `not_applicable` where judged, else `measured`, `undefined` or `error`.
        note: The verdict's reason, or why there is no number; else empty.
    """

    section: str
    key: str
    title: str
    value: str
    interval: str
    floor: str
    limit: str
    status: RowStatus
    note: str


def scorecard_rows(report: Report) -> tuple[ScoreRow, ...]:
    """All metrics by section, those with a verdict first in each. A judged metric nobody measured has its row too."""
    verdicts = {v.threshold.key: v for v in report.verdicts}
    found = {m.info.key for m in report.measurements}
    rows = [_row(m, verdicts.get(m.info.key)) for m in report.measurements]
    rows += [_unmeasured(v) for key, v in verdicts.items() if key not in found]
    return tuple(sorted(rows, key=lambda r: (_ORDER[r.section], not r.limit)))


def headline(report: Report) -> str:
    """The whole report in one sentence, such as `All 4 checks passed.`"""
    return words.headline(report)


def alerts(report: Report) -> tuple[tuple[str, str], ...]:
    """What must be read first, as (title, text): privacy not in effect, fallbacks, failed measurements."""
    return tuple((a.title, a.text) for a in words.alerts(report))


def remarks(report: Report) -> tuple[tuple[str, str], ...]:
    """What stands under the rows, as (title, text): limits that real rows break too, and why numbers are missing."""
    verdicts = {v.threshold.key: v for v in report.verdicts}
    beyond = [
        m.info.title for m in report.measurements
        if (verdict := verdicts.get(m.info.key)) and isinstance(m.floor, Measured)
        and _is_beyond(m.floor.value, verdict.threshold)
    ]
    out = []
    if beyond:
        text = (
            f"the holdout of {report.meta.n_holdout:,} rows is so small that real rows too score beyond the limit, "
            "so the verdict says little. Look at how far the value is from \"real vs real\", or give more rows."
        )
        out.append(("; ".join(beyond), text))
    reasons: dict[str, list[str]] = {}
    for m in report.measurements:
        if isinstance(m.outcome, Undefined) and m.info.key not in verdicts:
            reasons.setdefault(m.outcome.reason, []).append(m.info.title)
    return (*out, *(("; ".join(titles), reason) for reason, titles in reasons.items()))


def to_notebook_html(report: Report) -> str:
    """A short HTML fragment for a notebook: headline, warnings, one line per metric; in the notebook's own colours."""
    from synthloom.reports.render import environment  # jinja2 is not needed for a terminal

    return environment().get_template("notebook.html.j2").render(
        headline=words.headline(report), subline=words.subline(report), alerts=words.alerts(report),
        rows=scorecard_rows(report), meta=report.meta, outcome=report.outcome,
    )


def _is_beyond(value: float, threshold: Threshold) -> bool:
    return value > threshold.limit if threshold.comparison == "at_most" else value < threshold.limit


def _row(m: Measurement, verdict: Verdict | None) -> ScoreRow:
    status: RowStatus = "measured"
    if verdict is not None:
        status = words.status_of(verdict)
    elif isinstance(m.outcome, Undefined):
        status = "undefined"
    elif isinstance(m.outcome, Failed):
        status = "error"
    return ScoreRow(
        section=words.chapter_of(m.info.key, m.info.chapter), key=m.info.key, title=m.info.title,
        value=words.outcome_text(m.outcome), interval=words.interval_text(m.outcome),
        floor=words.outcome_text(m.floor) if m.floor else "",
        limit=words.limit_text(verdict.threshold) if verdict else "", status=status,
        note=verdict.reason if verdict else words.outcome_reason(m.outcome),
    )


def _unmeasured(verdict: Verdict) -> ScoreRow:
    key = verdict.threshold.key
    return ScoreRow(
        section=words.chapter_of(key), key=key, title=key, value="–", interval="", floor="",
        limit=words.limit_text(verdict.threshold), status=words.status_of(verdict), note=verdict.reason,
    )
