"""Methods side by side: each learns the same rows and is measured against the same rows kept back."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from synthloom.domain.comparison import Comparison
from synthloom.domain.errors import CancelledError, ParamsError, SynthloomError, UsageError
from synthloom.domain.event import Cancelled, Emit, Notice, ignore, never
from synthloom.domain.measurement import Measured, Measurement
from synthloom.domain.run import RunRequest
from synthloom.engine.pipeline import Rows, check_request, split_rows
from synthloom.engine.stages import Run, chosen
from synthloom.engine.standings import Contender, recommend, standings_of
from synthloom.metrics.contract import Metric, Tables
from synthloom.metrics.runner import measure
from synthloom.registry import (
    NATIVE_ONLY,
    AnyMethod,
    Backends,
    check_params,
    choose_method,
    create_synthesizer,
    resolve_method,
)
from synthloom.tables.dataset import Dataset
from synthloom.tables.release import recast

_log = logging.getLogger(__name__)


class Gauge:
    """Reads nothing: for callers that do not measure memory.

    Attributes:
        mb: Most memory used while it was entered; None: not known.
    """

    mb: float | None = None


Meter = Callable[[], AbstractContextManager[Gauge]]
"""Measures the memory of what is done while it is entered."""


def no_meter() -> AbstractContextManager[Gauge]:
    """A `Meter` that measures nothing."""
    return nullcontext(Gauge())


def compare(
    dataset: Dataset, methods: Sequence[str], backends_asked: Sequence[str], request: RunRequest,
    rng: np.random.Generator, *, emit: Emit = ignore, cancelled: Cancelled = never, seeds: int = 1,
    known: Mapping[str, AnyMethod] | None = None, metrics: Sequence[Metric] | None = None,
    backends: Backends = NATIVE_ONLY, clock: Callable[[], float] = time.monotonic, meter: Meter = no_meter,
) -> Comparison:
    """Let methods of several backends learn one split's training rows, and measure them all alike.

    Args:
        dataset: The table.
        methods: Names of methods.
        backends_asked: Names of backends; each makes each method that it has.
        request: Privacy level, thresholds, holdout, rows, device and budget, as in a run; its `params` go to those who
            have them.
        rng: Source of all randomness.
        emit: Hears of every stage and its progress; `attempt` counts the fits.
        cancelled: Asked often; when true, CancelledError is raised within a second.
        seeds: How often each is fitted; numbers are means.
        known: Methods in place of the installed ones.
        metrics: What is measured; None: everything.
        backends: Who may implement methods beside this package.
        clock: Seconds.
        meter: Measures memory.

    Raises:
        UsageError: nothing to compare, or nobody has a parameter.
        TableError: the table is too small, or has nothing to learn.
        SynthloomError: nobody can be begun; the first one's reason.
        CancelledError: cancelled.
    """
    check_request(dataset, request)
    measured = chosen(metrics) + (backends.metrics if metrics is None else ())
    run = Run(request, int(rng.integers(2**63)), emit, cancelled, measured, known, backends)
    contenders = _contenders(run, methods, backends_asked)
    with run.stage("split") as stage:
        rows = split_rows(dataset, run, stage)
    trial = 0
    floors: dict[str, float] = {}
    for seed in range(seeds):
        for contender in (c for c in contenders if c.error is None):
            trial += 1
            try:
                _try(run, contender, rows, (trial, seed), clock, meter)
            except CancelledError:
                raise
            except SynthloomError as error:
                contender.error, contender.reason = error, error.text()
                continue
            except Exception as error:  # noqa: BLE001  # a defect of one contender must not end the others' turn
                frames = "".join(traceback.format_tb(error.__traceback__))
                _log.error("contender %s broke: %s\n%s", contender.label, type(error).__name__, frames)
                contender.error = UsageError("it broke.")
                contender.reason = f"It broke ({type(error).__name__}); the log has the traceback."
                continue
            floors = floors or _floors(contender.found[0])
    standings = standings_of(contenders, request)
    return Comparison(
        dataset=dataset.name, data_hash=dataset.sha256, n_real=len(rows), n_train=len(rows.train),
        n_holdout=0 if rows.holdout is None else len(rows.holdout), n_synth=request.rows or len(rows.train),
        seed=request.seed, seeds=seeds, metrics=tuple(m.info for m in measured), floors=floors,
        thresholds=request.thresholds, standings=standings, recommendation=recommend(standings),
        notices=tuple(e for e in run.events if isinstance(e, Notice)),
    )


def _contenders(run: Run, methods: Sequence[str], backends_asked: Sequence[str]) -> list[Contender]:
    """Every method by every backend, with why it cannot be begun; parameters go to those who have them."""
    found: dict[tuple[str, str], Contender] = {}
    for name in methods:
        for backend in ("auto",) if ":" in name else backends_asked:
            contender = Contender(_own_name(run, name), backend if backend != "auto" else name.partition(":")[0])
            try:
                method = choose_method(name, backend, known=run.known, backends=run.backends, dp=run.request.dp).method
                contender.method, contender.name, contender.backend = method, method.info.name, method.backend
            except SynthloomError as error:
                contender.error, contender.reason = error, error.text()
                other = run.backends.others.get(contender.backend)
                if other is not None and contender.name not in other.names() and not isinstance(error, UsageError):
                    contender.reason = f"{other.title} is not known to have such a method. {error.text()}"
            found.setdefault((contender.name, contender.backend), contender)
    able = [c for c in found.values() if c.method is not None]
    if not found:
        raise UsageError("there is nothing to compare.", do="Name methods: --methods ctgan,tvae.")
    if not able:
        raise next(c.error for c in found.values() if c.error is not None)
    _share_params(run, able)
    return list(found.values())


def _own_name(run: Run, name: str) -> str:
    """A method's name where it was called by an alias."""
    plain = name.rpartition(":")[2]
    try:
        return resolve_method(plain, run.known).info.name
    except SynthloomError:  # a backend may know it
        return plain


def _share_params(run: Run, contenders: Sequence[Contender]) -> None:
    taken: set[str] = set()
    errors: list[ParamsError] = []
    for contender in contenders:
        method = contender.method
        if method is None:
            continue
        given = {**method.privacy_params(run.request.privacy)}
        given |= method.device_params(run.request.device) if run.request.device != "auto" else {}
        given |= method.budget_params(run.request.budget) if run.request.budget is not None else {}
        for name, value in run.request.params.items():
            try:
                check_params(method, {name: value})
            except ParamsError as error:
                errors.append(error)
                continue
            taken.add(name)
            given |= method.own_values({name: value})
        check_params(method, given)
        contender.params = given
    lost = [name for name in run.request.params if name not in taken]
    if lost:
        raise next(e for e in errors if repr(lost[0]) in e.what or lost[0] in e.what)


def _try(  # noqa: PLR0917
    run: Run, contender: Contender, rows: Rows, which: tuple[int, int], clock: Callable[[], float], meter: Meter,
) -> None:
    """One fit, one drawing, one measurement."""
    (trial, seed), method = which, contender.method
    if method is None:
        return
    train, schema = rows.train, rows.schema
    names = (contender.name, contender.backend, seed)
    synthesizer = create_synthesizer(method, contender.params, privacy=run.request.privacy, dp=run.request.dp)
    try:
        with meter() as gauge:
            with run.stage("fit", trial) as stage:
                began = clock()
                synthesizer.fit_canonical(train, schema, run.rng("fit", *names), stage.emit, run.cancelled)
                fitted = clock() - began
                stage.message = f"{contender.label} has learnt {len(train):,} rows."
            with run.stage("sample", trial) as stage:
                began, n = clock(), run.request.rows or len(train)
                drawn = synthesizer.sample_canonical(n, run.rng("sample", *names), None, stage.emit, run.cancelled)
                spent = clock() - began
                stage.message = f"{n:,} rows drawn."
        own = synthesizer.peak_memory_mb
        contender.guarantee = synthesizer.guarantee
        support = getattr(synthesizer.params, "min_support", None)
    finally:
        synthesizer.close()
    with run.stage("measure", trial) as stage:
        tables = Tables(
            train, rows.holdout, recast(drawn, schema), schema, seed=int(run.rng("measure").integers(2**31)),
            cancelled=run.cancelled, quick=True, min_support=support if isinstance(support, int) else 5,
        )
        found = measure(tables, run.metrics, stage.emit, floors=trial == 1)
    contender.found.append(found)
    contender.fits.append(fitted)
    contender.draws.append(spent)
    if (used := own if own is not None else gauge.mb) is not None:
        contender.memory.append(used)


def _floors(found: Sequence[Measurement]) -> dict[str, float]:
    return {m.info.key: m.floor.value for m in found if isinstance(m.floor, Measured)}
