"""Runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synthloom.domain.records import RunRecord
from synthloom.domain.report import Report


def side_by_side(runs: Sequence[RunRecord], reports: Sequence[Report]) -> dict[str, Any]:
    """JSON-safe: `runs`, `metrics` and `verdicts`, each metric and verdict with one value (or None) per run."""
    return {
        "runs": [_run(run, report) for run, report in zip(runs, reports, strict=True)],
        "metrics": _metrics(reports), "verdicts": _verdicts(reports),
    }


def _run(run: RunRecord, report: Report) -> dict[str, Any]:
    meta = report.meta
    return {
        "run_id": run.run_id, "name": run.name, "dataset_id": run.dataset_id, "dataset": meta.dataset,
        "outcome": report.outcome, "method": meta.model, "backend": meta.backend, "rows": meta.n_synth,
        "seed": meta.seed, "created_at": run.created_at.isoformat(), "seconds": meta.timings.get("total"),
        "guarantee": report.guarantee.model_dump(mode="json"),
    }


def _metrics(reports: Sequence[Report]) -> list[dict[str, Any]]:
    infos = {m.info.key: m.info for report in reports for m in report.measurements}
    values = [{m.info.key: m.value for m in report.measurements} for report in reports]
    return [
        {
            "key": key, "title": info.title, "chapter": info.chapter or key.split(".")[0],
            "direction": info.direction.value, "ideal": info.ideal, "values": [own.get(key) for own in values],
        }
        for key, info in infos.items()
    ]


def _verdicts(reports: Sequence[Report]) -> list[dict[str, Any]]:
    names = list(dict.fromkeys((v.threshold.name, v.threshold.key) for report in reports for v in report.verdicts))
    rows = []
    for name, key in names:
        values: list[dict[str, Any] | None] = []
        for report in reports:
            verdict = next((v for v in report.verdicts if (v.threshold.name, v.threshold.key) == (name, key)), None)
            values.append(None if verdict is None else {
                "value": verdict.value, "passed": verdict.passed, "limit": verdict.threshold.limit,
                "comparison": verdict.threshold.comparison, "reason": verdict.reason,
            })
        rows.append({"name": name, "key": key, "values": values})
    return rows
