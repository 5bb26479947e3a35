"""A race as the template and the terminal want it: one row per candidate and round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synthloom.domain.budget import budget_text
from synthloom.domain.race import Heat, Race, Score
from synthloom.domain.report import Report
from synthloom.reports.words import ends_text

_AREA = "utility.c2st"
_UTILITY = ("utility.auroc", "utility.r2", "utility.c_index")
_COLUMNS = (
    ("Telling apart", (_AREA,)), ("Shape", ("utility.shape",)), ("Trend", ("utility.trend",)),
    ("Utility", _UTILITY), ("DCR share", ("privacy.dcr_share",)), ("Membership", ("privacy.mia_auc",)),
)
_WITH_INTERVAL = ("Telling apart", "DCR share", "Membership")
_WORDS = {
    "ahead": "went on", "behind": "others were nearer", "late": "too slow", "failed": "could not be measured",
    "absent": "not installed",
}


def race_view(race: Race | None) -> dict[str, Any] | None:
    """What the report's table of the race shows; None where there was none."""
    if race is None:
        return None
    shown = [(title, keys) for title, keys in _COLUMNS if any(_score(h, keys) for h in race.heats)]
    return {
        "heads": [title for title, _ in shown], "rows": [_row(h, shown) for h in race.heats],
        "lead": _lead(race), "rounds": max((h.round for h in race.heats), default=0) > 1,
    }


def race_line(report: Report) -> str:
    """The race in a line: `cart 0.544, ddpm 0.571, …`; empty where there was none."""
    if report.race is None or report.race.winner is None:
        return ""
    last: dict[str, Score] = {}
    for heat in report.race.heats:
        if _AREA in heat.scores:
            last[heat.method] = heat.scores[_AREA]
    rest = sorted((s.value, m) for m, s in last.items() if m != report.race.winner)
    own = last.get(report.race.winner)
    told = [f"{report.race.winner} {own.value:.3f}"] if own else [report.race.winner]
    others = f" before {', '.join(f'{m} {v:.3f}' for v, m in rest)}" if rest else ""
    return f"Chosen in a race of {report.race.seconds:.0f} s: {', '.join(told)}{others} (telling apart; 0.5 is best)"


def _lead(race: Race) -> str:
    rows = f"{race.rows:,} training rows kept apart"
    if race.repeats > 1:
        rows += f", {race.repeats} times anew (the numbers are means)"
    return (
        f"Before one method learnt all training rows, several learnt a part of them and were measured on {rows}. It "
        f"took {race.seconds:.0f} s of a budget of {budget_text(race.budget)}. Whoever is hardest to tell from real "
        "rows, inside the privacy limits, is chosen; among equals the likeness of columns and pairs, and utility, "
        "decide; where chance may have put one net before another that is about as like the table, the one "
        "that measured better on other tables."
    )


def _row(heat: Heat, shown: Sequence[tuple[str, tuple[str, ...]]]) -> dict[str, Any]:
    values = []
    for title, keys in shown:
        score = _score(heat, keys)
        has_ends = title in _WITH_INTERVAL and score is not None and score.low is not None and score.high is not None
        values.append({
            "value": f"{score.value:.3f}" if score else "–",
            "interval": ends_text(score.low, score.high) if has_ends and score else "",  # type: ignore[arg-type]
        })
    return {
        "method": heat.method.replace("_", " "), "round": heat.round or "–", "won": heat.placing == "won",
        "said": _said(heat),
        "rows": f"{heat.rows:,}" if heat.rows else "–", "seconds": f"{heat.seconds:.1f} s" if heat.scores else "",
        "inside": heat.inside, "values": values,
    }


def _said(heat: Heat) -> str:
    """`Inside the limits; went on.`, and why where there is more to say."""
    limits = {True: "inside the limits", False: "outside the limits", None: ""}[heat.inside]
    word = "" if heat.placing in ("won", "outside") else _WORDS[heat.placing]
    text = "; ".join(part for part in (limits, word) if part)
    return f"{text[:1].upper()}{text[1:]}. {heat.reason}".strip()


def _score(heat: Heat, keys: tuple[str, ...]) -> Score | None:
    return next((heat.scores[k] for k in keys if k in heat.scores), None)
