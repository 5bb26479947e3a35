"""Train and holdout, and the streams of randomness."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from synthloom.domain.errors import UsageError
from synthloom.domain.schema import Schema, SchemaOverrides, SurvivalColumns
from synthloom.tables.coerce import coerce
from synthloom.tables.infer import frame_to_raw, infer_schema
from synthloom.tables.rng import child
from synthloom.tables.split import split_holdout


def table(frame: pd.DataFrame, **said: object) -> tuple[pd.DataFrame, Schema]:
    raw = frame_to_raw(frame)
    schema = infer_schema(raw, SchemaOverrides.model_validate(said))
    return coerce(raw, schema), schema


def make(n: int = 1000) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"x": rng.normal(size=n), "y": np.where(np.arange(n) < n // 10, "rare", "common"), "z": rng.integers(0, 9, n)}
    )


def test_sizes_shares_and_index() -> None:
    data, schema = table(make(), target="y")
    train, holdout = split_holdout(data, schema, 0.2, child(1, "split"))
    assert (len(train), len(holdout)) == (800, 200)
    assert (holdout["y"] == "rare").sum() == 20
    for part in (train, holdout):
        assert part.index.equals(pd.RangeIndex(len(part)))
        assert (part.dtypes == data.dtypes).all()
    together = pd.concat([train, holdout]).sort_values("x").reset_index(drop=True)
    pd.testing.assert_frame_equal(together, data.sort_values("x").reset_index(drop=True))


def test_a_numeric_target_is_spread_over_its_quantiles() -> None:
    data, schema = table(make(), target="x")
    _, holdout = split_holdout(data, schema, 0.3, child(1, "split"))
    for q in (0.1, 0.5, 0.9):
        assert (holdout["x"] <= data["x"].quantile(q)).mean() == pytest.approx(q, abs=0.01)


def test_survival_is_spread_over_the_event() -> None:
    frame = make().assign(time=np.arange(1000) % 77 + 1, event=(np.arange(1000) % 5 == 0).astype(int))
    data, schema = table(frame, survival=SurvivalColumns(time="time", event="event"))
    _, holdout = split_holdout(data, schema, 0.25, child(1, "split"))
    assert (holdout["event"] == "1").sum() == pytest.approx(50, abs=1)


def test_holdout_rows_that_train_has_are_left_out() -> None:
    frame = pd.concat([make(300)] * 2 + [make(900).iloc[300:]], ignore_index=True)
    data, schema = table(frame)
    train, holdout = split_holdout(data, schema, 0.4, child(3, "split"))
    assert len(train) == round(len(frame) * 0.6)
    assert 0 < len(holdout) < len(frame) * 0.4
    assert holdout.merge(train, on=list(frame.columns)).empty


def test_identifiers_do_not_make_equal_rows_different() -> None:
    frame = pd.DataFrame({"id": [f"K{i}" for i in range(100)], "y": ["a", "b"] * 50})
    data, schema = table(frame)
    _, holdout = split_holdout(data, schema, 0.2, child(3, "split"))
    assert holdout.empty


def test_the_seed_decides() -> None:
    data, schema = table(make())
    first, again, other = (split_holdout(data, schema, 0.2, child(s, "split"))[1] for s in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first["x"].equals(other["x"])


@pytest.mark.parametrize("n", [2, 3, 5])
def test_small_tables_leave_a_row_on_either_side(n: int) -> None:
    data, schema = table(pd.DataFrame({"x": np.arange(n) * 1.5}))
    train, holdout = split_holdout(data, schema, 0.2, child(1))
    assert len(train) == n - 1
    assert len(holdout) == 1


def test_no_holdout_when_none_is_wanted() -> None:
    data, schema = table(make(50))
    train, holdout = split_holdout(data, schema, 0.0, child(1))
    assert (len(train), len(holdout)) == (50, 0)
    with pytest.raises(UsageError, match=r"1\.0"):
        split_holdout(data, schema, 1.0, child(1))


def test_missing_targets_are_a_stratum_of_their_own() -> None:
    gaps = make()["z"] != 1
    frame = make().assign(y=lambda f: f["y"].where(gaps), u=lambda f: f["x"] * 2, x=lambda f: f["x"].where(gaps))
    for target in ("x", "y"):
        data, schema = table(frame, target=target)
        _, holdout = split_holdout(data, schema, 0.2, child(1))
        assert holdout[target].isna().mean() == pytest.approx(data[target].isna().mean(), abs=0.006)


def test_streams_are_stable_and_apart() -> None:
    assert child(7, "fit").integers(0, 10**9) == child(7, "fit").integers(0, 10**9)
    draws = {tuple(c.integers(0, 10**9, 3)) for c in (
        child(7), child(8), child(7, "fit"), child(7, "sample"), child(7, "fit", 1), child(7, "fit", "1"),
        child(7, "fit1"), child(7, "f", "it"),
    )}
    assert len(draws) == 8
    with pytest.raises(UsageError, match="-1"):
        child(-1)
