"""Columns as inline SVG. Each chart has a title and says in words what it shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from synthloom.domain.report import ColumnReport, DiscreteFigure, NumericFigure
from synthloom.domain.schema import Kind
from synthloom.reports.svg import Drawing, fmt, short_number, shorten, span_text, text_width, ticks, time_ticks

_WIDTH = 200.0


def column_svg(column: ColumnReport, uid: str) -> Markup | None:
    """The overlay of one column, or None where it has no figure."""
    if isinstance(column.figure, NumericFigure):
        return _numeric(column, column.figure, uid)
    if isinstance(column.figure, DiscreteFigure):
        return _discrete(column, column.figure, uid)
    return None


def value_text(x: float, kind: Kind) -> str:
    """A value on a column's axis: a number, a date or a duration."""
    if kind in (Kind.DATE, Kind.TIMESTAMP):
        return str(np.datetime64(math.floor(x), "s"))[: 10 if kind is Kind.DATE else 16].replace("T", " ")
    return span_text(x) if kind is Kind.DURATION else short_number(x)


def _numeric(column: ColumnReport, figure: NumericFigure, uid: str) -> Markup:
    place = _placer(figure)
    edges = [place(e) for e in figure.edges]
    left, width, base = 4.0, _WIDTH - 8, 84.0
    top = 18.0 if figure.atom else 4.0
    low, high = edges[0], edges[-1]
    xs = [left + (e - low) / (high - low) * width for e in edges]
    wide = np.diff(xs)
    heights = [np.asarray(shares) / wide for shares in (figure.real, figure.synthetic)]
    peak = float(max(heights[0].max(), heights[1].max())) or 1.0
    ys = [base - h / peak * (base - top) for h in heights]
    title = f"{column.name}: real and synthetic distribution"
    d = Drawing(_WIDTH, 100, title=title, desc=_in_words(column, figure), uid=uid)
    if figure.atom:
        d.text(left, 10, f"exactly {value_text(figure.atom.value, column.kind)}", look="ink")
        d.text(_WIDTH - 40, 10, _percent(figure.atom.real), anchor="end", look="real-text")
        d.text(_WIDTH - 4, 10, _percent(figure.atom.synthetic), anchor="end", look="synthetic-text")
    d.path(_steps(xs, ys[0], base) + "Z", "real-area")
    d.path(_steps(xs, ys[0], base), "real-line")
    d.path(_steps(xs, ys[1], base), "synthetic-line")
    d.line(left, base, left + width, base, look="axis")
    for x, text_x, name in _labels(figure, column.kind, lambda v: left + (place(v) - low) / (high - low) * width):
        d.line(x, base, x, base + 3, look="axis")
        d.text(text_x, base + 12, name, anchor="middle")
    return d.markup()


def _labels(figure: NumericFigure, kind: Kind, spot: Callable[[float], float]) -> list[tuple[float, float, str]]:
    """Marks of an axis as (place, place of the text, text): as many as stand beside each other without touching."""
    ends = spot(figure.edges[0]), spot(figure.edges[-1])
    for most in (6, 5, 4, 3, 2):
        placed = []
        for value, name in _axis(figure, kind, most):
            room = 2.4 * len(name)
            placed.append((spot(value), min(max(spot(value), ends[0] + room), ends[1] - room), name))
        gaps = [b[1] - a[1] - 2.4 * (len(a[2]) + len(b[2])) for a, b in pairwise(placed)]
        if placed and min(gaps, default=9) > 5:
            return placed
    return placed[:1]


def _placer(figure: NumericFigure) -> Callable[[float], float]:
    if figure.scale == "linear":
        return float
    return lambda x: math.asinh(x / figure.unit)


def _steps(xs: Sequence[float], ys: np.ndarray, base: float) -> str:
    parts = [f"M{fmt(xs[0])} {fmt(base)}"]
    for i, y in enumerate(ys):
        parts.append(f"V{fmt(float(y))}H{fmt(xs[i + 1])}")
    return "".join(parts) + f"V{fmt(base)}"


def _axis(figure: NumericFigure, kind: Kind, most: int) -> list[tuple[float, str]]:
    low, high = figure.edges[0], figure.edges[-1]
    if kind in (Kind.DATE, Kind.TIMESTAMP):
        return time_ticks(low, high, most)
    if figure.scale == "asinh":
        tops = [figure.unit * 10.0**i for i in range(20) if figure.unit * 10.0**i <= max(abs(low), abs(high))]
        marks = [-t for t in reversed(tops)] + [0.0] + tops
        marks = [m for m in marks if low <= m <= high]
        return [(m, value_text(m, kind)) for m in marks[:: math.ceil(len(marks) / most)]]
    if kind is Kind.DURATION:
        per = next((s for s in (86400.0, 3600.0, 60.0) if high - low > 3 * s), 1.0)
        return [(t * per, span_text(t * per)) for t in ticks(low / per, high / per, most)]
    return [(t, short_number(t)) for t in ticks(low, high, most)]


def _in_words(column: ColumnReport, figure: NumericFigure) -> str:
    first = ""
    if figure.atom:
        first = (
            f"{figure.atom.real:.1%} of the real and {figure.atom.synthetic:.1%} of the synthetic values are exactly "
            f"{value_text(figure.atom.value, column.kind)}; the histogram holds the others. "
        )
    middles = [value_text(_quantile(figure, shares, 0.5), column.kind) for shares in (figure.real, figure.synthetic)]
    gaps = np.abs(np.subtract(figure.real, figure.synthetic))
    i = int(gaps.argmax())
    ends = [value_text(e, column.kind) for e in figure.edges[i : i + 2]]
    return (
        f"{first}Histogram with {len(figure.real)} bins. Half of its real values lie below about {middles[0]}, half of "
        f"its synthetic values below about {middles[1]}. The largest difference is between {ends[0]} and {ends[1]}: "
        f"{figure.real[i]:.1%} of the real and {figure.synthetic[i]:.1%} of the synthetic values."
    )


def _quantile(figure: NumericFigure, shares: Sequence[float], q: float) -> float:
    total = np.concatenate([[0.0], np.cumsum(shares)])
    return float(np.interp(q * total[-1], total, figure.edges))


def _discrete(column: ColumnReport, figure: DiscreteFigure, uid: str) -> Markup:
    names = [*figure.labels]
    if figure.other:
        names.append(f"{figure.other} other label{'s' if figure.other > 1 else ''}")
    row, short = 15.0 if len(names) <= 10 else 13.0, [shorten(n, 15) or "(blank)" for n in names]
    left = 11 + 5 * max(text_width(n) for n in short)
    room = _WIDTH - left - 73
    words = "; ".join(f"{n}: {r:.1%} and {s:.1%}" for n, r, s in zip(names, figure.real, figure.synthetic, strict=True))
    d = Drawing(
        _WIDTH, row * len(names) + 8, title=f"{column.name}: real and synthetic shares",
        desc=f"Shares of filled cells, real and synthetic. {words}.", uid=uid,
    )
    peak = max(*figure.real, *figure.synthetic, 1e-9)
    d.line(left - 3, 2, left - 3, row * len(names) + 6, look="rule")
    for i in range(len(names)):
        y = 4 + i * row
        d.text(left - 7, y + 9, short[i], anchor="end", look="ink" if i < len(figure.labels) else "text")
        d.rect(left, y + 1, figure.real[i] / peak * room, 5, look="real-bar")
        d.rect(left, y + 7, figure.synthetic[i] / peak * room, 4.6, look="synthetic-bar")
        d.text(left + room + 34, y + 9, _percent(figure.real[i]), anchor="end", look="real-text", size=8)
        d.text(left + room + 68, y + 9, _percent(figure.synthetic[i]), anchor="end", look="synthetic-text", size=8)
    return d.markup()


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return "<0.1%"
    return f"{share:.1%}" if share < 0.9995 or share == 1 else ">99.9%"
