"""A comparison as files: JSON for machines, one page of HTML for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from synthloom.domain.comparison import Comparison, Figure, Standing
from synthloom.domain.measurement import Direction, MetricInfo
from synthloom.reports.render import environment
from synthloom.reports.svg import Drawing, fmt, shorten, ticks
from synthloom.reports.words import chapter_of, ends_text, number

_AREA, _ATTACK = "utility.c2st", "privacy.mia_auc"
_UTILITY = ("utility.auroc", "utility.r2", "utility.c_index")
_HEADS = (
    ("Telling apart", (_AREA,), True), ("Shape", ("utility.shape",), False), ("Trend", ("utility.trend",), False),
    ("Utility", _UTILITY, False), ("DCR share", ("privacy.dcr_share",), True), ("Membership", (_ATTACK,), True),
)
_ROW, _PANEL, _NAMES, _GAP = 26.0, 150.0, 150.0, 22.0


def to_json(comparison: Comparison) -> bytes:
    """comparison.json: the whole comparison, UTF-8, indented."""
    return comparison.model_dump_json(indent=2).encode() + b"\n"


def to_html(comparison: Comparison) -> str:
    """comparison.html: one file that needs nothing else; equal comparisons give equal text."""
    return environment().get_template("comparison.html.j2").render(view(comparison))


def view(comparison: Comparison) -> dict[str, Any]:
    """Everything the template prints."""
    measured = [s for s in comparison.standings if s.state == "measured"]
    heads = [(title, keys, ends) for title, keys, ends in _HEADS if any(_of(s, keys) for s in measured)]
    return {
        "comparison": comparison, "title": comparison.dataset or "a table", "advice": comparison.recommendation,
        "heads": [title for title, _, _ in heads], "rows": [_row(s, heads, comparison) for s in measured],
        "floor": [_floor(comparison, keys) for _, keys, _ in heads],
        "absent": [s for s in comparison.standings if s.state != "measured"],
        "picture": _picture(measured, comparison) if measured else None,
        "chapters": _chapters(measured, comparison),
        "names": [(s.method.replace("_", " "), s.backend) for s in measured],
        "settings": [(_label(s), ", ".join(f"{k} {v}" for k, v in s.params.items()) or "defaults") for s in measured],
        "facts": _facts(comparison),
    }


def _facts(c: Comparison) -> list[tuple[str, str]]:
    return [
        ("Real rows", f"{c.n_real:,}"), ("Learnt from", f"{c.n_train:,}"), ("Kept back", f"{c.n_holdout:,}"),
        ("Drawn by each", f"{c.n_synth:,}"), ("Fits of each", f"{c.seeds}"),
    ]


def _label(s: Standing) -> str:
    return f"{s.method.replace('_', ' ')} ({s.backend})"


def _row(
    s: Standing, heads: Sequence[tuple[str, tuple[str, ...], bool]], comparison: Comparison
) -> dict[str, Any]:
    advice = comparison.recommendation
    cells = []
    for _, keys, has_ends in heads:
        figure = _of(s, keys)
        cells.append({"value": _three(figure), "ends": _ends(figure, has_ends, comparison.seeds)})
    limits = "inside the privacy limits" if s.inside else "outside the privacy limits"
    said = f"{limits[:1].upper()}{limits[1:]}. {s.reason}".strip()
    if s.failed_limits:
        said += f" Not passed: {', '.join(s.failed_limits)}."
    if s.privacy != "none":
        said += f" Formal privacy: {s.privacy}."
    return {
        "label": _label(s), "place": s.place, "inside": bool(s.inside), "said": said, "cells": cells,
        "chosen": advice is not None and (advice.method, advice.backend) == (s.method, s.backend),
        "fit": _seconds(s.fit_seconds), "sample": _seconds(s.sample_seconds),
        "memory": "–" if s.memory_mb is None else f"{s.memory_mb:,.0f} MB",
    }


def _of(s: Standing, keys: tuple[str, ...]) -> Figure | None:
    return next((s.figures[k] for k in keys if k in s.figures), None)


def _three(figure: Figure | None) -> str:
    return "–" if figure is None else f"{figure.mean:.3f}"


def _ends(figure: Figure | None, has_ends: bool, seeds: int) -> str:
    """The interval, or the spread over the seeds where there are several."""
    if figure is None:
        return ""
    if seeds > 1:
        return ends_text(figure.least, figure.most)
    return ends_text(figure.low, figure.high) if has_ends and figure.low is not None and figure.high is not None else ""


def _floor(comparison: Comparison, keys: tuple[str, ...]) -> str:
    value = next((comparison.floors[k] for k in keys if k in comparison.floors), None)
    return "–" if value is None else f"{value:.3f}"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _chapters(measured: Sequence[Standing], comparison: Comparison) -> list[tuple[str, list[dict[str, Any]]]]:
    """Every metric with a number for anybody, by chapter; the best numbers are marked."""
    found: dict[str, list[dict[str, Any]]] = {}
    for info in comparison.metrics:
        values = [s.figures[info.key].mean if info.key in s.figures else None for s in measured]
        if any(v is not None for v in values):
            best = _best([v for v in values if v is not None], info)
            floor = comparison.floors.get(info.key)
            found.setdefault(chapter_of(info.key, info.chapter), []).append({
                "title": info.title, "key": info.key, "better": _better(info),
                "values": [("–" if v is None else number(v), v is not None and v == best) for v in values],
                "floor": "–" if floor is None else number(floor),
            })
    return list(found.items())


def _better(info: MetricInfo) -> str:
    if info.direction is Direction.TARGET:
        return f"near {info.ideal:g}"
    return {Direction.HIGHER: "higher", Direction.LOWER: "lower"}.get(info.direction, "")


def _best(values: Sequence[float], info: MetricInfo) -> float | None:
    """The value that is better than all others; None where there is none such."""
    if len(set(values)) < 2 or info.direction is Direction.NONE:
        return None
    if info.direction is Direction.TARGET:
        ideal = info.ideal or 0.0
        return min(values, key=lambda v: abs(v - ideal))
    return max(values) if info.direction is Direction.HIGHER else min(values)


def _picture(measured: Sequence[Standing], comparison: Comparison) -> Markup:
    """Three strips per contender: how it is told from real rows, the membership attack, the seconds it took."""
    height = 30 + _ROW * len(measured)
    width = _NAMES + 3 * (_PANEL + _GAP)
    words = "; ".join(
        f"{_label(s)}: telling apart {_three(_of(s, (_AREA,)))}, membership {_three(_of(s, (_ATTACK,)))}, "
        f"{_seconds(s.fit_seconds)}" for s in measured
    )
    d = Drawing(width, height, title="Fidelity, privacy and time, side by side", desc=words, uid="side")
    for at, s in enumerate(measured):
        d.text(0, 30 + _ROW * at + 3, shorten(_label(s), 28), look="ink", size=9, weight=700 if at == 0 else None)
    _strip(d, (0, "told from real rows (0.5 is best)", _AREA), measured, comparison)
    _strip(d, (1, "membership attack (0.5 is best)", _ATTACK), measured, comparison)
    _time_strip(d, measured)
    return d.markup()


def _strip(
    d: Drawing, what: tuple[int, str, str], measured: Sequence[Standing], comparison: Comparison
) -> None:
    """One metric of all contenders: which panel, its title, the metric's key."""
    panel, title, key = what
    left = _NAMES + panel * (_PANEL + _GAP)
    figures = [s.figures.get(key) for s in measured]
    ends = [e for f in figures if f for e in (f.least, f.most, f.low, f.high) if e is not None]
    limit = next((t.limit for t in comparison.thresholds if t.key == key), None)
    floor = comparison.floors.get(key)
    low = min(0.5, *ends, 0.5)
    high = max(0.6, *(ends or [0.6]), *([limit + 0.01] if limit is not None else []))

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * _PANEL

    d.text(left, 9, title, size=8)
    for at, figure in enumerate(figures):
        y = 30 + _ROW * at
        d.rect(left, y - 2, _PANEL, 4, look="track", radius=2)
        if figure is None:
            continue
        a, b = (figure.low, figure.high) if comparison.seeds == 1 else (figure.least, figure.most)
        if a is not None and b is not None:
            d.rect(x(a), y - 4, max(x(b) - x(a), 1.0), 8, look="interval", radius=3)
        if floor is not None and low <= floor <= high:
            d.diamond(x(floor), y, 4)
        d.circle(x(figure.mean), y, 3.4, "dot")
    bottom = 30 + _ROW * len(measured)
    if limit is not None:
        d.line(x(limit), 18, x(limit), bottom - 14, look="limit")
    for t in ticks(low, high, 4):
        d.text(x(t), bottom - 4, f"{t:g}", anchor="middle", size=7.5)


def _time_strip(d: Drawing, measured: Sequence[Standing]) -> None:
    left = _NAMES + 2 * (_PANEL + _GAP)
    seconds = [max(s.fit_seconds or 0.0, 0.0) for s in measured]
    most = max([1.0, *seconds])
    powers = range(-1, math.ceil(math.log10(most)) + 1)
    first, last = powers[0], powers[-1]

    def x(value: float) -> float:
        place = (math.log10(max(value, 10.0**first)) - first) / max(last - first, 1)
        return left + min(max(place, 0.0), 1.0) * _PANEL

    d.text(left, 9, "seconds to learn", size=8)
    bottom = 30 + _ROW * len(measured)
    for power in powers:
        d.line(x(10.0**power), 20, x(10.0**power), bottom - 14)
        d.text(x(10.0**power), bottom - 4, f"{10.0**power:g}", anchor="middle", size=7.5)
    for at, value in enumerate(seconds):
        y = 30 + _ROW * at
        d.path(f"M{fmt(left)} {fmt(y)}L{fmt(x(value))} {fmt(y)}", "real-line")
        d.circle(x(value), y, 3.4, "dot")
