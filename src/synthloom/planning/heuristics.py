"""From a schema to a plan, by rules a person can read; and from failed verdicts to the next one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from synthloom.domain.errors import MissingDependencyError, ParamsError, PrivacyError
from synthloom.domain.plan import Plan, PrivacyLevel, Refinement
from synthloom.domain.run import Attempt, RunRequest
from synthloom.domain.schema import Schema
from synthloom.registry import AnyMethod, check_params, lacking, methods, resolve_method
from synthloom.synthesizer import privacy_level

LEVELS: tuple[PrivacyLevel, ...] = get_args(PrivacyLevel)
SMALL = 1000
"""Rows below which a copula learns more than trees, which find too few records for their leaves.

Measured on samples of 200 to 5,000 rows of a clinical, a census and a shop table: below 1,000 rows the copula is ahead
in correlations (.05 to .10 against .07 to .16 away from the real ones) and in what a predictor learns from the rows,
from 1,000 rows on trees are ahead in what a detector tells apart.
"""
WIDE = 50
"""Modelled columns from which a table counts as high-dimensional."""
_LIMITS = ("max_seconds",)  # parameters that say how long a plan may take, not what it is
_MOST = 0.7  # share of columns that makes a table heavy in one kind


@dataclass(frozen=True)
class Preference:
    """Which methods suit a kind of table, best first.

    Attributes:
        situation: What the table is like, as it stands in a plan's reason.
        order: Names of methods; those that are not installed are passed over, and the reason says so.
    """

    situation: str
    order: tuple[str, ...]


PREFERENCES = {
    "small": Preference("the table is small", ("gaussian_copula", "cart")),
    "categories": Preference("most columns are categories", ("ctgan", "cart", "gaussian_copula")),
    "numbers": Preference("most columns are numbers", ("tvae", "cart", "gaussian_copula")),
    "wide": Preference("the table has many columns", ("ddpm", "cart", "gaussian_copula")),
    "mixed": Preference("the table mixes numbers and categories", ("ddpm", "cart", "gaussian_copula")),
}
"""The rules that have stood since the first version of this service, with the methods of today behind them."""

STRENGTHS = {
    "cart": "sequential trees keep how columns hang together and have the best measured fidelity among fast methods",
    "gaussian_copula": "a Gaussian copula needs few records to learn how columns hang together",
}
"""What speaks for a method, as it stands in a plan's reason."""


def situation(schema: Schema, n_rows: int) -> str:
    """Which of `PREFERENCES` a table falls under."""
    columns = schema.modelled
    discrete = sum(c.kind.is_discrete for c in columns)
    if n_rows < SMALL:
        return "small"
    if len(columns) >= WIDE:
        return "wide"
    if discrete >= _MOST * len(columns):
        return "categories"
    return "numbers" if len(columns) - discrete >= _MOST * len(columns) else "mixed"


def first_plan(
    schema: Schema, n_rows: int, request: RunRequest, *, known: Mapping[str, AnyMethod] | None = None
) -> Plan:
    """The plan of the first attempt.

    Args:
        schema: What the columns are.
        n_rows: Rows of the table.
        request: What is asked for; a method named there is taken, `auto` is decided by `PREFERENCES`.
        known: Methods to choose from in place of the installed ones.

    Raises:
        UnknownNameError: the method named is unknown.
        ParamsError: the parameters are not the method's.
        PrivacyError: differential privacy is asked for strictly and no method to choose from gives it.
        MissingDependencyError: the method named needs a package that is not installed.
    """
    if request.method != "auto":
        method = resolve_method(request.method, known)
        if (missing := lacking(method)) is not None:
            raise missing
        plan = plan_for(method, request, "The method was asked for by name.")
        return plan.model_copy(update={"decided_by": "person"})
    order, skipped = candidates(schema, n_rows, request, known)
    name = order[0]
    reason = _sentence(f"{_describe(schema, n_rows)}. {skipped}{name} is chosen{_strength(name)}")
    return plan_for(resolve_method(name, known), request, reason)


def next_plan(
    schema: Schema, n_rows: int, request: RunRequest, attempts: Sequence[Attempt], *,
    unfit: Sequence[str] = (), best_first: Sequence[str] = (), known: Mapping[str, AnyMethod] | None = None,
) -> Plan | None:
    """The plan to try after attempts that did not pass; None when nothing new is left to try.

    Failed privacy verdicts come first: the next higher privacy level, then noise on copied values, then another method.
    For the others: marginals are matched to the training rows, then another method. A method, parameter or refinement
    that the person set stays as it is, and privacy is never lowered. A verdict without a value is not cured by another
    plan and counts as nothing to do.

    Args:
        schema: What the columns are.
        n_rows: Rows of the table.
        request: What is asked for.
        attempts: What was tried, in order, at least one; the last one is what to improve on.
        unfit: Methods that could not learn the table.
        best_first: Methods in the order of a race; the others follow as the rules have them.
        known: Methods to choose from in place of the installed ones.
    """
    last = attempts[-1]
    failed = [v.threshold.key for v in last.verdicts if not v.passed and v.value is not None]
    tried = {_identity(a.plan) for a in attempts}
    steps = []
    if any(key.startswith("privacy.") for key in failed):
        steps.append(_more_private(request, last.plan, failed, known))
    if any(not key.startswith("privacy.") for key in failed):
        steps.append(_more_useful(schema, request, last.plan, failed))
    if failed and request.method == "auto":
        order = _after(best_first, candidates(schema, n_rows, request, known)[0])
        steps.append(_other_methods([n for n in order if n not in unfit], request, attempts, failed, known))
    return next((plan for step in steps for plan in step if _identity(plan) not in tried), None)


def fallback_plan(
    schema: Schema, n_rows: int, request: RunRequest, unfit: Sequence[str], *,
    best_first: Sequence[str] = (), known: Mapping[str, AnyMethod] | None = None,
) -> Plan | None:
    """The plan to try when methods that `auto` chose could not learn the table; None when none is left.

    Arguments as in `next_plan`.
    """
    if request.method != "auto":
        return None
    order = _after(best_first, candidates(schema, n_rows, request, known)[0])
    left = [name for name in order if name not in unfit]
    if not left:
        return None
    reason = _sentence(f"{', '.join(unfit)} could not learn this table; {left[0]} is next{_strength(left[0])}")
    return plan_for(resolve_method(left[0], known), request, reason)


def _more_private(
    request: RunRequest, plan: Plan, failed: Sequence[str], known: Mapping[str, AnyMethod] | None
) -> Iterator[Plan]:
    method = resolve_method(plan.method, known)
    for level in LEVELS[LEVELS.index(_level(method, plan, request)) + 1:]:
        reason = f"{_names(failed)} did not pass: privacy level {level} in place of the one before."
        yield plan_for(method, request, reason, level=level, refinements=plan.refinements, base=plan.params)
    if "privacy.dup_rate" in failed and request.dp is None and "jitter" not in plan.refinements:
        reason = "Too many rows copy training rows: values of nearly continuous columns are moved a little."
        yield plan.model_copy(update={
            "refinements": (*plan.refinements, "jitter"), "reason": reason, "decided_by": "heuristics",
        })


def _more_useful(
    schema: Schema, request: RunRequest, plan: Plan, failed: Sequence[str]
) -> Iterator[Plan]:
    if request.dp is not None or "utility.ks_mean" not in failed:
        return
    wanted: list[Refinement] = []
    if any(c.kind.is_numeric for c in schema.modelled):
        wanted.append("quantile_matching")
    if any(c.kind.is_discrete for c in schema.modelled):
        wanted.append("categorical_marginals")
    added = tuple(step for step in wanted if step not in plan.refinements)
    if added:
        reason = f"{_names(failed)} did not pass: columns are matched to the training rows ({', '.join(added)})."
        yield plan.model_copy(update={
            "refinements": (*added, *plan.refinements), "reason": reason, "decided_by": "heuristics",
        })


def _other_methods(
    order: Sequence[str], request: RunRequest, attempts: Sequence[Attempt], failed: Sequence[str],
    known: Mapping[str, AnyMethod] | None,
) -> Iterator[Plan]:
    used = {a.plan.method for a in attempts}
    last = resolve_method(attempts[-1].plan.method, known)
    level = _level(last, attempts[-1].plan, request)
    for name in order:
        if name not in used:
            reason = _sentence(f"{_names(failed)} did not pass with {last.info.name}: {name} is tried{_strength(name)}")
            yield plan_for(resolve_method(name, known), request, reason, level=level)


def within_budget(
    plan: Plan, request: RunRequest, seconds: float | None, known: Mapping[str, AnyMethod] | None = None
) -> Plan:
    """The plan with parameters that end learning in so many seconds, where its method can plan its time.

    A person's own parameters stand over them; None leaves the plan as it is.
    """
    if seconds is None:
        return plan
    method = resolve_method(plan.method, known)
    limits = method.budget_params(round(max(seconds, 1.0), 1))
    return plan.model_copy(update={"params": plan.params | limits | method.own_values(request.params)})


def _after(first: Sequence[str], names: Sequence[str]) -> list[str]:
    return [*(n for n in first if n in names), *(n for n in names if n not in first)]


def candidates(
    schema: Schema, n_rows: int, request: RunRequest, known: Mapping[str, AnyMethod] | None
) -> tuple[list[str], str]:
    """Names of usable methods, best first, and a sentence on those passed over before the first."""
    usable = methods(known)
    preferred = PREFERENCES[situation(schema, n_rows)].order
    order: list[str] = []
    skipped: list[str] = []
    errors: list[ParamsError] = []
    for name in [*preferred, *(n for n in usable if n not in preferred)]:
        why = None
        if name not in usable:
            why = "is not installed"
        elif (missing := lacking(usable[name])) is not None:
            why = f"is not usable here ({missing.do})"
        elif request.dp is not None and request.dp.strict and not usable[name].info.dp:
            why = "gives no differential privacy"
        else:
            try:
                check_params(usable[name], request.params)
            except ParamsError as error:
                errors.append(error)
                why = "does not have the parameters given"
        if why is None:
            order.append(name)
        elif not order:
            skipped.append(f"{name} would come first but {why}" if not skipped else f"{name} {why}")
    if request.dp is not None and not request.dp.strict:
        order.sort(key=lambda name: not usable[name].info.dp)
    if not order:
        _explain_none(request, errors)
    return order, f"{'; '.join(skipped)}; " if skipped else ""


def _explain_none(request: RunRequest, errors: Sequence[ParamsError]) -> None:
    if errors:
        raise errors[0]
    if request.dp is not None:
        raise PrivacyError(
            f"differential privacy (epsilon {request.dp.epsilon:g}) was asked for, but no installed method gives it.",
            do="Install one that does, or set strict to false to go on without any guarantee.",
        )
    raise MissingDependencyError("no method is installed.", do="Install Synthloom again: pip install synthloom")


def plan_for(
    method: AnyMethod, request: RunRequest, reason: str, *, level: PrivacyLevel | None = None,
    refinements: tuple[Refinement, ...] | None = None, base: Mapping[str, Any] | None = None,
) -> Plan:
    """A plan whose parameters hold the privacy level's values; what the person set stands over them."""
    values = dict(base or {}) | dict(method.privacy_params(level or request.privacy))
    values |= method.device_params(request.device) if request.device != "auto" else {}
    values |= method.own_values(request.params)
    check_params(method, values)
    return Plan(
        method=method.info.name, backend=method.backend, params=values, reason=reason,
        refinements=request.refinements if refinements is None else refinements,
    )


def _level(method: AnyMethod, plan: Plan, request: RunRequest) -> PrivacyLevel:
    """The privacy level a plan stands at: the highest whose values are its own, beside those the person set."""
    said = method.own_values(request.params)
    ours = {k: v for k, v in plan.params.items() if k not in said}
    return privacy_level(method, ours, apart_from=said) or request.privacy


def _identity(plan: Plan) -> tuple[str, str, tuple[Refinement, ...]]:
    asked = {k: v for k, v in plan.params.items() if k not in _LIMITS}
    return plan.method, json.dumps(asked, sort_keys=True, default=str), plan.refinements


def _describe(schema: Schema, n_rows: int) -> str:
    columns = schema.modelled
    discrete = sum(c.kind.is_discrete for c in columns)
    text = PREFERENCES[situation(schema, n_rows)].situation
    return f"{n_rows} rows, {discrete} categorical and {len(columns) - discrete} numeric columns: {text}"


def _strength(name: str) -> str:
    return f": {STRENGTHS[name]}" if name in STRENGTHS else ""


def _names(keys: Sequence[str]) -> str:
    return " and ".join(keys)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
