"""What a report says in sentences: the headline, the warnings at its head, what is not promised, and the glossary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from synthloom.domain.guarantee import PrivacyGuarantee
from synthloom.domain.measurement import Direction, Failed, Measured, Measurement, Outcome, Threshold, Undefined, Verdict
from synthloom.domain.report import Report

Status = Literal["passed", "failed", "not_applicable"]
Group = Literal["fidelity", "utility", "privacy", "fairness"]
_FIDELITY_STARTS = ("ks_", "corr_", "shape", "trend", "c2st", "detection", "missing", "marginal", "pair", "column")
MINUS = "−"


@dataclass(frozen=True)
class Alert:
    """Something that must be read before anything else."""

    title: str
    text: str


@dataclass(frozen=True)
class Term:
    """A word and what it means here."""

    word: str
    meaning: str


def number(x: float) -> str:
    """A number for people: about three significant digits, never in powers of ten between 0.0001 and a million."""
    if x == 0:
        return "0"
    size = abs(x)
    if size >= 1000:
        text = f"{x:,.0f}" if size < 1e12 else f"{x:.3g}"
    elif size >= 100:
        text = f"{x:.1f}".removesuffix(".0")
    elif size >= 0.0995:
        text = f"{x:.3f}" if size < 10 else f"{x:.2f}"
    else:
        text = f"{x:.4f}" if size >= 0.0005 else f"{x:.2g}"
    return text.replace("-", MINUS, 1)


def interval_text(outcome: Outcome | None) -> str:
    """`0.51 to 0.55`, or an empty text where there is no interval."""
    if not isinstance(outcome, Measured) or outcome.interval is None:
        return ""
    return f"{number(outcome.interval.low)} to {number(outcome.interval.high)}"


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


def group_of(measurement: Measurement) -> Group:
    """The chapter a metric stands in; by its key's section, fidelity split off from utility."""
    section, _, name = measurement.info.key.partition(".")
    if section in ("privacy", "fairness"):
        return section  # type: ignore[return-value]  # one of the two literals, by the line above
    return "fidelity" if section == "fidelity" or name.startswith(_FIDELITY_STARTS) else "utility"


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
        return f"Formally private: ε = {number(g.epsilon)}, δ = {g.delta:.3g} for one {g.unit} ({g.mechanism})."
    return "There is no formal privacy guarantee; protection rests on the rules and the measurements below."


def alerts(report: Report) -> list[Alert]:
    """What heads the report: privacy asked for and not in effect, fallbacks, measurements that failed."""
    out = []
    if report.privacy.get("dp_requested") and not report.privacy.get("dp_effective"):
        asked = f" (ε = {number(report.dp.epsilon)})" if report.dp else ""
        out.append(Alert(
            "Differential privacy was asked for and is not in effect",
            f"The run was asked for differential privacy{asked} and allowed to go on without it. No formal promise covers "
            "this data. Treat it like data made without differential privacy.",
        ))
    out += [Alert(f"Fallback: {f.used} instead of {f.wanted}", f.reason) for f in report.fallbacks]
    broken = [m.info.title for m in report.measurements if isinstance(m.outcome, Failed)]
    if broken:
        which = "A measurement" if len(broken) == 1 else f"{len(broken)} measurements"
        out.append(Alert(f"{which} failed", f"No number stands for: {'; '.join(broken)}. Its error is shown in its own row."))
    return out


def not_promised(report: Report) -> list[Term]:
    """What nobody should read into this report."""
    return [
        *_formal_limits(report),
        Term("Conclusions about people in general.",
             "The data is made so that patterns of the whole group survive. What such a pattern says about a person holds "
             "whether or not that person was in the table, and synthetic data does not prevent it."),
        Term("Attackers other than those tried.",
             "The attacks below are the ones that were run, with the knowledge stated for each. An attack that finds "
             "nothing is absence of evidence; a stronger or better informed one may find more."),
        Term("A judgement in law.",
             "Whether this data counts as anonymous under the law that applies to you is for a person to judge. This "
             "report is evidence for that judgement and does not replace it."),
        Term("Truth of a single row.",
             "A synthetic row is drawn from a model. It is no record of anybody, even where it equals a real row by chance, "
             "and no decision about a person should rest on it."),
        Term("Every relation in the data.",
             "Rows are modelled as independent of each other: several rows about one person are not recognised as such. Relations "
             "among many columns at once, and small groups, are reproduced less exactly than the figures here show for the whole."),
        Term("Freedom from bias.", "What is unbalanced or unfair in the real table stays so in the synthetic one."),
    ]


def _formal_limits(report: Report) -> list[Term]:
    g = report.guarantee
    if isinstance(g, PrivacyGuarantee):
        return [Term(
            "Anything outside the stated guarantee.",
            f"It covers {', '.join(g.covers) or 'the method itself'}, for one {g.unit}. The measurements in this report "
            "were made on the real table without noise and are outside of it: share them with that in mind.",
        )]
    return [Term(
        "A formal privacy guarantee.",
        "No differential privacy was applied. There is no mathematical bound on what an attacker might learn; protection rests "
        "on the rules listed under “How the data is protected” and on the attacks that were tried.",
    )]


def glossary() -> list[Term]:
    """The words of the report, for somebody who is no statistician."""
    return [
        Term("Real against real (floor)",
             "The same measurement with half of the held-out real rows standing in for synthetic data and the other half as "
             "the rows held back. No honest method should be expected to do better; a value far better hints at copying."),
        Term("Train and holdout rows",
             "Train rows are what the method learnt from. Holdout rows come from the same table and were never shown to it; "
             "they are what an unseen person looks like."),
        Term("Interval", "The range within which the value would fall 95 times out of 100 if the measuring were repeated."),
        Term("AUC", "How well somebody tells two groups apart: 0.5 is guessing, 1 is always right."),
        Term("Membership attack",
             "An attacker holds somebody's full record and the synthetic data, and tries to tell whether that record was "
             "among the train rows."),
        Term("Shape and trend",
             "Shape: how alike a column's distribution is in both tables. Trend: how alike the relation of two columns is. "
             "1 is best for both."),
        Term("C2ST (two-sample test)",
             "A strong classifier is trained to tell synthetic rows from real ones. 0.5 means it cannot; 1 means it always can. "
             "It measures fidelity, not privacy."),
        Term("TSTR (train on synthetic, test on real)",
             "A model is trained on synthetic rows and tested on holdout rows, beside one trained on real rows."),
        Term("DCR share",
             "How often a synthetic row's nearest real row is a train row rather than a holdout row, with both equally many: "
             "0.5 is best, more hints at memory of the train rows."),
        Term("TPR at 1% FPR",
             "How many members a membership attack finds while accusing one non-member in a hundred. It sees leaks that "
             "an average hides."),
        Term("Minimum support", "No value in the data and no bar in this report rests on fewer distinct real records than this."),
        Term("Differential privacy (ε, δ)",
             "A mathematical bound on how much any one person's record can change what is released. Smaller is stronger."),
    ]
