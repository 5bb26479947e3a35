"""Who makes a run's method: the backend chosen at its beginning, and the next one where that cannot do it."""

from __future__ import annotations

from synthloom.domain.errors import SynthloomError
from synthloom.domain.event import Emit, ignore, never
from synthloom.domain.plan import Plan
from synthloom.domain.run import RunRequest
from synthloom.domain.schema import Schema
from synthloom.engine.stages import Run
from synthloom.planning.heuristics import first_plan
from synthloom.planning.race import outlook
from synthloom.registry import (
    NATIVE,
    NATIVE_ONLY,
    AnyMethod,
    Backends,
    Choice,
    backend_methods,
    choose_method,
    methods,
)


def settle_backend(run: Run) -> str:
    """Decide who makes the method asked for, or whose methods are chosen from; from here on all plans are theirs.

    Returns:
        A sentence for the plan's reason; empty where there is nothing to tell.

    Raises:
        SynthloomError: nobody can make it; see `choose_method`.
    """
    request = run.request
    if request.method == "auto":
        run.known = backend_methods(
            request.backend, known=run.known, backends=run.backends, dp=request.dp,
        )
        return ""
    run.asked, run.given = request.method, run.known
    return _take(run, _choose(run))


def other_backend(run: Run, schema: Schema, n_rows: int, plan: Plan, error: SynthloomError) -> Plan | None:
    """The plan with the next backend of the order, where one could not learn the table; None when none is left.

    Args:
        run: The run.
        schema: What its columns are.
        n_rows: Rows of the table.
        plan: What failed.
        error: How.
    """
    if plan.backend == NATIVE or run.asked is None:
        return None
    run.failed[plan.backend] = error
    try:
        choice = _choose(run)
        first_plan(schema, n_rows, _asking(run, choice), known=_known(run, choice))  # are the parameters its own?
    except SynthloomError:  # nobody else can make it: the first error says what went wrong
        return None
    why = _take(run, choice)
    next_one = first_plan(schema, n_rows, run.request, known=run.known)
    return next_one.model_copy(update={"reason": f"{next_one.reason} {why}"})


def _choose(run: Run) -> Choice:
    return choose_method(
        run.asked or "", run.request.backend, known=run.given, backends=run.backends, dp=run.request.dp,
        failed=run.failed,
    )


def _take(run: Run, choice: Choice) -> str:
    for event in choice.events:
        if event not in run.events:  # a fall that was told already
            run.emit(event)
    run.known, run.request = _known(run, choice), _asking(run, choice)
    return f"The backend is {choice.method.backend}, as {choice.reason}." if choice.reason else ""


def _known(run: Run, choice: Choice) -> dict[str, AnyMethod]:
    return methods(run.given) | {choice.method.info.name: choice.method}


def _asking(run: Run, choice: Choice) -> RunRequest:
    return run.request.model_copy(update={"method": choice.method.info.name})


def foresee(
    schema: Schema, n_rows: int, request: RunRequest, emit: Emit = ignore, backends: Backends | None = None
) -> Plan:
    """The plan that a run would begin with, as far as it can be told without learning anything.

    Args:
        schema: What the columns are.
        n_rows: Rows of the table.
        request: What is asked for.
        emit: Hears who would make the method.
        backends: Who may implement methods beside this package; None: nobody.
    """
    run = Run(request, 0, emit, never, (), None, backends or NATIVE_ONLY)
    why = settle_backend(run)
    plan = outlook(schema, n_rows, run.request, known=run.known)
    return plan.model_copy(update={"reason": f"{plan.reason} {why}".strip()})
