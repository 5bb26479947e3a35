"""Runs metrics over tables: one measurement each, with progress, cancel and the floor of real against real."""

from __future__ import annotations

import logging
import os
import queue
import traceback
import warnings
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Event as Flag

import numpy as np

from synthloom.domain.errors import CancelledError, SynthloomError
from synthloom.domain.event import Emit, Progress, ignore
from synthloom.domain.measurement import Failed, Measurement, Outcome
from synthloom.metrics._threads import one_thread_each
from synthloom.metrics.contract import Metric, Tables

MIN_FLOOR_ROWS = 4  # holdout rows that can be halved into two tables
MAX_THREADS = 2
_POLL_SECONDS = 0.1
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Lane:
    """Metrics of one section over one set of tables: they share work, so one thread runs them in turn."""

    metrics: tuple[Metric, ...]
    tables: Tables


def measure(
    tables: Tables, metrics: Sequence[Metric], emit: Emit = ignore, *, floors: bool = True
) -> tuple[Measurement, ...]:
    """Measure everything.

    Args:
        tables: What to look at.
        metrics: Which metrics, in the order of the answer.
        emit: Told the progress, as step `measure`; called from the calling thread only, as is `tables.cancelled`.
        floors: Also measure real against real: half of the holdout as synthetic rows, the other half as holdout.

    Returns:
        One measurement per metric. A metric that breaks is `Failed` in its own row, and its traceback is logged.

    Raises:
        CancelledError: `tables.cancelled()` turned true.
    """
    tables.check_cancelled()
    stop = Flag()
    watched = replace(tables, cancelled=stop.is_set)
    lanes = _lanes(metrics, watched)
    if floors and (halves := floor_tables(watched)) is not None:
        lanes += _lanes([m for m in metrics if m.floored], halves)
    outcomes = _run(lanes, tables, stop, emit)
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


def _lanes(metrics: Sequence[Metric], tables: Tables) -> list[_Lane]:
    sections = dict.fromkeys(m.info.key.split(".")[0] for m in metrics)
    return [_Lane(tuple(m for m in metrics if m.info.key.split(".")[0] == name), tables) for name in sections]


def _run(lanes: list[_Lane], tables: Tables, stop: Flag, emit: Emit) -> dict[tuple[str, bool], Outcome]:
    """Run lanes side by side, each in one thread."""
    outcomes: dict[tuple[str, bool], Outcome] = {}
    started: queue.Queue[str] = queue.Queue()
    total = sum(len(lane.metrics) for lane in lanes)
    pool = ThreadPoolExecutor(max_workers=min(MAX_THREADS, _cores()), thread_name_prefix="synthloom-measure")
    # Libraries change the warning filters of the whole process while they work; the filters come back as they were.
    with warnings.catch_warnings(), one_thread_each(), pool:
        futures = [pool.submit(_run_lane, lane, outcomes, started) for lane in lanes]
        try:
            _follow(futures, tables, emit, started, total)
        finally:
            stop.set()
    return outcomes


def _follow(
    futures: list[Future[None]], tables: Tables, emit: Emit, started: queue.Queue[str], total: int
) -> None:
    """Pass on progress and cancel until every lane is done; what a lane raises is raised here."""
    count = 0
    while not all(f.done() for f in futures) or not started.empty():
        tables.check_cancelled()
        for future in futures:
            if future.done():
                future.result()
        try:
            title = started.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            continue
        emit(Progress(step="measure", fraction=count / total, message=title))
        count += 1
    for future in futures:
        future.result()


def _run_lane(lane: _Lane, outcomes: dict[tuple[str, bool], Outcome], started: queue.Queue[str]) -> None:
    for metric in lane.metrics:
        lane.tables.check_cancelled()
        started.put(metric.info.title)
        outcomes[metric.info.key, lane.tables.floor] = _outcome(metric, lane.tables)


def _outcome(metric: Metric, tables: Tables) -> Outcome:
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


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
