"""One request, carried from a table to synthetic rows with their evidence.

split → plan → fit → sample → refine → measure → verdict → next attempt or done → report

Pure: it touches no file and no environment, takes all its randomness from the generator it is given, and tells what
happens through `emit`. It looks at a clock only where a budget of time is asked for. Each stage is a `StepStarted`,
`Progress` from 0 to 1, and a `StepFinished`; a stage that raises is never finished.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from synthloom.domain.budget import budget_text
from synthloom.domain.errors import BackendError, FitError, PrivacyError, ResourceError, TableError
from synthloom.domain.event import (
    Cancelled,
    Emit,
    Fallback,
    Loss,
    Notice,
    Progress,
    ignore,
    never,
)
from synthloom.domain.measurement import Measurement
from synthloom.domain.plan import Plan, Refinement
from synthloom.domain.race import Race
from synthloom.domain.report import Meta, Protection, RefinementEffect, Report
from synthloom.domain.run import Attempt, RunRequest
from synthloom.domain.schema import Schema
from synthloom.engine.backing import other_backend, settle_backend
from synthloom.engine.stages import Ready, Run, Stage, chosen, summary
from synthloom.metrics.contract import Metric, Tables
from synthloom.metrics.runner import measure
from synthloom.planning.heuristics import fallback_plan, first_plan, next_plan, within_budget
from synthloom.planning.race import Stopwatch, contest, run_race
from synthloom.refine import refine
from synthloom.registry import NATIVE, NATIVE_ONLY, AnyMethod, Backends, create_synthesizer, resolve_method
from synthloom.reports.build import build_report, judge
from synthloom.synthesizer import Synthesizer
from synthloom.tables.canonical import check_canonical
from synthloom.tables.dataset import Dataset
from synthloom.tables.release import recast
from synthloom.tables.sequences import rows_notice
from synthloom.tables.split import split_holdout, unseen

MIN_ROWS = 20
"""Fewest rows a run takes: with less, neither a method nor a holdout has anything to work with."""
REFINE_KEYS = ("utility.ks_mean", "utility.shape", "utility.corr_delta", "privacy.dup_rate")
"""Metrics looked at before and after each refinement: quick ones that a step may move."""
_HOLDOUT_SHARE, _HOLDOUT_ROWS = 0.2, 2500
"""Rows kept back by default: beyond some thousand they make measurements hardly sharper, but the method poorer."""
_DEFAULT_SUPPORT = 5


@dataclass(frozen=True)
class RunResult:
    """What a run gives.

    Attributes:
        data: Synthetic rows as delivered, canonical for `synthesizer.schema`.
        synthesizer: What made them, fitted; before refinements.
        report: Measurements and verdicts on `data`.
        attempts: Everything tried, in order.
    """

    data: pd.DataFrame
    synthesizer: Synthesizer
    report: Report
    attempts: tuple[Attempt, ...]


@dataclass
class _Candidate:
    """One attempt with what it made."""

    attempt: Attempt
    data: pd.DataFrame
    synthesizer: Synthesizer
    effects: tuple[RefinementEffect, ...]
    losses: tuple[Loss, ...]

    def badness(self) -> tuple[int, int, float, int]:
        """Smaller is better: failed privacy verdicts, failed others, how far beyond their limits, number."""
        failed = [v for v in self.attempt.verdicts if not v.passed]
        private = sum(v.threshold.key.startswith("privacy.") for v in failed)
        beyond = sum(abs(v.value - v.threshold.limit) for v in failed if v.value is not None)
        return private, len(failed) - private, beyond, self.attempt.number


def execute_pipeline(
    dataset: Dataset, request: RunRequest, rng: np.random.Generator, emit: Emit = ignore, cancelled: Cancelled = never,
    *, known: Mapping[str, AnyMethod] | None = None, metrics: Sequence[Metric] | None = None,
    clock: Callable[[], float] = time.monotonic, backends: Backends = NATIVE_ONLY,
    ready: Ready | None = None,
) -> RunResult:
    """Carry one request through the pipeline.

    Args:
        dataset: The table; not changed, and not kept.
        request: What is asked for. Its `seed` is only written into the report: randomness comes from `rng`.
        rng: Source of all randomness; the same state gives the same result on the same machine, but for what a budget
            of time leaves to the machine's speed.
        emit: Hears of every stage, its progress, and everything the person should know.
        cancelled: Asked between and within stages; when true, CancelledError is raised within a second.
        known: Methods to choose from in place of the installed ones.
        metrics: What to measure; None: everything.
        clock: Seconds, for a budget of time; without one it is not looked at.
        backends: Who may implement methods beside this package, and in which order they are asked.
        ready: What an equal run has learnt; it is taken in place of planning and learning.

    Returns:
        The best attempt: one that passed all verdicts, else the one with the fewest failed privacy verdicts, then
        the fewest others. The report says so when it did not pass.

    Raises:
        TableError: fewer than 20 rows, or no column to learn.
        FitError: no method could learn the table.
        PrivacyError: differential privacy that cannot be given, or together with refinements.
        CancelledError: cancelled.
    """
    check_request(dataset, request)
    measured = chosen(metrics) + (backends.metrics if metrics is None else ())
    run = Run(request, int(rng.integers(2**63)), emit, cancelled, measured, known, backends)
    with run.stage("split") as stage:
        rows = split_rows(dataset, run, stage)
    if ready is not None:
        return _with_ready(run, rows, ready)
    attempts: list[Attempt] = []
    unfit: list[str] = []
    best: _Candidate | None = None
    choice = _first(run, rows, clock)
    rows = _within_reach(run, rows, choice)
    plan: Plan | None = choice.plan
    while plan is not None:
        number = len(attempts) + 1
        plan = within_budget(plan, run.request, choice.seconds(number, request), run.known)
        try:
            synthesizer = _fit(run, rows, plan, number)
        except (BackendError, ResourceError, FitError) as error:
            other = other_backend(run, rows.schema, len(rows), plan, error)
            if other is not None:
                plan = other
                continue
            if not isinstance(error, FitError):
                raise
            unfit.append(plan.method)
            plan = _after_unfit(run, rows, error, [*unfit, *(a.plan.method for a in attempts)], choice)
            if plan is None and best is None:
                raise
            if plan is None:
                run.emit(Notice(code="unfit", message=f"Attempt {number} could not be made: {error.text()}"))
            continue
        candidate = _attempt(run, rows, synthesizer, plan, attempts)
        attempts.append(candidate.attempt)
        best = candidate if best is None else _better(best, candidate)
        passed_or_spent = candidate.attempt.passed or number >= request.max_attempts
        plan = None if passed_or_spent else _next(run, rows, attempts, unfit, choice)
    if best is None:
        raise FitError("no plan was tried.", do="Name a method that is installed; `synthloom methods` lists them.")
    return _finish(run, rows, best, attempts, choice.race)


@dataclass(frozen=True)
class Rows:
    """The table and its two parts."""

    dataset: Dataset
    train: pd.DataFrame
    holdout: pd.DataFrame | None

    @property
    def schema(self) -> Schema:
        return self.dataset.schema

    def __len__(self) -> int:
        return len(self.dataset.frame)

    @property
    def real(self) -> int:
        """Rows of the table and of a holdout that came beside it."""
        return len(self) + (0 if self.dataset.holdout is None else len(self.dataset.holdout))


def check_request(dataset: Dataset, request: RunRequest) -> None:
    """See that a table can be learnt and measured; TableError or PrivacyError says why not."""
    check_canonical(dataset.frame, dataset.schema)
    if len(dataset.frame) < MIN_ROWS:
        raise TableError(
            f"{len(dataset.frame)} rows are too few to learn from and to measure against.", where=dataset.name or None,
            do=f"Give a table of at least {MIN_ROWS} rows.",
        )
    if not dataset.schema.modelled:
        raise TableError(
            "no column holds anything to learn: all are identifiers, constant or empty.", where=dataset.name or None,
            do="Check the kinds with `synthloom inspect`, and set them in a schema file where they are wrong.",
        )
    if request.dp is not None and request.refinements:
        raise PrivacyError(
            f"refinements ({', '.join(request.refinements)}) look at the training rows again, which would void "
            "differential privacy.", do="Leave the refinements out, or differential privacy.",
        )


def split_rows(dataset: Dataset, run: Run, stage: Stage) -> Rows:
    """Rows to learn from and rows kept back: those that came beside the table, else as the request has it."""
    if dataset.holdout is not None:
        train, holdout = dataset.frame, unseen(dataset.holdout, dataset.frame, dataset.schema)
    else:
        share = run.request.holdout or min(_HOLDOUT_SHARE, _HOLDOUT_ROWS / max(len(dataset.frame), 1))
        train, holdout = split_holdout(dataset.frame, dataset.schema, share, run.rng("split"))
    stage.message = f"{len(train)} rows to learn from, {len(holdout)} kept back to measure against."
    if len(holdout):
        return Rows(dataset, train, holdout)
    run.emit(Notice(
        code="no_holdout",
        message="Every row kept back is a copy of a row learnt from, so what needs unseen rows cannot be measured.",
    ))
    return Rows(dataset, train, None)


@dataclass(frozen=True)
class _Choice:
    """The first plan, how it was chosen, and the budget running out."""

    plan: Plan
    watch: Stopwatch | None = None
    race: Race | None = None
    ranking: tuple[str, ...] = ()
    rows: int | None = None
    all_seconds: float = 0.0

    def seconds(self, number: int, request: RunRequest) -> float | None:
        """Seconds an attempt may learn: the first what is left of the budget, a later one a whole one; None: no end."""
        if self.watch is None or request.budget is None:
            return None
        return max(self.watch.left, request.budget / 10) if number == 1 else request.budget


def _first(run: Run, rows: Rows, clock: Callable[[], float]) -> _Choice:
    watch = Stopwatch(run.request.budget, clock) if run.request.budget is not None else None
    with run.stage("plan") as stage:
        why = settle_backend(run)
        choice = _choose(run, rows, stage, watch)
        if why:
            plan = choice.plan.model_copy(update={"reason": f"{choice.plan.reason} {why}"})
            choice = replace(choice, plan=plan)
        stage.message = choice.plan.reason
        wanted, method = run.request.device, resolve_method(choice.plan.method, run.known)
        if watch is not None and method.backend != NATIVE and not method.budget_params(1.0):
            run.emit(Notice(code="budget", message=(
                f"{choice.plan.method} by {method.backend} cannot plan its time, so the budget does not bound it; "
                "SYNTHLOOM_BACKEND_SECONDS does."
            )))
        if rows.schema.sequence is not None and not method.sequences:
            run.emit(rows_notice(choice.plan.method, rows.schema))
        if wanted in ("cuda", "mps") and not method.device_params(wanted):
            run.emit(Notice(
                code="device", message=f"{choice.plan.method} runs on the CPU; it has no use for device {wanted}.",
            ))
    return choice


def _better(one: _Candidate, other: _Candidate) -> _Candidate:
    """The better of two; what a backend holds for the other one is let go of."""
    best, rest = (other, one) if other.badness() < one.badness() else (one, other)
    rest.synthesizer.close()
    return best


def _choose(run: Run, rows: Rows, stage: Stage, watch: Stopwatch | None) -> _Choice:
    """By a race where one is asked for and can be held, else by rules or the person's own word."""
    names, why = contest(rows.schema, len(rows.train), run.request, run.known)
    plan = first_plan(rows.schema, len(rows), run.request, known=run.known)
    if watch is None or not names:
        return _Choice(plan.model_copy(update={"reason": f"{plan.reason} {why}".strip()}), watch)
    result = run_race(
        rows.train, rows.schema, run.request, watch, stream=run.rng, emit=stage.emit, cancelled=run.cancelled,
        known=run.known,
    )
    if result is None:
        why = "Nothing was measured beforehand: too few rows can be kept apart that no other row equals."
        return _Choice(plan.model_copy(update={"reason": f"{plan.reason} {why}"}), watch)
    if result.plan is None:
        plan = plan.model_copy(update={"reason": f"No candidate could be measured in time. {plan.reason}"})
        return _Choice(plan, watch, result.race)
    return _Choice(result.plan, watch, result.race, result.ranking, result.rows, result.seconds)


def _within_reach(run: Run, rows: Rows, choice: _Choice) -> Rows:
    """As many training rows as the chosen method can learn in time; what is left out counts for nothing afterwards."""
    if choice.rows is None or choice.watch is None:
        return rows
    few, n = choice.rows, len(rows.train)
    run.emit(Notice(code="budget", message=(
        f"{choice.plan.method} learns {few:,} of {n:,} training rows, drawn at random: all of them would take about "
        f"{choice.all_seconds:.0f} s of a budget of {budget_text(choice.watch.seconds)}. A longer budget learns more."
    )))
    return _drawn(run, rows, few)


def _drawn(run: Run, rows: Rows, few: int) -> Rows:
    drawn = np.sort(run.rng("rows").choice(len(rows.train), few, replace=False))
    return replace(rows, train=rows.train.iloc[drawn].reset_index(drop=True))


def _with_ready(run: Run, rows: Rows, ready: Ready) -> RunResult:
    """The road from `sample` on, with what an equal run has learnt; its other attempts stay in the report as they were.

    All streams of randomness being named, the rows are those that learning again would have led to.
    """
    if ready.n_train < len(rows.train):
        rows = _drawn(run, rows, ready.n_train)
    with run.stage("plan", ready.number) as stage:
        for notice in ready.notices:
            run.emit(notice)
        for fallback in ready.fallbacks:
            run.emit(fallback)
        stage.message = ready.plan.reason
    with run.stage("fit", ready.number) as stage:
        run.emit(ready.source)
        stage.message = "Nothing to learn: the model of an equal run is taken."
    before = [a for a in ready.attempts if a.number < ready.number]
    candidate = replace(_attempt(run, rows, ready.synthesizer, ready.plan, before), losses=ready.losses)
    attempts = (*before, candidate.attempt, *(a for a in ready.attempts if a.number > ready.number))
    return _finish(run, rows, candidate, attempts, ready.race)


def _next(
    run: Run, rows: Rows, attempts: Sequence[Attempt], unfit: Sequence[str], choice: _Choice
) -> Plan | None:
    with run.stage("plan", len(attempts) + 1) as stage:
        plan = next_plan(
            rows.schema, len(rows), run.request, attempts, unfit=unfit, best_first=choice.ranking, known=run.known
        )
        stage.message = plan.reason if plan else "Nothing new is left to try."
    return plan


def _after_unfit(
    run: Run, rows: Rows, error: FitError, done: Sequence[str], choice: _Choice
) -> Plan | None:
    plan = fallback_plan(
        rows.schema, len(rows), run.request, done, best_first=choice.ranking, known=run.known
    )
    if plan is not None:
        run.emit(Fallback(wanted=done[0], used=plan.method, reason=error.text()))
    return plan


def _fit(run: Run, rows: Rows, plan: Plan, number: int) -> Synthesizer:
    run.losses.clear()
    with run.stage("fit", number) as stage:
        synthesizer = create_synthesizer(
            resolve_method(plan.method, run.known), plan.params, privacy=run.request.privacy, dp=run.request.dp,
            emit=stage.emit,
        )
        synthesizer.fit_canonical(
            rows.train, rows.schema, run.rng("fit", number), stage.emit, run.cancelled, library=rows.dataset.library
        )
        stage.message = f"{plan.method} has learnt {len(rows.train)} rows."
    return synthesizer


def _attempt(
    run: Run, rows: Rows, synthesizer: Synthesizer, plan: Plan, before: Sequence[Attempt]
) -> _Candidate:
    """Sample, refine, measure, judge."""
    number = len(before) + 1
    with run.stage("sample", number) as stage:
        n = run.request.rows or len(rows)
        drawn = synthesizer.sample_canonical(n, run.rng("sample", number), None, stage.emit, run.cancelled)
        data = recast(drawn, rows.schema)  # measured under the schema of the real rows
        stage.message = f"{n} rows drawn."
    with run.stage("refine", number) as stage:
        refining = _Refining(run, rows, synthesizer, stage.emit, number)
        data, effects = refining.all_of(plan.refinements, data)
        stage.message = f"Done: {', '.join(plan.refinements)}." if plan.refinements else "Nothing to refine."
    with run.stage("measure", number) as stage:
        tables = _tables(run, rows, data, synthesizer)
        measured = measure(tables, run.metrics, stage.emit, floors=not before)
        if before:
            measured = _with_floors(measured, before[0].measurements)
    with run.stage("verdict", number) as stage:
        verdicts = judge(measured, run.request.thresholds)
        stage.message = summary(verdicts)
    attempt = Attempt(number=number, plan=plan, measurements=measured, verdicts=verdicts)
    return _Candidate(attempt, recast(data, synthesizer.schema), synthesizer, effects, tuple(run.losses))


def _tables(run: Run, rows: Rows, data: pd.DataFrame, synthesizer: Synthesizer) -> Tables:
    seed = int(run.rng("measure").integers(2**31))
    return Tables(
        rows.train, rows.holdout, data, rows.schema, seed=seed, cancelled=run.cancelled,
        min_support=_support(synthesizer) or _DEFAULT_SUPPORT,
    )


def _with_floors(measured: Sequence[Measurement], first: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """Measurements with the floors of the first attempt: real against real is the same in every one."""
    floors = {m.info.key: m.floor for m in first}
    return tuple(m.model_copy(update={"floor": floors.get(m.info.key)}) for m in measured)


@dataclass(frozen=True)
class _Refining:
    """Refinement steps on one attempt's rows, with quick metrics before and after each."""

    run: Run
    rows: Rows
    synthesizer: Synthesizer
    emit: Emit
    number: int

    def all_of(
        self, steps: Sequence[Refinement], data: pd.DataFrame
    ) -> tuple[pd.DataFrame, tuple[RefinementEffect, ...]]:
        """Apply the steps in order."""
        effects = []
        before = self._quick(data) if steps else {}
        support = _support(self.synthesizer) or _DEFAULT_SUPPORT
        for done, step in enumerate(steps):
            self.emit(Progress(step="refine", fraction=done / len(steps), message=step))
            rng = self.run.rng("refine", self.number, step)
            data = refine(
                self.rows.train, data, self.rows.schema, step, rng, min_support=support, cancelled=self.run.cancelled
            )
            after = self._quick(data)
            effects.append(RefinementEffect(step=step, before=before, after=after))
            before = after
        return data, tuple(effects)

    def _quick(self, data: pd.DataFrame) -> dict[str, float]:
        tables = _tables(self.run, self.rows, data, self.synthesizer)
        chosen = [m for m in self.run.metrics if m.info.key in REFINE_KEYS]
        return {m.info.key: m.value for m in measure(tables, chosen, floors=False) if m.value is not None}


def _support(synthesizer: Synthesizer) -> int | None:
    """Fewest records behind a released value, where the method has such a setting."""
    value = getattr(synthesizer.params, "min_support", None)
    return value if isinstance(value, int) else None


def _finish(
    run: Run, rows: Rows, best: _Candidate, attempts: Sequence[Attempt], race: Race | None
) -> RunResult:
    with run.stage("report", len(attempts)) as stage:
        if not best.attempt.passed:
            run.emit(_not_passed(best.attempt, attempts))
        report = _report(run, rows, best, attempts, race)
        stage.message = f"The report is on attempt {best.attempt.number} of {len(attempts)}."
    return RunResult(best.data, best.synthesizer, report, tuple(attempts))


def _not_passed(best: Attempt, attempts: Sequence[Attempt]) -> Notice:
    failed = ", ".join(v.threshold.name for v in best.verdicts if not v.passed)
    if len(attempts) == 1:
        return Notice(code="not_passed", message=f"The one attempt did not pass: {failed}.")
    return Notice(code="not_passed", message=(
        f"None of {len(attempts)} attempts passed. Delivered is attempt {best.number}, with the fewest failed privacy "
        f"verdicts, then the fewest others; it did not pass: {failed}."
    ))


def _report(
    run: Run, rows: Rows, best: _Candidate, attempts: Sequence[Attempt], race: Race | None
) -> Report:
    plan, synthesizer = best.attempt.plan, best.synthesizer
    meta = Meta(
        model=plan.method, backend=synthesizer.backend, attempt=best.attempt.number, n_real=rows.real,
        n_train=len(rows.train), n_holdout=0 if rows.holdout is None else len(rows.holdout), n_synth=len(best.data),
        seed=run.request.seed, data_hash=rows.dataset.sha256, dataset=rows.dataset.name,
    )
    return build_report(
        train=rows.train, holdout=rows.holdout, synthetic=recast(best.data, rows.schema), schema=rows.schema,
        meta=meta, plan=plan,
        guarantee=synthesizer.guarantee, protection=_protection(run, synthesizer),
        measurements=best.attempt.measurements, verdicts=best.attempt.verdicts, attempts=attempts,
        refinements=best.effects, dp=run.request.dp, race=race, losses=best.losses,
        fallbacks=[e for e in run.events if isinstance(e, Fallback)],
        notices=[e for e in run.events if isinstance(e, Notice)],
    )


def _protection(run: Run, synthesizer: Synthesizer) -> Protection | None:
    """Where the delivered attempt stands: the level whose settings it has, and these settings."""
    support = _support(synthesizer)
    if support is None:
        return None
    level = synthesizer.privacy_level or run.request.privacy
    return Protection(level=level, min_support=support, settings=synthesizer.privacy_settings)
