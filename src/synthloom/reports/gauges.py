"""Measurements on their scales, and where the data stands between fidelity and privacy, as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from synthloom.domain.measurement import Direction, Measured, Measurement, Threshold
from synthloom.reports.svg import Drawing, fmt, short_number, ticks


def strip_svg(
    measurement: Measurement, threshold: Threshold | None, uid: str, reference: float | None = None
) -> Markup | None:
    """Value, interval, floor, reference and limit of one metric on a line; None where there is no value to draw."""
    outcome, info = measurement.outcome, measurement.info
    if not isinstance(outcome, Measured) or info.direction is Direction.NONE:
        return None
    marks = _strip_marks(measurement, outcome, threshold) + ([] if reference is None else [reference])
    low, high = _strip_range(measurement, marks)
    left, width, y = 6.0, 168.0, 9.0

    def x(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * width

    words = _strip_words(measurement, outcome, threshold)
    d = Drawing(180, 29, title=f"{info.title} on its scale", desc=words, uid=uid)
    d.rect(left, y - 2, width, 4, look="track", radius=2)
    if outcome.interval:
        a, b = x(outcome.interval.low), x(outcome.interval.high)
        d.rect(a, y - 4, max(b - a, 1.0), 8, look="interval", radius=3)
    if threshold:
        d.line(x(threshold.limit), 1, x(threshold.limit), 17, look="limit")
    if isinstance(measurement.floor, Measured):
        d.diamond(x(measurement.floor.value), y, 4.2)
    if reference is not None:
        d.rect(x(reference) - 1, y - 6, 2, 12, look="mark")
    d.circle(x(outcome.value), y, 3.2, "dot")
    d.text(left, 26, short_number(low), size=8)
    d.text(left + width, 26, short_number(high), anchor="end", size=8)
    if threshold and left + 26 < x(threshold.limit) < left + width - 30:
        d.text(x(threshold.limit), 26, f"{threshold.limit:g}", anchor="middle", look="limit-text", size=8)
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
    fidelity: Measurement, attack: Measurement, others: Sequence[tuple[str, float, float]], limit: float | None,
    uid: str,
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
    left, top, width, height = 54.0, 14.0, 290.0, 150.0
    far = a.interval.high if a.interval else a.value
    worst_x = min(1.0, max(0.6, *(v + 0.02 for v in [a.value, far, *(o[1] for o in others)])))
    reach = [b.value, limit or 0.5, *(o[2] for o in others), b.interval.high if b.interval else 0.5]
    worst_y = min(1.0, max(0.6, *(v + 0.01 for v in reach)))
    low_x, low_y = (min(0.5, *_values(m)) for m in (fidelity, attack))

    def spot(x: float, y: float) -> tuple[float, float]:
        return left + (worst_x - x) / (worst_x - low_x) * width, top + (y - low_y) / (worst_y - low_y) * height

    words = f"Detector {a.value:.3f} (0.5 is best), membership attack {b.value:.3f} (0.5 is best)."
    title = "Where this data stands between fidelity and privacy"
    d = Drawing(left + width + 12, top + height + 34, title=title, desc=words, uid=uid)
    if limit is not None:
        y = spot(low_x, limit)[1]
        d.rect(left, top, width, y - top, look="safe")
        d.line(left, y, left + width, y, look="limit")
        d.text(left + width, y - 4, f"limit {limit:g}", anchor="end", look="limit-text")
    d.path(f"M{fmt(left)} {fmt(top)}v{fmt(height)}h{fmt(width)}", "axis")
    for t in ticks(low_x, worst_x, 6):
        d.text(spot(t, low_y)[0], top + height + 11, f"{t:g}", anchor="middle", size=7.5)
    for t in ticks(low_y, worst_y, 6):
        d.text(left - 5, spot(low_x, t)[1] + 3, f"{t:g}", anchor="end", size=7.5)
    d.text(left + width / 2, top + height + 26, "told apart from real data → hard to tell apart", anchor="middle")
    d.text(12, top + height / 2, "leaks membership → private", anchor="middle", turn=True)
    _frontier_points(d, spot, fidelity, attack, others)
    return d.markup()


def _values(measurement: Measurement) -> list[float]:
    return [o.value for o in (measurement.outcome, measurement.floor) if isinstance(o, Measured)]


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
        d.text(x - 9, y + 3, "real against real", anchor="end")
    for name, c, m in others:
        x, y = spot(c, m)
        d.circle(x, y, 3, "floor")
        d.text(x + 6, y + 3, name, size=7.5)
    x, y = spot(a.value, b.value)
    if b.interval:
        ends = [spot(a.value, v)[1] for v in (b.interval.low, b.interval.high)]
        d.rect(x - 1.5, ends[0], 3, ends[1] - ends[0], look="interval")
    if a.interval:
        ends = [spot(v, b.value)[0] for v in (a.interval.high, a.interval.low)]
        d.rect(ends[0], y - 1.5, ends[1] - ends[0], 3, look="interval")
    d.circle(x, y, 4.5, "dot")
    d.text(x + 8, y - 6, "this data", look="ink", weight=600)
