"""Every metric keeps every promise, and the suite finds metrics that do not."""

from __future__ import annotations

import numpy as np
import pytest

from synthloom.domain.errors import ContractError
from synthloom.domain.measurement import Direction, Measured, Undefined
from synthloom.metrics.catalog import ALL
from synthloom.metrics.contract import Metric, Tables, metric
from synthloom.testing.check_metric import METRIC_CHECKS, Check, check_metric


@pytest.mark.parametrize("check", METRIC_CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("subject", ALL, ids=lambda m: m.info.key)
def test_every_metric_keeps_every_promise(subject: Metric, check: Check) -> None:
    check.run(subject)


def test_the_historical_keys_are_there() -> None:
    keys = [m.info.key for m in ALL]
    assert len(set(keys)) == len(keys)
    assert {
        "utility.ks_mean", "utility.corr_delta", "utility.auroc", "utility.c_index", "privacy.mia_auc",
        "privacy.dup_rate", "fairness.rare_coverage", "fairness.freq_skew",
    } <= set(keys)


def _broken(compute):
    declare = metric(
        key="utility.broken", title="t", explanation="e", source="s", direction=Direction.LOWER, ideal=0, low=0, high=1
    )
    return declare(compute)


def _out_of_range(_tables: Tables) -> Measured:
    return Measured(value=7)


def _listens_to_the_global_generator(_tables: Tables) -> Measured:
    return Measured(value=float(np.random.random()))


def _raises(tables: Tables) -> Measured:
    return Measured(value=len(tables.synthetic) / len(tables.train) / 1e9)


def _writes(tables: Tables) -> Measured:
    tables.train.iloc[:, 0] = 0
    return Measured(value=0)


def _shows_a_label(tables: Tables) -> Measured:
    last = tables.train.iloc[:, -1]
    label = next((c for c in tables.train if "cell-far" in set(tables.train[c].astype(str))), None)
    return Measured(value=0, details={"worst": str(tables.train[label].iloc[0])} if label else {"n": len(last)})


def _never_says_why(_tables: Tables) -> Undefined:
    return Undefined(reason=" ")


def _better_is_worse(tables: Tables) -> Measured:
    same = tables.synthetic["age"].mean() < 60 if len(tables.synthetic) and "age" in tables.synthetic else True
    return Measured(value=1.0 if same else 0.0)


@pytest.mark.parametrize(("compute", "promise"), [
    (_out_of_range, "ordinary"), (_listens_to_the_global_generator, "deterministic"), (_raises, "edges"),
    (_writes, "tables_untouched"), (_shows_a_label, "no_cells"), (_never_says_why, "ordinary"),
    (_better_is_worse, "direction"),
])
def test_a_metric_that_breaks_a_promise_is_found(compute, promise) -> None:
    with pytest.raises(ContractError, match=promise):
        check_metric(_broken(compute))
