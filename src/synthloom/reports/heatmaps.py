"""Matrices of associations as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from synthloom.domain.report import Associations
from synthloom.reports.svg import Drawing, fmt, shorten

_RGB = tuple[int, int, int]
_LEVELS = 8  # shades on each side of nothing
_NONE = 99
_NAMED = 20  # columns up to which their names fit beside the rows
_GAP, _TOP = 14.0, 22.0
_NEGATIVE, _NEUTRAL, _POSITIVE, _CHANGED = (201, 86, 10), (246, 247, 249), (11, 78, 140), (150, 20, 70)
_DARK, _NEGATIVE_DARK, _POSITIVE_DARK, _CHANGED_DARK = (32, 38, 45), (246, 150, 70), (95, 175, 240), (245, 110, 160)


def _blend(t: float, low: _RGB, mid: _RGB, high: _RGB) -> str:
    """Colour at t in -1 … 1 on a diverging ramp."""
    end, share = (high, t) if t >= 0 else (low, -t)
    return "#" + "".join(f"{round(m + (e - m) * share):02x}" for m, e in zip(mid, end, strict=True))


def heatmaps_svg(associations: Associations, uid: str) -> Markup:
    """Three matrices side by side: real, synthetic, and the size of their difference."""
    p = len(associations.names)
    named = p <= _NAMED
    grid = _Grid(left=106.0, side=176.0, cell=176.0 / p) if named else _Grid(left=22.0, side=204.0, cell=204.0 / p)
    real, drawn = (filled(m) for m in (associations.real, associations.synthetic))
    d = Drawing(
        grid.x(2) + grid.side + 2, _TOP + grid.side + 54, uid=uid, desc=_in_words(associations),
        title="How columns hang together: real, synthetic, and the difference",
    )
    panels = (("Real", real, 1.0), ("Synthetic", drawn, 1.0), ("Difference", np.abs(real - drawn), 0.25))
    for k, (name, matrix, full) in enumerate(panels):
        d.text(grid.x(k), 12, name, look="ink", size=10, weight=600)
        _cells(d, matrix / full, grid, k)
    for i, name in enumerate(associations.names):
        if named:
            d.text(grid.left - 6, grid.y(i), shorten(name, 17), anchor="end", size=min(8.5, grid.cell))
        elif i % 5 == 4 or i == 0:
            d.text(grid.left - 4, grid.y(i), str(i + 1), anchor="end", size=7)
        else:
            continue
        for k in range(3):
            x = grid.x(k) + (i + 0.5) * grid.cell
            size = min(7, grid.cell * 0.9) if named else 7
            d.text(x, _TOP + grid.side + 9, str(i + 1), anchor="middle", size=size)
    below = _TOP + grid.side + 24
    _legend(d, grid.left, below, ("−1", "0", "1"), changed=False)
    _legend(d, grid.x(2), below, ("0", "0.125", "0.25 or more"), changed=True)
    return d.markup()


@dataclass(frozen=True)
class _Grid:
    """Where the three matrices stand."""

    left: float
    side: float
    cell: float

    def x(self, panel: int) -> float:
        return self.left + panel * (self.side + _GAP)

    def y(self, row: int) -> float:
        return _TOP + (row + 0.5) * self.cell + 3


def filled(matrix: Sequence[Sequence[float | None]]) -> np.ndarray:
    """A matrix with NaN for None."""
    return np.array([[np.nan if v is None else v for v in row] for row in matrix])


def _cells(d: Drawing, matrix: np.ndarray, grid: _Grid, panel: int) -> None:
    levels = np.rint(np.clip(np.nan_to_num(matrix), -1, 1) * _LEVELS).astype(int)
    levels[np.isnan(matrix)] = _NONE
    x, size = grid.x(panel), grid.side
    for level in np.unique(levels).tolist():
        places = list(zip(*(axis.tolist() for axis in np.nonzero(levels == level)), strict=True))
        d.cells((x, _TOP), grid.cell, places, *_look(level, changed=panel == 2))
    d.path(f"M{fmt(x)} {fmt(_TOP)}h{fmt(size)}v{fmt(size)}h-{fmt(size)}z", "rule")


def _look(level: int, *, changed: bool) -> tuple[str, str]:
    """Colour on paper and class of a level."""
    if level == _NONE:
        return "#ffffff", "cell-none"
    colour = _blend(level / _LEVELS, _NEGATIVE, _NEUTRAL, _CHANGED if changed else _POSITIVE)
    return colour, f"cell{'-d' if changed else ''}{level}"


def dark_cells_css() -> str:
    """Rules that give the heat maps' classes their colours on a dark screen."""
    signed = {i: _blend(i / _LEVELS, _NEGATIVE_DARK, _DARK, _POSITIVE_DARK) for i in range(-_LEVELS, _LEVELS + 1)}
    sizes = {i: _blend(i / _LEVELS, _DARK, _DARK, _CHANGED_DARK) for i in range(_LEVELS + 1)}
    rules = [f".cell{i}{{fill:{colour}}}" for i, colour in signed.items()]
    rules += [f".cell-d{i}{{fill:{colour}}}" for i, colour in sizes.items()]
    return ".cell-none{fill:#14181d}" + "".join(rules)


def _legend(d: Drawing, x: float, y: float, marks: tuple[str, str, str], *, changed: bool) -> None:
    levels = range(0 if changed else -_LEVELS, _LEVELS + 1)
    step = 150.0 / len(levels)
    for i, level in enumerate(levels):
        d.bar((x + i * step, y), (step, 8), *_look(level, changed=changed))
    for share, text, anchor in ((0.0, marks[0], "start"), (0.5, marks[1], "middle"), (1.0, marks[2], "end")):
        d.text(x + share * 150, y + 18, text, anchor=anchor, size=7.5)


def changed_pairs(associations: Associations, most: int = 8) -> list[tuple[str, str, float, float]]:
    """The pairs that changed most: names, real, synthetic."""
    real, drawn = (filled(m) for m in (associations.real, associations.synthetic))
    rows, columns = np.triu_indices(len(real), 1)
    gaps = np.nan_to_num(np.abs(real - drawn))[rows, columns]
    best = np.argsort(-gaps, kind="stable")[:most]
    places = [(int(rows[i]), int(columns[i])) for i in best if gaps[i] > 0]
    names = associations.names
    return [(names[r], names[c], float(real[r, c]), float(drawn[r, c])) for r, c in places]


def _in_words(associations: Associations) -> str:
    real, drawn = (filled(m) for m in (associations.real, associations.synthetic))
    gaps = np.abs(real - drawn)[np.triu_indices(len(real), 1)]
    gaps = gaps[~np.isnan(gaps)]
    if not len(gaps):
        return "No pair of columns has an association in both tables."
    worst = changed_pairs(associations, 3)
    pairs = "; ".join(f"{a} with {b}: {r:.2f} and {s:.2f}" for a, b, r, s in worst)
    tail = f" Largest differences (real and synthetic): {pairs}." if pairs else ""
    sizes = f"{gaps.mean():.3f} on average, {gaps.max():.3f} at most"
    return f"{len(gaps)} pairs of columns; the difference is {sizes}.{tail}"
