"""A metric's breakdown as a few short facts. Whatever is not told here stays complete in report.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from synthloom.domain.measurement import Direction, Measured, Measurement
from synthloom.reports.words import ends_text, number, percent

Fact = tuple[str, str]

_LABELS = {
    "ties": "ties",
    "expected": "expected by chance", "holdout": "of the holdout rows", "synthetic": "of the synthetic rows",
    "target": "target", "classes": "classes", "rare": "rare labels", "covered": "of them kept",
    "nearest": "by the nearest row", "difference": "by the difference of distances",
    "density": "by the ratio of densities",
    "patterns": "patterns told apart", "mean": "mean over time", "bias": "signed mean over time",
}
_SHARES = frozenset({"ties", "expected", "holdout", "synthetic"})
_SKIPPED = frozenset({"gap", "reference_interval", "left_out", "of_pairs", "rows", "worst", "tpr_at_1pct_fpr"})
_SHOWN = 3


def facts(measurement: Measurement) -> list[Fact]:
    """Label and text of each fact worth a line; empty where nothing was measured."""
    if not isinstance(measurement.outcome, Measured):
        return []
    details = measurement.outcome.details
    out: list[Fact] = []
    for name, value in details.items():
        if name in _SKIPPED or value is None:
            continue
        if name in _TOLD:
            out += _TOLD[name](value, measurement)
        elif isinstance(value, str):
            out.append((_label(name), value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            out.append((_label(name), percent(value) if name in _SHARES else number(value)))
    return out


def reference(measurement: Measurement) -> float | None:
    """What the same work done on real rows gives, where the metric knows it."""
    if not isinstance(measurement.outcome, Measured):
        return None
    value = measurement.outcome.details.get("reference")
    return float(value) if isinstance(value, int | float) else None


def _label(name: str) -> str:
    return _LABELS.get(name, name.replace("_", " "))


def _reference(value: Any, measurement: Measurement) -> list[Fact]:
    if not isinstance(value, int | float) or not isinstance(measurement.outcome, Measured):
        return []
    ends = measurement.outcome.details.get("reference_interval")
    tail = f" ({ends_text(*ends)})" if isinstance(ends, list | tuple) and len(ends) == 2 else ""
    return [("learnt from real rows", number(value) + tail)]


def _attacks(value: Any, measurement: Measurement) -> list[Fact]:
    share = "tpr" in measurement.info.key
    return [(_label(name), percent(v) if share else number(v)) for name, v in _numbers(value).items()]


def _worst_columns(value: Any, measurement: Measurement) -> list[Fact]:
    scores = _numbers(value)
    if len(scores) < 2:
        return []
    best_high = measurement.info.direction is Direction.HIGHER
    ranked = sorted(scores.items(), key=lambda item: item[1] if best_high else -item[1])
    if not best_high:
        ranked = [item for item in ranked if item[1] > 0]
    text = ", ".join(f"{name} {number(v)}" for name, v in ranked[:_SHOWN])
    return [("least alike", text)] if text else []


def _worst_pairs(value: Any, measurement: Measurement) -> list[Fact]:
    best_high = measurement.info.direction is Direction.HIGHER
    score = "score" if best_high else "difference"
    pairs = [p for p in _records(value) if isinstance(p.get(score), int | float)]
    ranked = sorted(pairs, key=lambda p: p[score] if best_high else -p[score])[:_SHOWN]
    text = ", ".join(f"{' × '.join(map(str, p['columns']))} {number(p[score])}" for p in ranked if "columns" in p)
    return [("least alike", text)] if text and len(pairs) > 1 else []


def _gives_away(value: Any, _measurement: Measurement) -> list[Fact]:
    names = [str(v["column"]) for v in _records(value) if "column" in v]
    return [("what gives it away most", ", ".join(names[:_SHOWN]))] if names else []


def _subgroups(value: Any, _measurement: Measurement) -> list[Fact]:
    if not isinstance(value, Mapping):
        return []
    return [
        (f"worst group by {name}", number(v["worst_auc"]))
        for name, v in value.items() if isinstance(v, Mapping) and isinstance(v.get("worst_auc"), int | float)
    ]


def _identifiers(value: Any, _measurement: Measurement) -> list[Fact]:
    return [(f"identifiers of {name} that occur in the real rows", percent(v)) for name, v in _numbers(value).items()]


def _sensitive(value: Any, _measurement: Measurement) -> list[Fact]:
    return [(f"sensitive: {name}", number(v)) for name, v in _numbers(value).items()]


def _distances(value: Any, _measurement: Measurement) -> list[Fact]:
    names = {"train": "median distance to a train row", "holdout": "to a holdout row"}
    return [(names.get(name, name), number(v)) for name, v in _numbers(value).items()]


def _records(value: Any) -> list[Mapping[str, Any]]:
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list | tuple) else []


def _numbers(value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping):
        return {}
    return {str(k): float(v) for k, v in value.items() if isinstance(v, int | float) and not isinstance(v, bool)}


_TOLD: dict[str, Callable[[Any, Measurement], list[Fact]]] = {
    "reference": _reference, "attacks": _attacks, "columns": _worst_columns, "pairs": _worst_pairs,
    "gives_away": _gives_away, "subgroups": _subgroups, "identifiers": _identifiers, "sensitive": _sensitive,
    "median_distance": _distances,
}
