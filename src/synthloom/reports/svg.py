"""A few words of SVG, drawn by hand: small, deterministic, and the same in a browser and in WeasyPrint.

Every element carries its light-theme look as presentation attributes, which is all that a PDF needs, and a class, by
which the page's style sheet recolours it for dark screens. Real data is blue and filled with a solid outline;
synthetic data is orange and hollow with a dashed outline, so the two stay apart without colour too.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

FONT = "'Liberation Sans', Arial, Helvetica, 'DejaVu Sans', sans-serif"  # for the PDF; on a screen the page's own
INK, MUTED, RULE, REAL, SYNTHETIC, LIMIT = "#1f2933", "#5b6770", "#d5dae0", "#0b6bb0", "#c9560a", "#a3123a"
LOOKS = {
    "real-area": f'fill="{REAL}" fill-opacity="0.16" stroke="none"',
    "real-line": f'fill="none" stroke="{REAL}" stroke-width="1.2" stroke-linejoin="round"',
    "real-bar": f'fill="{REAL}" fill-opacity="0.75"',
    "real-text": f'fill="{REAL}"',
    "synthetic-line": (
        f'fill="none" stroke="{SYNTHETIC}" stroke-width="1.4" stroke-dasharray="3 1.6" stroke-linejoin="round"'
    ),
    "synthetic-bar": f'fill="none" stroke="{SYNTHETIC}" stroke-width="1" stroke-dasharray="2.4 1.2"',
    "synthetic-text": 'fill="#b54d08"',  # letters need more contrast than lines
    "rule": f'fill="none" stroke="{RULE}" stroke-width="1"',
    "axis": f'fill="none" stroke="{MUTED}" stroke-width="0.8"',
    "track": 'fill="#eef1f4"',
    "interval": f'fill="{REAL}" fill-opacity="0.28"',
    "dot": f'fill="{REAL}"',
    "mark": f'fill="{INK}"',
    "floor": f'fill="#ffffff" stroke="{MUTED}" stroke-width="1.1"',
    "limit": f'fill="none" stroke="{LIMIT}" stroke-width="1.3" stroke-dasharray="4 2"',
    "limit-text": f'fill="{LIMIT}"',
    "safe": 'fill="#0b6bb0" fill-opacity="0.06"',
    "text": f'fill="{MUTED}"',
    "ink": f'fill="{INK}"',
}


def clean(text: str) -> str:
    """Text without what XML forbids (controls, lone surrogates: each becomes U+FFFD), line ends and tabs as spaces."""
    if any(c in text for c in "\r\n\t"):
        text = " ".join(text.split())
    return "".join("\ufffd" if _forbidden(c) else c for c in text)


def _forbidden(c: str) -> bool:
    return unicodedata.category(c) in ("Cc", "Cs") or ord(c) in (0xFFFE, 0xFFFF)


def text_width(text: str) -> int:
    """Columns that text takes on a screen: wide characters (CJK, emoji) count as two, combining ones as none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def shorten(text: str, width: int) -> str:
    """At most `width` columns of text, the end replaced by an ellipsis where it is longer."""
    text = clean(text)
    if text_width(text) <= width:
        return text
    kept = ""
    for c in text:
        if text_width(kept + c) >= width:
            break
        kept += c
    return kept.rstrip() + "…"


def fmt(x: float) -> str:
    """A coordinate with at most one decimal."""
    return f"{x:.1f}".rstrip("0").rstrip(".") if x else "0"


class Drawing:
    """An inline SVG image under construction.

    Args:
        width: Units of the view box; one is about a CSS pixel.
        height: Likewise.
        title: What it shows, for screen readers and as a tooltip.
        desc: The same in words and numbers, for those who cannot see it.
        uid: Makes the ids on a page unique.
    """

    def __init__(self, width: float, height: float, *, title: str, desc: str, uid: str) -> None:
        self._parts: list[str] = []
        self._head = (
            f'<svg class="chart" viewBox="0 0 {fmt(width)} {fmt(height)}" '
            f'width="{fmt(width)}" height="{fmt(height)}" role="img" aria-labelledby="{uid}-t {uid}-d" '
            f'font-family="{FONT}" font-size="8.5">'
            f'<title id="{uid}-t">{escape(clean(title))}</title><desc id="{uid}-d">{escape(clean(desc))}</desc>'
        )

    def path(self, points: str, look: str) -> None:
        """A path in SVG's own words."""
        self._parts.append(f'<path class="{look}" {LOOKS[look]} d="{points}"/>')

    def line(self, x1: float, y1: float, x2: float, y2: float, *, look: str = "rule") -> None:
        """A straight line."""
        self.path(f"M{fmt(x1)} {fmt(y1)}L{fmt(x2)} {fmt(y2)}", look)

    def rect(self, x: float, y: float, width: float, height: float, *, look: str, radius: float = 0) -> None:
        """A rectangle; one without width is left out."""
        if width > 0.05 and height > 0:
            corner = f' rx="{fmt(radius)}"' if radius else ""
            self._parts.append(
                f'<rect class="{look}" {LOOKS[look]} x="{fmt(x)}" y="{fmt(y)}" width="{fmt(width)}" '
                f'height="{fmt(height)}"{corner}/>'
            )

    def circle(self, x: float, y: float, radius: float, look: str) -> None:
        """A disc."""
        self._parts.append(f'<circle class="{look}" {LOOKS[look]} cx="{fmt(x)}" cy="{fmt(y)}" r="{fmt(radius)}"/>')

    def diamond(self, x: float, y: float, radius: float, look: str = "floor") -> None:
        """A square on its corner."""
        r = radius
        self.path(f"M{fmt(x)} {fmt(y - r)}L{fmt(x + r)} {fmt(y)}L{fmt(x)} {fmt(y + r)}L{fmt(x - r)} {fmt(y)}Z", look)

    def text(
        self, x: float, y: float, text: str, *, anchor: str = "start", look: str = "text", size: float | None = None,
        weight: int | None = None, turn: bool = False,
    ) -> None:
        """One line of text; `turn` reads upwards."""
        extra = f' font-size="{fmt(size)}"' if size else ""
        extra += f' font-weight="{weight}"' if weight else ""
        extra += f' transform="rotate(-90 {fmt(x)} {fmt(y)})"' if turn else ""
        self._parts.append(
            f'<text class="{look}" {LOOKS[look]} x="{fmt(x)}" y="{fmt(y)}" text-anchor="{anchor}"{extra}>'
            f"{escape(clean(text))}</text>"
        )

    def bar(self, corner: tuple[float, float], size: tuple[float, float], colour: str, look: str) -> None:
        """A rectangle in a colour of its own."""
        (x, y), (width, height) = corner, size
        box = f'x="{fmt(x)}" y="{fmt(y)}" width="{fmt(width)}" height="{fmt(height)}"'
        self._parts.append(f'<rect class="{look}" fill="{colour}" {box}/>')

    def cells(
        self, corner: tuple[float, float], size: float, places: Sequence[tuple[int, int]], colour: str, look: str
    ) -> None:
        """Many equal squares of one colour as one path: (row, column) each, counted from the corner."""
        x, y = corner
        square = f"h{fmt(size)}v{fmt(size)}h-{fmt(size)}z"
        d = "".join(f"M{fmt(x + c * size)} {fmt(y + r * size)}{square}" for r, c in places)
        self._parts.append(f'<path class="{look}" fill="{colour}" d="{d}"/>')

    def markup(self) -> Markup:
        """The finished image."""
        return Markup(self._head + "".join(self._parts) + "</svg>")  # noqa: S704  # all text went through escape


def short_number(x: float) -> str:
    """A number for an axis or a sentence, about three significant digits: 0.5, 12, 1.5k, 30M."""
    if x == 0:
        return "0"
    size = abs(x)
    for least, factor, letter in ((1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if size >= least:
            return f"{x / factor:.4g}{letter}".replace("-", "−")
    text = f"{x:.4g}" if size >= 1e-4 else f"{x:.2g}"
    return text.replace("-", "−", 1)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers within [low, high], at most about `most`."""
    if not high > low:
        return [low]
    raw = (high - low) / max(most - 1, 1)
    decade = 10.0 ** math.floor(math.log10(raw))
    step = next((m * decade for m in (1, 2, 2.5, 5) if m * decade >= raw * 0.999), 10 * decade)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


_DAY = 86400
_CLOCK = (
    1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10800, 21600, 43200, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 28 * _DAY,
)


def time_ticks(low: float, high: float, most: int = 4) -> list[tuple[float, str]]:
    """Calendar marks within POSIX seconds [low, high] with their names."""
    days = (high - low) / 86400
    if days > 2.5 * 365:
        return _month_ticks(low, high, most, "Y")
    if days > 75:
        return _month_ticks(low, high, most, "M")
    step = next((s for s in _CLOCK if (high - low) / s <= most), _CLOCK[-1])
    marks = np.arange(math.ceil(low / step), math.floor(high / step) + 1) * float(step)
    long, short = ("D", slice(0, 10)) if step >= 86400 else ("m", slice(11, 16)) if step >= 60 else ("s", slice(11, 19))
    return [(float(s), str(np.datetime64(int(s), "s").astype(f"datetime64[{long}]"))[short]) for s in marks]


def _month_ticks(low: float, high: float, most: int, unit: str) -> list[tuple[float, str]]:
    ends = np.array([math.floor(low), math.floor(high)]).astype("datetime64[s]")
    first, last = ends.astype(f"datetime64[{unit}]").astype("int64").tolist()
    choices = (1, 2, 5, 10, 20, 50, 100, 200, 500) if unit == "Y" else (1, 2, 3, 4, 6, 12)
    step = next((s for s in choices if (last - first) / s <= most), choices[-1])
    counts = [m for m in range(first, last + 1) if (m + (1970 if unit == "Y" else 0)) % step == 0]
    marks = np.array(counts, dtype="int64").astype(f"datetime64[{unit}]")
    seconds = marks.astype("datetime64[s]").astype("int64").tolist()
    return [(float(s), str(m)) for s, m in zip(seconds, marks, strict=True) if low <= s <= high]


def span_text(seconds: float) -> str:
    """A duration in its largest fitting unit: 90 s, 15 min, 36 h, 12 d."""
    for size, unit in ((2 * 86400, "d"), (2 * 3600, "h"), (120, "min")):
        if abs(seconds) >= size:
            per = {"d": 86400, "h": 3600, "min": 60}[unit]
            return f"{short_number(seconds / per)} {unit}"
    return f"{short_number(seconds)} s"
