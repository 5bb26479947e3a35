"""Measuring synthetic rows that any tool has made."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from synthloom.domain.errors import TableError
from synthloom.domain.event import Cancelled, Emit, Notice, ignore, never
from synthloom.domain.guarantee import NoGuarantee
from synthloom.domain.measurement import Threshold
from synthloom.domain.report import Meta, Report
from synthloom.domain.run import DEFAULT_THRESHOLDS, RunRequest
from synthloom.domain.schema import Schema
from synthloom.engine.stages import Run, chosen, summary
from synthloom.metrics.contract import Metric, Tables
from synthloom.metrics.runner import measure
from synthloom.registry import NATIVE_ONLY, Backends
from synthloom.reports.build import build_report, judge
from synthloom.tables.canonical import check_canonical


def evaluate(
    train: pd.DataFrame, synthetic: pd.DataFrame, holdout: pd.DataFrame | None, schema: Schema, *,
    thresholds: Sequence[Threshold] = DEFAULT_THRESHOLDS, seed: int = 0, dataset: str | None = None,
    data_hash: str | None = None, notices: Sequence[Notice] = (), metrics: Sequence[Metric] | None = None,
    backends: Backends = NATIVE_ONLY, emit: Emit = ignore, cancelled: Cancelled = never,
) -> Report:
    """Measure synthetic rows that any tool has made.

    Nothing is known about how they were made, so nothing is promised about privacy. Without a holdout, what needs
    rows the tool has not seen (membership, usefulness for prediction, the floor of real against real) is undefined:
    splitting `train` would not help, as the tool has learnt from both halves.

    Args:
        train: Canonical rows the tool has learnt from.
        synthetic: Canonical rows it made.
        holdout: Canonical rows of the same source it has not seen, or None.
        schema: The one schema of all three.
        thresholds: What the verdicts are held against.
        seed: Seed of every random choice a metric makes.
        dataset: Name of the real table, for people.
        data_hash: Its sha256.
        notices: What happened before that the person should know.
        metrics: What to measure; None: everything, and what `backends` measure.
        backends: Whose metrics are measured beside ours.
        emit: Hears of every stage and its progress.
        cancelled: Asked often; when true, CancelledError is raised.

    Raises:
        TableError: a table has no rows.
        CancelledError: cancelled.
    """
    kept = holdout if holdout is not None and len(holdout) else None
    for name, table in (("real", train), ("synthetic", synthetic), ("holdout", kept)):
        if table is not None:
            check_canonical(table, schema)
            if not len(table):
                raise TableError("there are no rows to measure.", where=f"{name} table")
    wanted = chosen(metrics) + (backends.metrics if metrics is None else ())
    run = Run(RunRequest(seed=seed, thresholds=tuple(thresholds)), seed, emit, cancelled, wanted)
    run.events.extend(notices)
    with run.stage("measure") as stage:
        tables = Tables(train, kept, synthetic, schema, seed=seed, cancelled=cancelled)
        measured = measure(tables, run.metrics, stage.emit)
    with run.stage("verdict") as stage:
        verdicts = judge(measured, thresholds)
        stage.message = summary(verdicts)
    with run.stage("report"):
        n_holdout = 0 if kept is None else len(kept)
        meta = Meta(
            model="unknown", backend="external", attempt=1, n_real=len(train) + n_holdout, n_train=len(train),
            n_holdout=n_holdout, n_synth=len(synthetic), seed=seed, data_hash=data_hash, dataset=dataset,
        )
        return build_report(
            train=train, holdout=kept, synthetic=synthetic, schema=schema, meta=meta, plan=None,
            guarantee=NoGuarantee(), protection=None, measurements=measured, verdicts=verdicts,
            notices=[e for e in run.events if isinstance(e, Notice)],
        )
