"""Runs metrics over tables: one measurement each, with progress, cancel and the floor of real against real."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from synthloom.domain.errors import CancelledError, SynthloomError
from synthloom.domain.event import Emit, Progress, ignore
from synthloom.domain.measurement import Failed, Measurement, Outcome
from synthloom.metrics.contract import Metric, Tables

MIN_FLOOR_ROWS = 4  # holdout rows that can be halved into two tables
MAX_THREADS = 2
_log = logging.getLogger(__name__)


def measure(
    tables: Tables, metrics: Sequence[Metric], emit: Emit = ignore, *, floors: bool = True
) -> tuple[Measurement, ...]:
    """Measure everything.

    Args:
        tables: What to look at.
        metrics: Which metrics, in the order of the answer.
        emit: Told the progress, as step `measure`.
        floors: Also measure real against real: half of the holdout as synthetic rows, the other half as holdout.

    Returns:
        One measurement per metric. A metric that breaks is `Failed` in its own row, and its traceback is logged.

    Raises:
        CancelledError: `tables.cancelled()` turned true.
    """
    halves = floor_tables(tables) if floors else None
    tasks = [(m, t) for m in metrics for t in ((tables, halves) if m.floored else (tables, None)) if t is not None]
    outcomes: dict[tuple[str, bool], Outcome] = {}
    with _few_threads():
        for done, (metric, where) in enumerate(tasks):
            emit(Progress(step="measure", fraction=done / len(tasks), message=metric.info.title))
            outcomes[metric.info.key, where is halves] = _outcome(metric, where)
    emit(Progress(step="measure", fraction=1.0))
    return tuple(
        Measurement(info=m.info, outcome=outcomes[m.info.key, False], floor=outcomes.get((m.info.key, True)))
        for m in metrics
    )


def floor_tables(tables: Tables) -> Tables | None:
    """Real against real: half of the holdout stands in for synthetic rows; None without enough holdout rows."""
    holdout = tables.holdout
    if holdout is None or len(holdout) < MIN_FLOOR_ROWS:
        return None
    order = tables.rng("floor").permutation(len(holdout))
    half = len(holdout) // 2
    first, second = (holdout.iloc[np.sort(part)].reset_index(drop=True) for part in (order[:half], order[half:]))
    return Tables(
        train=tables.train, holdout=second, synthetic=first, schema=tables.schema, seed=tables.seed,
        cancelled=tables.cancelled, min_support=tables.min_support, floor=True,
    )


def _outcome(metric: Metric, tables: Tables) -> Outcome:
    tables.check_cancelled()
    try:
        return metric.compute(tables)
    except CancelledError:
        raise
    except Exception as error:  # noqa: BLE001  # any defect of a metric stays in its own row, loudly
        # The message of a foreign error may quote a cell: log where it happened and what it was, not what it said.
        frames = "".join(traceback.format_tb(error.__traceback__))
        _log.error("metric %s failed: %s\n%s", metric.info.key, type(error).__name__, frames)
        return Failed(error=_describe(error))


def _describe(error: Exception) -> str:
    if isinstance(error, SynthloomError):
        return f"{type(error).__name__}: {error.text()}"
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(last.filename)}, line {last.lineno} ({last.name})"
    return f"{type(error).__name__} in {where}. The log has the traceback."


def _few_threads() -> AbstractContextManager[Any]:
    """Keep thread pools of numerical libraries to two threads, or to the cores there are."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return threadpool_limits(limits=min(MAX_THREADS, cores)) if cores > 0 else nullcontext()
