"""Membership: can somebody who holds the synthetic data tell who was in the training rows?

The attacker sees the synthetic rows and some other rows of the same source (the reference), is shown a record, and has
to say whether it was trained on. Members are training rows, non-members are holdout rows; both are rows that no other
training row equals, so that a common row, which proves nothing about anybody, gives no side an advantage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from synthloom.domain.measurement import Direction, Interval, Measured, Undefined
from synthloom.metrics._neighbours import Points, budget, nearest, space
from synthloom.metrics._stats import LEVEL, auc_influence, auc_interval, standard_error
from synthloom.metrics._views import codes, held_out, numbers, once, pick, row_keys, shared_keys, too_few
from synthloom.metrics.contract import Tables, metric

CANDIDATE_ROWS = 4_000  # members, and as many non-members
FEWEST_CANDIDATES = 1_500  # of each side, where there are many synthetic rows to search
NEIGHBOURS = 5
MIN_ROWS = 20  # members, and as many non-members
FALSE_ALARMS = 0.01
RESAMPLES = 1_000
_ATTACKS = ("nearest", "difference", "density")
_ATTACKER = (
    "The attacker holds the synthetic rows and some other rows of the same source, and is shown training rows and"
    " unseen rows in equal"
    " number. "
)


@dataclass(frozen=True)
class _Attack:
    """Scores of each attack (higher: more likely a member), members first; the rows' groups by sensitive column."""

    scores: dict[str, np.ndarray]
    member: np.ndarray
    groups: dict[str, np.ndarray]
    sizes: dict[str, int]


def _sides(tables: Tables) -> tuple[np.ndarray, np.ndarray]:
    """Positions of training rows that no other training row equals, and of holdout rows that no training row equals.

    A row lands on either side with equal chance: both conditions ask for no twin among (nearly) as many training rows.
    """
    keys = shared_keys(tables)
    return np.flatnonzero(once(keys["train"])), np.flatnonzero(~np.isin(keys["holdout"], keys["train"]))


def _to_reference(tables: Tables, shown: pd.DataFrame, queries: Points, reference: np.ndarray) -> np.ndarray:
    """Distances to the nearest reference rows but a row's own twin, which only a holdout row can have there."""
    holdout = held_out(tables)
    keys = shared_keys(tables)["holdout"][reference]
    _, first = np.unique(keys, return_index=True)
    points = space(tables).place(holdout.iloc[reference[first]])
    k = min(NEIGHBOURS + 1, len(points))
    distances, positions = nearest(tables, queries, points, k)
    twin = keys[first][positions] == row_keys(shown, tables.schema)[:, None]
    distances = np.sort(np.where(twin, np.inf, distances), axis=1)
    return distances[:, : k - 1]


def _run(tables: Tables) -> _Attack | Undefined:
    def make() -> _Attack | Undefined:
        if (few := too_few(tables, MIN_ROWS, holdout=MIN_ROWS)) is not None:
            return few
        if not tables.schema.modelled:
            return Undefined(reason="The table has no column to compare.")
        rng = tables.rng("membership")
        members, others = (rng.permutation(side) for side in _sides(tables))
        third = len(others) // 3
        reference, others = others[:third], others[third:]
        m = min(len(members), len(others), CANDIDATE_ROWS)
        asked, searched = budget(2 * m, len(tables.synthetic), 2 * FEWEST_CANDIDATES)
        m, reference = asked // 2, reference[:searched]
        known = len(np.unique(shared_keys(tables)["holdout"][reference]))
        if m < MIN_ROWS or known < 2 or len(tables.synthetic) < NEIGHBOURS:
            need = f"{MIN_ROWS} training and {MIN_ROWS * 3 // 2} holdout rows"
            return Undefined(reason=f"It needs {need} that no other row equals.")
        holdout, place = held_out(tables), space(tables).place
        shown = pd.concat([tables.train.iloc[members[:m]], holdout.iloc[others[:m]]], ignore_index=True)
        synthetic = tables.synthetic.iloc[pick(len(tables.synthetic), searched, rng)]
        queries = place(shown)
        to_synthetic = nearest(tables, queries, place(synthetic), NEIGHBOURS)[0]
        to_reference = _to_reference(tables, shown, queries, reference)
        tiny = 0.01 / len(space(tables).columns)
        scores = {
            "nearest": -to_synthetic[:, 0],
            "difference": to_reference[:, 0] - to_synthetic[:, 0],
            "density": np.log(to_reference.mean(axis=1) + tiny) - np.log(to_synthetic.mean(axis=1) + tiny),
        }
        sizes = {
            "members": m, "non_members": m, "synthetic": len(synthetic), "reference": len(reference),
            "columns": len(space(tables).columns),
        }
        return _Attack(scores, np.arange(2 * m) < m, _groups(tables, shown), sizes)

    return tables.shared("membership", make)


def _groups(tables: Tables, shown: pd.DataFrame) -> dict[str, np.ndarray]:
    groups = {}
    for column in tables.schema.modelled:
        if not column.sensitive:
            continue
        if column.kind.is_discrete:
            groups[column.name] = codes(shown, column)
        else:
            values = numbers(shown, column)
            if not np.isnan(values).all():
                quarters = np.nanquantile(values, [0.25, 0.5, 0.75])
                groups[column.name] = np.where(np.isnan(values), -1, np.searchsorted(quarters, values))
    return groups


def _area(scores: np.ndarray, member: np.ndarray, tries: int) -> tuple[float, Interval]:
    """Area and an interval that holds for the worst of so many tries (Bonferroni)."""
    area, influence = auc_influence(scores, member)
    level = 1 - (1 - LEVEL) / tries
    smaller = int(min(member.sum(), (~member).sum()))
    return area, auc_interval(area, standard_error(influence), smaller, level)


def _worst(found: dict[str, tuple[float, Interval]]) -> tuple[str, float, Interval]:
    """The worst attack, with a joint interval: the largest of the lows to the largest of the highs."""
    name = max(found, key=lambda n: found[n][0])
    value = found[name][0]
    low = max(interval.low for _, interval in found.values())
    high = max(interval.high for _, interval in found.values())
    return name, value, Interval(low=min(low, value), high=max(high, value), level=LEVEL)


def _subgroups(attack: _Attack, worst: str, min_support: int) -> dict[str, dict[str, Any]]:
    """Per sensitive column the group that the worst attack finds best. The group is not named: its label is a cell."""
    result: dict[str, dict[str, Any]] = {}
    need = max(MIN_ROWS, min_support)
    for name, group in attack.groups.items():
        sides = {g: attack.member[group == g] for g in np.unique(group)}
        large = [g for g, side in sides.items() if min(side.sum(), (~side).sum()) >= need]
        if len(large) < 2:
            continue
        areas = {
            str(g): _area(attack.scores[worst][group == g], attack.member[group == g], len(large)) for g in large
        }
        _, value, interval = _worst(areas)
        result[name] = {"worst_auc": value, "interval": [interval.low, interval.high], "groups": len(large)}
    return result


@metric(
    key="privacy.mia_auc", title="Membership attack",
    explanation=_ATTACKER + "0.5 means it cannot tell them apart better than a coin, 1 that it always can. The worst"
    " of three attacks.",
    direction=Direction.LOWER, ideal=0.5, low=0, high=1,
    source="No-box membership inference: distance to the nearest synthetic row (Chen et al. 2020), its difference to"
    " the nearest"
    " reference row, and the ratio of nearest-neighbour densities (after DOMIAS, van Breugel et al. 2023); DeLong"
    " interval,"
    " joint over the attacks.",
)
def mia_auc(tables: Tables) -> Measured | Undefined:
    """Worst ROC area of three membership attacks.

    Details: `attacks` {name: area}, `worst` (name), `tpr_at_1pct_fpr` (with 100 non-members or more), `rows` {side:
    used, columns: compared}, `subgroups` {sensitive column: {worst_auc, interval, groups}}.
    """
    attack = _run(tables)
    if isinstance(attack, Undefined):
        return attack
    found = {name: _area(scores, attack.member, len(_ATTACKS)) for name, scores in attack.scores.items()}
    worst, value, interval = _worst(found)
    details: dict[str, Any] = {
        "attacks": {name: area for name, (area, _) in found.items()}, "worst": worst, "rows": attack.sizes,
        "subgroups": _subgroups(attack, worst, tables.min_support),
    }
    rate = mia_tpr.compute(tables)
    if isinstance(rate, Measured):
        details["tpr_at_1pct_fpr"] = rate.value
    return Measured(value=value, interval=interval, details=details)


def _caught(members: np.ndarray, others: np.ndarray, rng: np.random.Generator, tries: int) -> tuple[float, Interval]:
    """True positive rate at 1% false ones, with a bootstrap interval over both sides."""
    m, others, members = len(members), np.sort(others), np.sort(members)
    allowed = int(FALSE_ALARMS * len(others))
    threshold = others[len(others) - 1 - allowed]
    rate = float((members > threshold).mean())
    # The order statistic of a resample: its position among the sorted non-members is a beta draw.
    place = rng.beta(len(others) - allowed, allowed + 1, RESAMPLES)
    thresholds = others[np.minimum((place * len(others)).astype(int), len(others) - 1)]
    rates = rng.binomial(m, 1 - np.searchsorted(members, thresholds, side="right") / m) / m
    tail = (1 - LEVEL) / tries / 2
    low, high = np.quantile(rates, [tail, 1 - tail])
    return rate, Interval(low=min(float(low), rate), high=max(float(high), rate), level=1 - 2 * tail)


@metric(
    key="privacy.mia_tpr_at_1pct_fpr", title="Members found with almost no false alarm",
    explanation=_ATTACKER + "How many of the training rows it names while it wrongly names only one in a hundred of"
    " the others."
    " 0.01 is chance. An average can hide a few records that leak entirely; this number shows them. The worst of"
    " three attacks.",
    direction=Direction.LOWER, ideal=FALSE_ALARMS, low=0, high=1,
    source="True positive rate at 1% false positives (Carlini et al. 2022); bootstrap interval, joint over the"
    " attacks.",
)
def mia_tpr(tables: Tables) -> Measured | Undefined:
    """Worst true positive rate at 1% false positives.

    Details: `attacks` {name: rate}, `worst` (name), `rows` {side: used}.
    """
    attack = _run(tables)
    if isinstance(attack, Undefined):
        return attack
    if attack.sizes["non_members"] < 1 / FALSE_ALARMS:
        return Undefined(reason="It takes 100 holdout rows that no other row equals to see a rate of one in a hundred.")
    rng = tables.rng("true positive rate")
    found = {
        name: _caught(scores[attack.member], scores[~attack.member], rng, len(_ATTACKS))
        for name, scores in attack.scores.items()
    }
    worst, value, interval = _worst(found)
    details = {"attacks": {name: rate for name, (rate, _) in found.items()}, "worst": worst, "rows": attack.sizes}
    return Measured(value=value, interval=interval, details=details)
