"""Time as people write it: 60s, 2m, 1h30m."""

from __future__ import annotations

import re

from synthloom.domain.errors import UsageError

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_TEXT = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
_MOST = 1e7


def read_budget(value: str | float, where: str = "budget") -> float | None:
    """Seconds out of `60s`, `2m`, `1h30m`, `90` or a number; None for `none` and 0, which stand for no budget.

    Args:
        value: What was given.
        where: The option or setting, for messages.

    Raises:
        UsageError: it is no time, or negative, or longer than 1e7 seconds.
    """
    seconds = _seconds(value)
    if seconds is None or not 0 <= seconds <= _MOST:
        raise UsageError(
            f"{value!r} is no time.", where=where,
            do="Write seconds, or 60s, 2m, 1h30m; `none` for no budget.",
        )
    return seconds or None


def budget_text(seconds: float) -> str:
    """Seconds as `read_budget` takes them: `90s`, `2m`, `1h30m`."""
    whole = round(seconds)
    if abs(seconds - whole) > 1e-9 or whole < 60:
        return f"{seconds:g}s"
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return "".join(f"{n}{unit}" for n, unit in ((hours, "h"), (minutes, "m"), (left, "s")) if n)


def _seconds(value: str | float) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    text = "".join(value.lower().split())
    if text == "none":
        return 0.0
    try:
        return float(text)
    except ValueError:  # not a plain number
        found = _TEXT.fullmatch(text)
    if not text or found is None:
        return None
    return sum(float(n) * per for n, per in zip(found.groups(), _UNITS.values(), strict=True) if n)
