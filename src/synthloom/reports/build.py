"""Tables and measurements become one report, with nothing in it that shows a record."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from synthloom.domain.errors import ContractError
from synthloom.domain.event import Fallback, Loss, Notice
from synthloom.domain.guarantee import Guarantee, PrivacyGuarantee
from synthloom.domain.measurement import Failed, Measured, Measurement, Threshold, Undefined, Verdict
from synthloom.domain.plan import Plan
from synthloom.domain.race import Race
from synthloom.domain.report import ColumnReport, Meta, Protection, RefinementEffect, Report
from synthloom.domain.run import Attempt, DPRequest
from synthloom.domain.schema import Column, Schema
from synthloom.reports.associations import MAX_COLUMNS, associations
from synthloom.reports.distributions import column_figure, column_shape, missing_share
from synthloom.reports.words import number

HISTORICAL_KEYS = {
    "utility": ("ks_mean", "corr_delta", "auroc", "c_index"),
    "privacy": ("mia_auc", "dup_rate", "dp_requested", "dp_effective", "dp_epsilon"),
    "fairness": ("rare_coverage", "freq_skew"),
}
"""Keys that stand in every report, null where the number does not exist."""

_DEFAULT_SUPPORT = 5


def build_report(
    *, train: pd.DataFrame, holdout: pd.DataFrame | None, synthetic: pd.DataFrame, schema: Schema, meta: Meta,
    plan: Plan | None, guarantee: Guarantee, protection: Protection | None, measurements: Sequence[Measurement],
    verdicts: Sequence[Verdict], attempts: Sequence[Attempt] = (), refinements: Sequence[RefinementEffect] = (),
    fallbacks: Sequence[Fallback] = (), notices: Sequence[Notice] = (), losses: Sequence[Loss] = (),
    dp: DPRequest | None = None, race: Race | None = None,
) -> Report:
    """Put everything a person needs to trust the data, or not to, into one report.

    Args:
        train: Canonical rows the method has learnt from.
        holdout: Canonical rows kept back; nothing of it is shown.
        synthetic: Canonical rows as delivered.
        schema: The one schema of all three.
        meta: What was run, on what.
        plan: The delivered attempt's plan; None when data made elsewhere was evaluated.
        guarantee: What the fitted method promises.
        protection: Privacy level and its settings; figures keep its `min_support` (5 without).
        measurements: All metrics of the delivered attempt.
        verdicts: The same held against thresholds, see `judge`.
        attempts: All attempts, the delivered one among them.
        refinements: Post-processing steps with metrics before and after.
        fallbacks: Every step down from what was asked; they head the report.
        notices: What the person should know.
        losses: Training losses of the delivered attempt, thinned out to at most 200 per name.
        dp: Differential privacy as asked for.
        race: How the first plan was chosen, where by measuring.
    """
    if holdout is not None and tuple(holdout.columns) != schema.names:
        raise ContractError("the holdout's columns are not the schema's.")
    support = protection.min_support if protection else _DEFAULT_SUPPORT
    scores = _column_scores(measurements)
    columns = tuple(_column(c, train[c.name], synthetic[c.name], support, scores) for c in schema)
    shown, omitted = _most_variable(schema, columns)
    numbers = _numbers(measurements)
    effective = _dp_effective(guarantee, dp)
    epsilon = guarantee.epsilon if isinstance(guarantee, PrivacyGuarantee) else None
    return Report(
        outcome="not_judged" if not verdicts else "passed" if all(v.passed for v in verdicts) else "failed",
        utility=numbers["utility"],
        privacy={
            **numbers["privacy"], "dp_requested": dp is not None, "dp_effective": effective, "dp_epsilon": epsilon,
        },
        fairness=numbers["fairness"],
        meta=meta, plan=plan, race=race, guarantee=guarantee, protection=protection, measurements=tuple(measurements),
        verdicts=tuple(verdicts), columns=columns, associations=associations(train, synthetic, shown, omitted),
        refinements=tuple(refinements), attempts=tuple(attempts), fallbacks=tuple(fallbacks), notices=tuple(notices),
        losses=_thin_out(losses), dropped=schema.dropped, target=schema.target, survival=schema.survival,
        sequence=schema.sequence, dp=dp,
    )


def judge(measurements: Sequence[Measurement], thresholds: Sequence[Threshold]) -> tuple[Verdict, ...]:
    """Hold metrics against thresholds, one verdict each, in the thresholds' order.

    A metric that is undefined for the table (no pair of numeric columns, say) passes as not applicable, except among
    the privacy metrics: a privacy check that could not be made is no evidence, so it does not pass. A metric that
    failed, or that nobody measured, does not pass either.
    """
    found = {m.info.key: m for m in measurements}
    return tuple(_verdict(t, found.get(t.key)) for t in thresholds)


def _verdict(threshold: Threshold, measurement: Measurement | None) -> Verdict:
    if measurement is None:
        return Verdict(threshold=threshold, value=None, passed=False, reason="Not measured in this run.")
    outcome = measurement.outcome
    if isinstance(outcome, Failed):
        return Verdict(threshold=threshold, value=None, passed=False, reason=f"The measurement failed: {outcome.error}")
    if isinstance(outcome, Undefined):
        if threshold.key.startswith("privacy."):
            reason = f"Could not be checked, which is no evidence of privacy: {outcome.reason}"
            return Verdict(threshold=threshold, value=None, passed=False, reason=reason)
        return Verdict(threshold=threshold, value=None, passed=True, reason=f"Not applicable: {outcome.reason}")
    return Verdict(threshold=threshold, value=outcome.value, **_compared(threshold, outcome))


def _compared(threshold: Threshold, outcome: Measured) -> dict[str, bool | str]:
    limit, value, most = threshold.limit, outcome.value, threshold.comparison == "at_most"
    passed = value <= limit if most else value >= limit
    side = "above" if most else "below"
    told = number(value) if passed else _apart(value, limit)
    reason = f"{told} is {'within' if passed else side} the limit of {limit:g}"
    interval = outcome.interval
    if passed and interval and (interval.high > limit if most else interval.low < limit):
        reason += f"; its {interval.level:.0%} interval reaches {side} the limit"
    return {"passed": passed, "reason": f"{reason}."}


def _apart(value: float, limit: float) -> str:
    """A number that misses a limit, with as many digits as it takes to see that."""
    if number(value) != number(limit, value):
        return number(value)
    digits = next((d for d in range(3, 12) if round(value, d) != round(limit, d)), 12)
    return f"{value:.{digits}f}"


def _numbers(measurements: Sequence[Measurement]) -> dict[str, dict[str, float | None]]:
    """Plain numbers per section: the historical keys and every metric of those sections."""
    out: dict[str, dict[str, float | None]] = {
        section: dict.fromkeys(keys) for section, keys in HISTORICAL_KEYS.items()
    }
    for m in measurements:
        section, _, name = m.info.key.partition(".")
        if section in out:
            out[section][name] = m.value
    return out


def _dp_effective(guarantee: Guarantee, dp: DPRequest | None) -> bool:
    if not isinstance(guarantee, PrivacyGuarantee):
        return False
    if dp is None:
        return True
    return guarantee.epsilon <= dp.epsilon * (1 + 1e-9) and (dp.delta is None or guarantee.delta <= dp.delta)


def _column_scores(measurements: Sequence[Measurement]) -> dict[str, float]:
    """Shape per column as the shape metric's details tell it, so that one number has one source."""
    for m in measurements:
        if m.info.key == "utility.shape" and isinstance(m.outcome, Measured):
            per_column = m.outcome.details.get("columns", {})
            return {str(k): float(v) for k, v in per_column.items() if isinstance(v, int | float)}
    return {}


def _column(
    column: Column, train: pd.Series, synthetic: pd.Series, support: int, scores: dict[str, float]
) -> ColumnReport:
    shape = scores.get(column.name)
    return ColumnReport(
        name=column.name, kind=column.kind, reason=column.reason, sensitive=column.sensitive,
        missing_real=missing_share(train, support), missing_synthetic=missing_share(synthetic),
        shape=column_shape(train, synthetic, column) if shape is None else shape,
        figure=column_figure(train, synthetic, column, support),
    )


def _most_variable(schema: Schema, columns: Sequence[ColumnReport]) -> tuple[list[Column], int]:
    """Modelled columns for the association matrices: the most variable by entropy of their drawn groups, in order."""
    modelled = [i for i, c in enumerate(schema) if c.kind.is_modelled]
    if len(modelled) <= MAX_COLUMNS:
        return [schema.columns[i] for i in modelled], 0
    ranked = sorted(modelled, key=lambda i: -_entropy(columns[i]))
    return [schema.columns[i] for i in sorted(ranked[:MAX_COLUMNS])], len(modelled) - MAX_COLUMNS


def _entropy(column: ColumnReport) -> float:
    if column.figure is None:
        return 0.0
    atom = getattr(column.figure, "atom", None)
    p = np.array([s for s in (*column.figure.real, atom.real if atom else 0.0) if s > 0])
    return float(-(p * np.log(p)).sum()) * (1 - column.missing_real)


def _thin_out(losses: Sequence[Loss], most: int = 200) -> tuple[Loss, ...]:
    kept: list[Loss] = []
    for name in dict.fromkeys(loss.name for loss in losses):
        own = [loss for loss in losses if loss.name == name]
        picks = range(len(own)) if len(own) <= most else np.linspace(0, len(own) - 1, most).astype(int).tolist()
        kept += [own[i] for i in picks]
    return tuple(kept)
