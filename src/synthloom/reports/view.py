"""A report as the template wants it: texts and pictures, no logic left."""

from __future__ import annotations

from collections import Counter
from typing import Any

from markupsafe import Markup

from synthloom.domain.guarantee import PrivacyGuarantee
from synthloom.domain.measurement import Failed, Measured, Measurement, Threshold, Undefined
from synthloom.domain.report import ColumnReport, Report
from synthloom.reports import figures, gauges, heatmaps, words
from synthloom.reports.associations import MAX_ROWS
from synthloom.reports.details import facts, reference
from synthloom.reports.losses import losses_svg
from synthloom.reports.race_view import race_view
from synthloom.reports.svg import shorten
from synthloom.reports.words import percent

_INTRO = {
    "fidelity": "How alike the synthetic table is to the real one, whatever it is used for.",
    "utility": "Whether work done on the synthetic table leads where the same work on the real table leads.",
    "privacy": "Whether the synthetic table gives away who was in the real one. Each measurement acts out what an "
    "attacker would do, or counts what should not be there.",
    "fairness": "Whether small groups are kept, and kept in proportion.",
}
_UNLIKE = 3


def view(report: Report) -> dict[str, Any]:
    """Everything the template prints."""
    return {
        "report": report, "meta": report.meta, "title": report.meta.dataset or "a table",
        "dark_cells": Markup(_dark_cells()),  # noqa: S704  # our own colours
        "settings_text": settings_text,
        **verdict_view(report), **_method_view(report), **_evidence_view(report),
    }


def verdict_view(report: Report) -> dict[str, Any]:
    """The verdict's part of it: headline, alerts, checks, facts."""
    return {
        "headline": words.headline(report), "subline": words.subline(report), "alerts": words.alerts(report),
        "verdicts": _verdicts(report), "facts": _facts(report),
    }


def _method_view(report: Report) -> dict[str, Any]:
    return {
        "kinds": _kinds(report), "guarantee_sentence": words.guarantee_sentence(report),
        "formal": isinstance(report.guarantee, PrivacyGuarantee), "guarantee": report.guarantee,
        "rules": _rules(report),
        "refinements": _refinements(report), "attempts": _attempts(report),
        "losses": losses_svg(report.losses, "l"), "race": race_view(report.race),
        "notices": [n for n in report.notices if n.code != "heat"],  # heats stand in the race's table
    }


def _evidence_view(report: Report) -> dict[str, Any]:
    limits = {v.threshold.key: v.threshold for v in report.verdicts}
    groups: dict[str, list[dict[str, Any]]] = {name: [] for name in _INTRO}
    for i, m in enumerate(report.measurements):
        groups[words.chapter_of(m.info.key, m.info.chapter)].append(_measure(m, limits.get(m.info.key), f"s{i}"))
    related = report.associations
    return {
        "intro": _INTRO, "groups": groups, "has_floors": any(m.floor for m in report.measurements),
        "has_references": any(reference(m) is not None for m in report.measurements),
        "columns": [_column(c, f"c{i}") for i, c in enumerate(report.columns)], "unlike": _unlike(report),
        "heatmaps": heatmaps.heatmaps_svg(related, "h") if related else None, "pairs": _pairs(report),
        "pair_names": [shorten(n, 30) for n in related.names] if related else [], "max_rows": f"{MAX_ROWS:,}",
        "frontier": _frontier(report),
    }


def settings_text(settings: dict[str, Any]) -> str:
    """`leaf_floor 50, smoothing 0.3`."""
    return ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in settings.items())


def _verdicts(report: Report) -> list[dict[str, str]]:
    found = {m.info.key: m for m in report.measurements}
    rows = []
    for v in report.verdicts:
        m = found.get(v.threshold.key)
        rows.append({
            "status": words.status_of(v), "title": m.info.title if m else v.threshold.key, "setting": v.threshold.name,
            "explanation": m.info.explanation if m else "", "limit": words.limit_text(v.threshold),
            "value": words.number(v.value) if v.value is not None else "–",
            "interval": words.interval_text(m.outcome) if m else "", "reason": v.reason,
        })
    return rows


def _method_text(model: str, backend: str) -> str:
    name = model.replace("_", " ")
    return name if backend in ("native", "external") else f"{name} ({backend})"


def _facts(report: Report) -> list[tuple[str, str]]:
    meta, level = report.meta, report.protection.level if report.protection else None
    g = report.guarantee
    formal = f"ε = {g.epsilon:g}, δ = {g.delta:.3g}" if isinstance(g, PrivacyGuarantee) else "none"
    return [
        ("Real rows", f"{meta.n_real:,}"), ("Synthetic rows", f"{meta.n_synth:,}"),
        ("Columns", f"{len(report.columns):,}"),
        ("Method", _method_text(meta.model, meta.backend)), ("Privacy level", level or "not set"),
        ("Formal guarantee", formal),
    ]


def _measure(m: Measurement, threshold: Threshold | None, uid: str) -> dict[str, Any]:
    same = words.outcome_reason(m.floor) == words.outcome_reason(m.outcome)
    kinds = {Measured: "measured", Undefined: "undefined", Failed: "failed"}
    return {
        "key": m.info.key, "title": m.info.title, "explanation": m.info.explanation, "source": m.info.source,
        "direction": words.direction_text(m), "status": kinds[type(m.outcome)], "value": words.outcome_text(m.outcome),
        "interval": words.interval_text(m.outcome), "reason": words.outcome_reason(m.outcome),
        "floor": words.outcome_text(m.floor), "floor_reason": "" if same else words.outcome_reason(m.floor),
        "strip": gauges.strip_svg(m, threshold, uid, reference(m)), "facts": facts(m),
    }


def _column(column: ColumnReport, uid: str) -> dict[str, Any]:
    missing = max(column.missing_real, column.missing_synthetic) > 0
    return {
        "name": column.name, "short_name": shorten(column.name, 48), "kind": column.kind.value,
        "reason": column.reason[:1].upper() + column.reason[1:], "sensitive": column.sensitive,
        "shape": f"{column.shape:.3f}" if column.shape is not None else "",
        "missing": f"{percent(column.missing_real)} / {percent(column.missing_synthetic)}" if missing else "",
        "missing_real": percent(column.missing_real), "missing_synthetic": percent(column.missing_synthetic),
        "svg": figures.column_svg(column, uid),
    }


def _unlike(report: Report) -> list[tuple[str, str]]:
    scored = sorted((c.shape, c.name) for c in report.columns if c.shape is not None)
    return [(name, f"{shape:.3f}") for shape, name in scored[:_UNLIKE]] if len(scored) > _UNLIKE else []


def _pairs(report: Report) -> list[dict[str, str]]:
    if report.associations is None:
        return []
    return [
        {"a": a, "b": b, "real": _signed(r), "synthetic": _signed(s), "gap": f"{abs(r - s):.2f}"}
        for a, b, r, s in heatmaps.changed_pairs(report.associations) if abs(r - s) >= 0.005
    ]


def _signed(x: float) -> str:
    return f"{x:.2f}".replace("-", words.MINUS)


def _kinds(report: Report) -> str:
    counts = Counter(c.kind.value for c in report.columns)
    return ", ".join(f"{n} {kind}" for kind, n in counts.most_common())


def _rules(report: Report) -> list[str]:
    rules = []
    if report.protection:
        rules.append(f"No released value rests on fewer than {report.protection.min_support} distinct records.")
    return rules + list(getattr(report.guarantee, "rules", ()))


def _attempts(report: Report) -> list[dict[str, Any]]:
    rows = []
    for a in report.attempts:
        values = {m.info.key: words.outcome_text(m.outcome) for m in a.measurements}
        rows.append({
            "number": a.number, "method": a.plan.method.replace("_", " "), "backend": a.plan.backend,
            "params": settings_text(a.plan.params), "refinements": ", ".join(a.plan.refinements).replace("_", " "),
            "reason": a.plan.reason, "delivered": a.number == report.meta.attempt, "passed": a.passed,
            "values": [
                {"passed": v.passed, "value": values.get(v.threshold.key, "–"), "name": v.threshold.name}
                for v in a.verdicts
            ],
        })
    return rows


def _refinements(report: Report) -> dict[str, Any] | None:
    """One row per measurement: its value as drawn, then after each step."""
    effects = report.refinements
    if not effects:
        return None
    titles = {m.info.key: m.info.title for m in report.measurements}
    stages = [effects[0].before, *(e.after for e in effects)]
    keys = dict.fromkeys(key for stage in stages for key in stage)
    return {
        "steps": [e.step.replace("_", " ") for e in effects],
        "rows": [
            {"metric": titles.get(key, key), "values": [words.number(s[key]) if key in s else "–" for s in stages]}
            for key in keys
        ],
    }


def _frontier(report: Report) -> Markup | None:
    fidelity = _first(report.measurements, "c2st") or _first(report.measurements, "detection_auc")
    attack = next((m for m in report.measurements if m.info.key == "privacy.mia_auc"), None)
    if fidelity is None or attack is None:
        return None
    others = []
    for a in report.attempts:
        if a.number != report.meta.attempt:
            values = {m.info.key: m.value for m in a.measurements}
            x, y = values.get(fidelity.info.key), values.get(attack.info.key)
            if x is not None and y is not None:
                others.append((f"attempt {a.number}", x, y))
    limit = next((v.threshold.limit for v in report.verdicts if v.threshold.key == attack.info.key), None)
    return gauges.frontier_svg(fidelity, attack, others, limit, "f")


def _first(measurements: tuple[Measurement, ...], start: str) -> Measurement | None:
    return next((m for m in measurements if m.info.key.partition(".")[2].startswith(start)), None)


def _dark_cells() -> str:
    """Heat map colours for dark screens, one rule per level."""
    return "@media screen and (prefers-color-scheme: dark){" + heatmaps.dark_cells_css() + "}"
