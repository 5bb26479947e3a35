"""How training went, as inline SVG: one chart for each part that was trained, with its text alternative."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from markupsafe import Markup

from synthloom.domain.event import Loss
from synthloom.reports.svg import Drawing, fmt, short_number, shorten, ticks

_LOOKS = ("real-line", "synthetic-line", "axis")
_PART = re.compile(r"(train|validation)(?:_(.+)| \((.+)\))?")
_LEFT, _TOP, _WIDTH, _HEIGHT = 44.0, 10.0, 420.0, 130.0
NARROW = 190.0
"""Width of the lines' field for screens on which a chart of the usual width would have letters too small to read."""


def losses_svg(losses: Sequence[Loss], uid: str, width: float = _WIDTH) -> list[Markup]:
    """Training losses over steps; `train_PART` and `train (PART)` stand in a chart of their own with their validation.

    Args:
        losses: In any order of names; each name's in the order of its steps. Three names of a part at most are drawn.
        uid: Begins every id in the charts.
        width: Of the field that holds the lines; names and numbers come beside it.
    """
    parts: dict[str, dict[str, list[Loss]]] = {}
    for loss in losses:
        if math.isfinite(loss.value):
            part, line = _place(loss.name)
            parts.setdefault(part, {}).setdefault(line, []).append(loss)
    return [_chart(part, lines, f"{uid}{k}", width) for k, (part, lines) in enumerate(parts.items())]


def _place(name: str) -> tuple[str, str]:
    """The part that was trained, and what the line is called in its chart."""
    found = _PART.fullmatch(name)
    return ("", name) if found is None else (found[2] or found[3] or "", found[1])


def _chart(part: str, lines: dict[str, list[Loss]], uid: str, width: float) -> Markup:
    shown = dict(list(lines.items())[: len(_LOOKS)])
    points = [loss for own in shown.values() for loss in own]
    last = max(1, *(p.iteration for p in points))
    low, high = min(p.value for p in points), max(p.value for p in points)
    high = high if high > low else low + 1
    words = "; ".join(_in_words(name, own) for name, own in shown.items())
    title = f"Training losses: {part}" if part else "Training losses"
    d = Drawing(
        _LEFT + width + 90, _TOP + _HEIGHT + 28, title=title, desc=f"Over {last} steps: {words}.", uid=uid
    )
    for t in ticks(low, high, 4):
        y = _TOP + (high - t) / (high - low) * _HEIGHT
        d.line(_LEFT, y, _LEFT + width, y)
        d.text(_LEFT - 5, y + 3, short_number(t), anchor="end")
    taken: list[float] = []
    for (name, own), look in zip(shown.items(), _LOOKS, strict=False):
        spots = [
            (_LEFT + p.iteration / last * width, _TOP + (high - p.value) / (high - low) * _HEIGHT) for p in own
        ]
        d.path("M" + "L".join(f"{fmt(x)} {fmt(y)}" for x, y in spots), look)
        y = spots[-1][1] + 3
        while any(abs(y - other) < 10 for other in taken):
            y -= 10
        taken.append(y)
        d.text(_LEFT + width + 6, y, shorten(name, 16), look="ink")
    if part:
        d.text(_LEFT + width, _TOP + 8, shorten(part, 40 if width >= _WIDTH else 22), anchor="end", look="ink")
    for t in ticks(0, last, 6 if width >= _WIDTH else 3):
        d.text(_LEFT + t / last * width, _TOP + _HEIGHT + 13, short_number(t), anchor="middle")
    d.text(_LEFT + width, _TOP + _HEIGHT + 25, "steps", anchor="end")
    return d.markup()


def _in_words(name: str, own: Sequence[Loss]) -> str:
    best = min(own, key=lambda loss: loss.value)
    return (
        f"{name} begins at {own[0].value:.4g} and ends at {own[-1].value:.4g}; its least is {best.value:.4g} at step "
        f"{best.iteration}"
    )
