"""The charts of a report as inline SVG. Each has a title and says in words what it shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from markupsafe import Markup

from synthloom.domain.event import Loss
from synthloom.domain.measurement import Direction, Measured, Measurement, Threshold
from synthloom.domain.report import Associations, ColumnReport, DiscreteFigure, NumericFigure
from synthloom.domain.schema import Kind
from synthloom.reports.svg import Drawing, fmt, short_number, shorten, span_text, ticks, time_ticks

_WIDTH = 240.0


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
    left, width, top, base = 5.0, _WIDTH - 10, 5.0, 96.0
    low, high = edges[0], edges[-1]
    xs = [left + (e - low) / (high - low) * width for e in edges]
    wide = np.diff(xs)
    heights = [np.asarray(shares) / wide for shares in (figure.real, figure.synthetic)]
    peak = float(max(heights[0].max(), heights[1].max())) or 1.0
    ys = [base - h / peak * (base - top) for h in heights]
    d = Drawing(_WIDTH, 112, title=f"{column.name}: real and synthetic distribution", desc=_in_words(column, figure), uid=uid)
    d.path(_steps(xs, ys[0], base) + "Z", "real-area")
    d.path(_steps(xs, ys[0], base), "real-line")
    d.path(_steps(xs, ys[1], base), "synthetic-line")
    d.line(left, base, left + width, base, "axis")
    free = -1e9
    for value, name in _axis(figure, column.kind):
        x = left + (place(value) - low) / (high - low) * width
        room = 2.4 * len(name)
        x_text = min(max(x, left + room), left + width - room)
        if x_text - room > free:
            d.line(x, base, x, base + 3, "axis")
            d.text(x_text, base + 12, name, anchor="middle")
            free = x_text + room + 4
    return d.markup()


def _placer(figure: NumericFigure) -> Callable[[float], float]:
    if figure.scale == "linear":
        return float
    return lambda x: math.asinh(x / figure.unit)


def _steps(xs: Sequence[float], ys: np.ndarray, base: float) -> str:
    parts = [f"M{fmt(xs[0])} {fmt(base)}"]
    for i, y in enumerate(ys):
        parts.append(f"V{fmt(float(y))}H{fmt(xs[i + 1])}")
    return "".join(parts) + f"V{fmt(base)}"


def _axis(figure: NumericFigure, kind: Kind) -> list[tuple[float, str]]:
    low, high = figure.edges[0], figure.edges[-1]
    if kind in (Kind.DATE, Kind.TIMESTAMP):
        return time_ticks(low, high)
    if figure.scale == "asinh":
        tops = [figure.unit * 10.0**i for i in range(20) if figure.unit * 10.0**i <= max(abs(low), abs(high))]
        marks = [-t for t in reversed(tops)] + [0.0] + tops
        return [(m, value_text(m, kind)) for m in marks if low <= m <= high]
    if kind is Kind.DURATION:
        per = next((s for s in (86400.0, 3600.0, 60.0) if high - low > 3 * s), 1.0)
        return [(t * per, span_text(t * per)) for t in ticks(low / per, high / per)]
    return [(t, short_number(t)) for t in ticks(low, high)]


def _in_words(column: ColumnReport, figure: NumericFigure) -> str:
    middles = [value_text(_quantile(figure, shares, 0.5), column.kind) for shares in (figure.real, figure.synthetic)]
    gaps = np.abs(np.subtract(figure.real, figure.synthetic))
    i = int(gaps.argmax())
    ends = [value_text(e, column.kind) for e in figure.edges[i : i + 2]]
    return (
        f"Histogram with {len(figure.real)} bins. Half of the real values lie below about {middles[0]}, half of the "
        f"synthetic values below about {middles[1]}. The largest difference is between {ends[0]} and {ends[1]}: "
        f"{figure.real[i]:.1%} of the real and {figure.synthetic[i]:.1%} of the synthetic values."
    )


def _quantile(figure: NumericFigure, shares: Sequence[float], q: float) -> float:
    total = np.concatenate([[0.0], np.cumsum(shares)])
    return float(np.interp(q * total[-1], total, figure.edges))


def _discrete(column: ColumnReport, figure: DiscreteFigure, uid: str) -> Markup:
    names = [*figure.labels]
    if figure.other:
        names.append(f"{figure.other} other label{'s' if figure.other > 1 else ''}")
    row, left, room = 15.0, 92.0, 78.0
    words = "; ".join(f"{n}: {r:.1%} and {s:.1%}" for n, r, s in zip(names, figure.real, figure.synthetic, strict=True))
    d = Drawing(
        _WIDTH, row * len(names) + 8, title=f"{column.name}: real and synthetic shares",
        desc=f"Shares of filled cells, real and synthetic. {words}.", uid=uid,
    )
    peak = max(*figure.real, *figure.synthetic, 1e-9)
    d.line(left - 3, 2, left - 3, row * len(names) + 6, "rule")
    for i, name in enumerate(names):
        y = 4 + i * row
        d.text(left - 7, y + 9, shorten(name, 18) or "(blank)", anchor="end", look="ink" if i < len(figure.labels) else "text")
        d.rect(left, y + 1, figure.real[i] / peak * room, 5, "real-bar")
        d.rect(left, y + 7, figure.synthetic[i] / peak * room, 4.6, "synthetic-bar")
        d.text(left + room + 34, y + 9, _percent(figure.real[i]), anchor="end", look="real-text", size=8)
        d.text(left + room + 68, y + 9, _percent(figure.synthetic[i]), anchor="end", look="synthetic-text", size=8)
    return d.markup()


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return "<0.1%"
    return f"{share:.1%}" if share < 0.9995 or share == 1 else ">99.9%"


def _blend(t: float, low: tuple[int, int, int], mid: tuple[int, int, int], high: tuple[int, int, int]) -> str:
    """Colour at t in -1 … 1 on a diverging ramp."""
    end, share = (high, t) if t >= 0 else (low, -t)
    return "#" + "".join(f"{round(m + (e - m) * share):02x}" for m, e in zip(mid, end, strict=True))


_LEVELS = 8
_NEGATIVE, _NEUTRAL, _POSITIVE, _CHANGED = (201, 86, 10), (246, 247, 249), (11, 78, 140), (150, 20, 70)
_DARK, _NEGATIVE_DARK, _POSITIVE_DARK, _CHANGED_DARK = (32, 38, 45), (246, 150, 70), (95, 175, 240), (245, 110, 160)


def heatmaps_svg(associations: Associations, uid: str) -> Markup:
    """Three matrices side by side: real, synthetic, and the size of their difference."""
    p = len(associations.names)
    side, gap, named = 176.0, 14.0, p <= 20
    left = 106.0 if named else 22.0
    if not named:
        side = 204.0
    cell = side / p
    real, drawn = (_filled(m) for m in (associations.real, associations.synthetic))
    width, top = left + 3 * side + 2 * gap + 2, 22.0
    d = Drawing(width, top + side + 54, title="How columns hang together: real, synthetic, and the difference", desc=_pairs_in_words(associations), uid=uid)
    panels = (("Real", real, 1.0), ("Synthetic", drawn, 1.0), ("Difference", np.abs(real - drawn), 0.5))
    for k, (name, matrix, top_value) in enumerate(panels):
        x = left + k * (side + gap)
        d.text(x, 12, name, look="ink", size=10, weight=600)
        _cells(d, matrix / top_value, x, top, cell, changed=k == 2)
    for i in range(p):
        y = top + (i + 0.5) * cell + 3
        if named:
            d.text(left - 6, y, shorten(associations.names[i], 17), anchor="end", size=min(8.5, cell))
        if named or i % 5 == 4 or i == 0:
            if not named:
                d.text(left - 4, y, str(i + 1), anchor="end", size=7)
            for k in range(3):
                d.text(left + k * (side + gap) + (i + 0.5) * cell, top + side + 9, str(i + 1), anchor="middle", size=min(7, cell * 0.9))
    _legend(d, left, top + side + 24, side * 2 + gap, ("−1", "0", "1"), changed=False)
    _legend(d, left + 2 * (side + gap), top + side + 24, side, ("0", "0.25", "0.5 or more"), changed=True)
    return d.markup()


def _filled(matrix: Sequence[Sequence[float | None]]) -> np.ndarray:
    return np.array([[np.nan if v is None else v for v in row] for row in matrix])


def _cells(d: Drawing, matrix: np.ndarray, x: float, y: float, cell: float, *, changed: bool) -> None:
    levels = np.where(np.isnan(matrix), 99, np.rint(np.clip(np.nan_to_num(matrix), -1, 1) * _LEVELS)).astype(int)
    for level in np.unique(levels):
        places = list(zip(*(axis.tolist() for axis in np.nonzero(levels == level)), strict=True))
        if level == 99:
            d.cells(x, y, cell, places, "#ffffff", "cell-none")
        else:
            d.cells(x, y, cell, places, _colour(level / _LEVELS, changed=changed), f"cell{'-d' if changed else ''}{level}")
    size = cell * len(matrix)
    d.path(f"M{fmt(x)} {fmt(y)}h{fmt(size)}v{fmt(size)}h-{fmt(size)}z", "rule")


def _colour(t: float, *, changed: bool) -> str:
    return _blend(t, _NEGATIVE, _NEUTRAL, _CHANGED if changed else _POSITIVE)


def dark_cells_css() -> str:
    """Rules that give the heat maps' classes their colours on a dark screen."""
    signed = (f".cell{i}{{fill:{_blend(i / _LEVELS, _NEGATIVE_DARK, _DARK, _POSITIVE_DARK)}}}" for i in range(-_LEVELS, _LEVELS + 1))
    sizes = (f".cell-d{i}{{fill:{_blend(i / _LEVELS, _DARK, _DARK, _CHANGED_DARK)}}}" for i in range(_LEVELS + 1))
    return ".cell-none{fill:#14181d}" + "".join(signed) + "".join(sizes)


def _legend(d: Drawing, x: float, y: float, width: float, marks: tuple[str, str, str], *, changed: bool) -> None:
    levels = range(0 if changed else -_LEVELS, _LEVELS + 1)
    step = min(width, 150.0) / len(levels)
    for i, level in enumerate(levels):
        d.cells(x + i * step, y, step, [(0, 0)], _colour(level / _LEVELS, changed=changed), f"cell{'-d' if changed else ''}{level}")
    full = step * len(levels)
    for share, text, anchor in ((0.0, marks[0], "start"), (0.5, marks[1], "middle"), (1.0, marks[2], "end")):
        d.text(x + share * full, y + step + 9, text, anchor=anchor, size=7.5)


def changed_pairs(associations: Associations, most: int = 8) -> list[tuple[str, str, float, float]]:
    """The pairs that changed most: names, real, synthetic."""
    real, drawn = (_filled(m) for m in (associations.real, associations.synthetic))
    rows, columns = np.triu_indices(len(real), 1)
    gaps = np.nan_to_num(np.abs(real - drawn))[rows, columns]
    best = np.argsort(-gaps, kind="stable")[:most]
    return [
        (associations.names[rows[i]], associations.names[columns[i]], float(real[rows[i], columns[i]]), float(drawn[rows[i], columns[i]]))
        for i in best if gaps[i] > 0
    ]


def _pairs_in_words(associations: Associations) -> str:
    real, drawn = (_filled(m) for m in (associations.real, associations.synthetic))
    gaps = np.abs(real - drawn)[np.triu_indices(len(real), 1)]
    gaps = gaps[~np.isnan(gaps)]
    if not len(gaps):
        return "No pair of columns has an association in both tables."
    worst = changed_pairs(associations, 3)
    pairs = "; ".join(f"{a} with {b}: {r:.2f} and {s:.2f}" for a, b, r, s in worst)
    tail = f" Largest differences (real and synthetic): {pairs}." if pairs else ""
    return f"{len(gaps)} pairs of columns; the difference is {gaps.mean():.3f} on average, {gaps.max():.3f} at most.{tail}"


def strip_svg(measurement: Measurement, threshold: Threshold | None, uid: str) -> Markup | None:
    """Value, interval, floor and limit of one metric on a line; None where there is no value or no range to draw."""
    outcome, info = measurement.outcome, measurement.info
    if not isinstance(outcome, Measured) or info.direction is Direction.NONE:
        return None
    marks = _strip_marks(measurement, outcome, threshold)
    low, high = _strip_range(measurement, marks)
    left, width, y = 6.0, 168.0, 9.0

    def x(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * width

    d = Drawing(180, 27, title=f"{info.title} on its scale", desc=_strip_words(measurement, outcome, threshold), uid=uid)
    d.rect(left, y - 2, width, 4, "track", 2)
    if outcome.interval:
        a, b = x(outcome.interval.low), x(outcome.interval.high)
        d.rect(a, y - 4, max(b - a, 1.0), 8, "interval", 3)
    if threshold:
        d.line(x(threshold.limit), 1, x(threshold.limit), 17, "limit")
    if isinstance(measurement.floor, Measured):
        d.diamond(x(measurement.floor.value), y, 4.2)
    d.circle(x(outcome.value), y, 3.2, "dot")
    d.text(left, 25, short_number(low), size=7)
    d.text(left + width, 25, short_number(high), anchor="end", size=7)
    if threshold and left + 16 < x(threshold.limit) < left + width - 16:
        d.text(x(threshold.limit), 25, f"{threshold.limit:g}", anchor="middle", look="limit-text", size=7)
    return d.markup()


def _strip_marks(measurement: Measurement, outcome: Measured, threshold: Threshold | None) -> list[float]:
    marks = [outcome.value]
    marks += [outcome.interval.low, outcome.interval.high] if outcome.interval else []
    marks += [measurement.floor.value] if isinstance(measurement.floor, Measured) else []
    marks += [threshold.limit] if threshold else []
    return marks + ([measurement.info.ideal] if measurement.info.ideal is not None else [])


def _strip_range(measurement: Measurement, marks: Sequence[float]) -> tuple[float, float]:
    """Round ends around everything drawn, within the metric's own range."""
    info = measurement.info
    low, high = min(marks), max(marks)
    room = max((high - low) * 0.15, 0.02 * max(abs(low), abs(high), 0.1))
    step = 10.0 ** math.floor(math.log10(high - low + 2 * room))
    step = step / 2 if (high - low) / step < 4 else step
    low, high = math.floor((low - room) / step) * step, math.ceil((high + room) / step) * step
    low = low if info.low is None else max(low, info.low)
    high = high if info.high is None else min(high, info.high)
    return (low, high) if high > low else (low - step, high + step)


def _strip_words(measurement: Measurement, outcome: Measured, threshold: Threshold | None) -> str:
    words = [f"Value {outcome.value:.4g}"]
    if outcome.interval:
        words.append(f"{outcome.interval.level:.0%} interval {outcome.interval.low:.4g} to {outcome.interval.high:.4g}")
    if isinstance(measurement.floor, Measured):
        words.append(f"real against real {measurement.floor.value:.4g}")
    if threshold:
        words.append(f"limit {threshold.comparison.replace('_', ' ')} {threshold.limit:g}")
    return ", ".join(words) + "."


def frontier_svg(
    fidelity: Measurement, attack: Measurement, others: Sequence[tuple[str, float, float]], limit: float | None, uid: str
) -> Markup | None:
    """Where the data stands between fidelity (across) and privacy (up); both axes end at 0.5, the best.

    Args:
        fidelity: How well a detector tells synthetic from real (area under the curve).
        attack: How well the membership attack works (area under the curve).
        others: Other attempts: name, fidelity, attack.
        limit: The highest attack value that passes.
        uid: Makes the ids unique.
    """
    a, b = fidelity.outcome, attack.outcome
    if not isinstance(a, Measured) or not isinstance(b, Measured):
        return None
    left, top, width, height = 40.0, 12.0, 290.0, 150.0
    worst_x = max(0.6, *(v + 0.02 for v in [a.value, *(o[1] for o in others)]))
    reach = [b.value, limit or 0.5, *(o[2] for o in others), b.interval.high if b.interval else 0.5]
    worst_y = max(0.6, *(v + 0.01 for v in reach))
    low_x, low_y = (min(0.5, v) for v in (a.value, b.value))

    def spot(x: float, y: float) -> tuple[float, float]:
        return left + (worst_x - x) / (worst_x - low_x) * width, top + (y - low_y) / (worst_y - low_y) * height

    words = f"Detector {a.value:.3f} (0.5 is best), membership attack {b.value:.3f} (0.5 is best)."
    d = Drawing(left + width + 12, top + height + 34, title="Where this data stands between fidelity and privacy", desc=words, uid=uid)
    if limit is not None:
        y = spot(low_x, limit)[1]
        d.rect(left, top, width, y - top, "safe")
        d.line(left, y, left + width, y, "limit")
        d.text(left + 3, y - 4, f"limit {limit:g}", look="limit-text", size=7.5)
    d.path(f"M{fmt(left)} {fmt(top)}v{fmt(height)}h{fmt(width)}", "axis")
    for t in ticks(low_x, worst_x, 5):
        d.text(spot(t, low_y)[0], top + height + 11, f"{t:g}", anchor="middle", size=7.5)
    for t in ticks(low_y, worst_y, 4):
        d.text(left - 5, spot(low_x, t)[1] + 3, f"{t:g}", anchor="end", size=7.5)
    d.text(left + width / 2, top + height + 26, "told apart from real data → hard to tell apart", anchor="middle")
    d.text(10, top + height / 2, "leaks membership → private", anchor="middle", turn=True)
    _frontier_points(d, spot, fidelity, attack, others)
    return d.markup()


def _frontier_points(
    d: Drawing, spot: Callable[[float, float], tuple[float, float]], fidelity: Measurement, attack: Measurement,
    others: Sequence[tuple[str, float, float]],
) -> None:
    a, b = fidelity.outcome, attack.outcome
    if not isinstance(a, Measured) or not isinstance(b, Measured):
        return
    if isinstance(fidelity.floor, Measured) and isinstance(attack.floor, Measured):
        x, y = spot(fidelity.floor.value, attack.floor.value)
        d.diamond(x, y, 5)
        d.text(x - 8, y + 11, "real against real", anchor="end", size=7.5)
    for name, c, m in others:
        x, y = spot(c, m)
        d.circle(x, y, 3, "floor")
        d.text(x + 6, y + 3, name, size=7.5)
    x, y = spot(a.value, b.value)
    if b.interval:
        d.rect(x - 1.5, spot(a.value, b.interval.low)[1], 3, spot(a.value, b.interval.high)[1] - spot(a.value, b.interval.low)[1], "interval")
    if a.interval:
        d.rect(spot(a.interval.high, b.value)[0], y - 1.5, spot(a.interval.low, b.value)[0] - spot(a.interval.high, b.value)[0], 3, "interval")
    d.circle(x, y, 4.5, "dot")
    d.text(x + 8, y - 6, "this data", look="ink", weight=600)


_LOSS_LOOKS = ("real-line", "synthetic-line", "axis")


def losses_svg(losses: Sequence[Loss], uid: str) -> Markup | None:
    """Training losses over iterations, one line per name (three at most); None where there are none."""
    names = list(dict.fromkeys(loss.name for loss in losses))[: len(_LOSS_LOOKS)]
    points = [loss for loss in losses if loss.name in names and math.isfinite(loss.value)]
    if not points:
        return None
    left, top, width, height = 44.0, 10.0, 420.0, 130.0
    last = max(max(p.iteration for p in points), 1)
    low, high = min(p.value for p in points), max(p.value for p in points)
    high = high if high > low else low + 1
    ends = "; ".join(f"{n} ends at {[p.value for p in points if p.name == n][-1]:.4g}" for n in names)
    d = Drawing(left + width + 90, top + height + 28, title="Training losses", desc=f"Over {last} iterations: {ends}.", uid=uid)
    for t in ticks(low, high, 4):
        y = top + (high - t) / (high - low) * height
        d.line(left, y, left + width, y)
        d.text(left - 5, y + 3, short_number(t), anchor="end")
    for name, look in zip(names, _LOSS_LOOKS, strict=False):
        own = [(left + p.iteration / last * width, top + (high - p.value) / (high - low) * height) for p in points if p.name == name]
        d.path("M" + "L".join(f"{fmt(x)} {fmt(y)}" for x, y in own), look)
        d.text(own[-1][0] + 6, own[-1][1] + 3, shorten(name, 16), look="ink")
    for t in ticks(0, last, 6):
        d.text(left + t / last * width, top + height + 13, short_number(t), anchor="middle")
    d.text(left + width, top + height + 25, "iterations", anchor="end")
    return d.markup()
