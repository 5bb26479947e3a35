"""What a report says in a few words: numbers, the headline, and the warnings at its head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from synthloom.domain.guarantee import PrivacyGuarantee
from synthloom.domain.measurement import (
    Chapter,
    Direction,
    Failed,
    Measured,
    Measurement,
    Outcome,
    Threshold,
    Undefined,
    Verdict,
)
from synthloom.domain.report import Report

Status = Literal["passed", "failed", "not_applicable"]
MINUS = "−"


@dataclass(frozen=True)
class Alert:
    """Something that must be read before anything else."""

    title: str
    text: str


def number(x: float, scale: float | None = None) -> str:
    """A number for people: about three significant digits, whole numbers without decimals.

    Args:
        x: The number.
        scale: Round as a number of this size would be, so that the ends of an interval match.
    """
    size = abs(x) if scale is None else abs(scale)
    if size == 0 or (scale is None and size < 1e12 and x == int(x)):
        text = f"{x:,.0f}"
    elif size >= 1e12:
        text = f"{x:.3g}"
    elif size >= 1000:
        text = f"{x:,.0f}"
    elif size >= 10:
        text = f"{x:.{1 if size >= 100 else 2}f}"
    elif size >= 0.00995:
        text = f"{x:.3f}"
    else:
        text = f"{x:.4f}" if size >= 0.0005 else f"{x:.2g}"
    return text.replace("-", MINUS, 1)


def percent(share: float) -> str:
    """A share as a percentage that never rounds something to nothing."""
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{share:.1%}".replace(".0%", "%")


def interval_text(outcome: Outcome | None) -> str:
    """`0.51 to 0.55`, or an empty text where there is no interval."""
    if not isinstance(outcome, Measured) or outcome.interval is None:
        return ""
    return ends_text(outcome.interval.low, outcome.interval.high)


def ends_text(low: float, high: float) -> str:
    """Both ends of an interval, equally precise."""
    scale = max(abs(low), abs(high))
    return f"{number(low, scale) if low else '0'} to {number(high, scale)}"


def outcome_text(outcome: Outcome | None) -> str:
    """The value of an outcome in a few characters."""
    if isinstance(outcome, Measured):
        return number(outcome.value)
    return "undefined" if isinstance(outcome, Undefined) else "failed" if isinstance(outcome, Failed) else "–"


def outcome_reason(outcome: Outcome | None) -> str:
    """Why there is no number; an empty text where there is one."""
    return outcome.reason if isinstance(outcome, Undefined) else outcome.error if isinstance(outcome, Failed) else ""


def limit_text(threshold: Threshold) -> str:
    """`at most 0.1`."""
    return f"at {'most' if threshold.comparison == 'at_most' else 'least'} {threshold.limit:g}"


def direction_text(measurement: Measurement) -> str:
    """Which way is better, and between which ends."""
    info = measurement.info
    better = {
        Direction.LOWER: "lower is better", Direction.HIGHER: "higher is better",
        Direction.TARGET: "closer to the best value is better", Direction.NONE: "a fact, neither good nor bad",
    }[info.direction]
    ends = "" if info.low is None or info.high is None else f", from {info.low:g} to {info.high:g}"
    best = "" if info.ideal is None else f"; best: {info.ideal:g}"
    return f"{better}{ends}{best}"


def chapter_of(key: str, declared: Chapter | None = None) -> Chapter:
    """The chapter a metric stands in: the one it declares, else the section of its key."""
    if declared is not None:
        return declared
    section = key.partition(".")[0]
    return next((chapter for chapter in get_args(Chapter) if chapter == section), "utility")


def status_of(verdict: Verdict) -> Status:
    """Passed, failed, or passed because it does not apply."""
    if not verdict.passed:
        return "failed"
    return "passed" if verdict.value is not None else "not_applicable"


def headline(report: Report) -> str:
    """The whole report in one sentence."""
    if not report.verdicts:
        return "Nothing was judged: no limits were set."
    states = [status_of(v) for v in report.verdicts]
    n, failed, skipped = len(states), states.count("failed"), states.count("not_applicable")
    aside = f"; {skipped} {'does' if skipped == 1 else 'do'} not apply to this table" if skipped else ""
    if failed:
        return f"{failed} of {n} checks did not pass{aside}."
    passed = n - skipped
    if not passed:
        return "None of the checks applies to this table."
    which = "The one check" if passed == n == 1 else f"All {n} checks" if not skipped else f"{passed} of {n} checks"
    return f"{which} passed{aside}."


def subline(report: Report) -> str:
    """What the headline does not say: which checks failed, and the formal guarantee."""
    titles = {m.info.key: m.info.title for m in report.measurements}
    failed = [titles.get(v.threshold.key, v.threshold.key) for v in report.verdicts if not v.passed]
    first = f"Not passed: {'; '.join(failed)}. " if failed else ""
    return first + guarantee_sentence(report)


def guarantee_sentence(report: Report) -> str:
    """The formal promise, or that there is none, in one sentence."""
    g = report.guarantee
    if isinstance(g, PrivacyGuarantee):
        return f"Formally private: ε = {g.epsilon:g}, δ = {g.delta:.3g} for one {g.unit} ({g.mechanism})."
    if g.stated_epsilon is not None:
        return (
            f"There is no formal privacy guarantee: ε = {g.stated_epsilon:g} is stated for the method and not kept. "
            "Protection rests on the rules and the measurements below."
        )
    return "There is no formal privacy guarantee; protection rests on the rules and the measurements below."


def _why(report: Report) -> str:
    return "" if isinstance(report.guarantee, PrivacyGuarantee) else report.guarantee.why


def alerts(report: Report) -> list[Alert]:
    """What heads the report: privacy asked for and not in effect, fallbacks, measurements that failed."""
    out = []
    if report.privacy.get("dp_requested") and not report.privacy.get("dp_effective"):
        asked = f" (ε = {report.dp.epsilon:g})" if report.dp else ""
        out.append(Alert(
            "Differential privacy was asked for and is not in effect",
            f"The run was asked for differential privacy{asked} and allowed to go on without it. No formal promise "
            f"covers this data. Treat it like data made without differential privacy. {_why(report)}".rstrip(),
        ))
    out += [Alert(f"Fallback: {f.used} instead of {f.wanted}", f.reason) for f in report.fallbacks]
    broken = [m.info.title for m in report.measurements if isinstance(m.outcome, Failed)]
    if broken:
        which = "A measurement" if len(broken) == 1 else f"{len(broken)} measurements"
        text = f"No number stands for: {'; '.join(broken)}. The error is shown in its own row."
        out.append(Alert(f"{which} failed", text))
    return out
