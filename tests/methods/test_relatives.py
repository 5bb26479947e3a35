"""Columns that lie near one another: which are found, and what a net makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synthloom.domain.schema import Kind
from synthloom.methods._nets import relatives
from synthloom.methods._nets.relatives import CLASSES, Ties, find_relatives
from synthloom.methods.autoregressive import Autoregressive
from synthloom.testing.example_tables import Example, example

SMALL = {"epochs": 24, "batch_size": 256, "width": 32, "blocks": 1, "dropout": 0.0, "learning_rate": 4e-3}


pytestmark = pytest.mark.usefixtures("one_thread")


def accounts(rows: int = 4000) -> Example:
    """A balance, next month's (within a hundredth of it for half of the people, anything for the others), and a fee
    of a twentieth of the balance; `who` says which half, `other` is a stranger."""
    rng = np.random.default_rng(0)
    steady = rng.random(rows) < 0.5
    balance = rng.lognormal(8, 1, rows)
    later = np.where(steady, balance * (1 + 0.01 * rng.normal(size=rows)), rng.lognormal(8, 1, rows))
    return example("accounts", {
        "who": (Kind.CATEGORY, np.where(steady, "steady", "moving")),
        "balance": (Kind.DECIMAL, balance.round(2)), "later": (Kind.DECIMAL, later.round(2)),
        "fee": (Kind.DECIMAL, (balance / 20).round(2)), "other": (Kind.DECIMAL, rng.lognormal(8, 1, rows).round(2)),
    })


def fit(made: Example, **params) -> Autoregressive:
    method = Autoregressive(Autoregressive.make_params({"device": "cpu"} | SMALL | params))
    return method.fit(made.table, made.schema, np.random.default_rng(1))


def named(method: Autoregressive) -> set[tuple[str, str]]:
    names = [c.column.name for c in method._codec.columns]
    return {(names[r.column], names[r.other]) for r in method._relatives}


def strayed(table) -> float:
    """Median distance of a steady person's balances, in the logarithm."""
    rows = table[table["who"] == "steady"]
    return float(np.median(np.abs(np.log(rows["later"].astype(float) / rows["balance"].astype(float)))))


@pytest.fixture(scope="module")
def fitted() -> Autoregressive:
    return fit(accounts(), tree_share=0.0)


def test_relatives_are_columns_whose_distance_says_something(fitted):
    money = {("balance", "later"), ("later", "balance"), ("balance", "fee"), ("fee", "balance")}
    assert money <= named(fitted)
    assert not any("other" in pair or "who" in pair for pair in named(fitted))


def test_nothing_is_found_among_strangers_or_in_few_rows():
    rng = np.random.default_rng(0)
    numbers = [np.r_[np.sort(rng.lognormal(8, 1, 40)), np.nan, np.nan]] * 2
    strangers = rng.integers(0, 42, (6000, 2))
    assert find_relatives(strangers, numbers, 10) == ()
    twins = np.repeat(rng.integers(0, 40, (6000, 1)), 2, axis=1)
    assert {(r.column, r.other) for r in find_relatives(twins, numbers, 10)} == {(0, 1), (1, 0)}
    assert find_relatives(twins[:79], numbers, 10) == ()  # fewer than eight classes of ten
    assert find_relatives(twins[:0], numbers, 10) == ()
    assert find_relatives(twins, [numbers[0], None], 10) == ()


def test_no_class_rests_on_fewer_records_than_the_support():
    rng = np.random.default_rng(3)
    numbers = np.r_[np.sort(rng.lognormal(8, 1, 60)), np.nan, np.nan]
    first = rng.integers(0, 60, 700)
    codes = np.c_[first, np.clip(first + rng.integers(-3, 4, 700), 0, 59)]
    for support in (10, 40, 80):
        for relative in find_relatives(codes, [numbers, numbers], support):
            held = np.bincount(relative.classes[codes[:, relative.other], codes[:, relative.column]])
            assert held[held > 0].min() >= support
            assert relative.classes[-1, 0] == relative.classes[0, -1] == CLASSES


def test_a_hair_s_breadth_is_kept_where_it_is_and_nowhere_else(fitted, monkeypatch):
    """Without relatives the same net strays many times as far, and ties those together who move."""
    made = accounts()
    near = fitted.sample(4000, np.random.default_rng(2))
    monkeypatch.setattr(relatives, "find_relatives", lambda *_args: ())
    without = fit(made, tree_share=0.0).sample(4000, np.random.default_rng(2))
    assert strayed(near) < 4 * strayed(made.table)
    assert strayed(without) > 2 * strayed(near)
    moving = np.log(near.loc[near["who"] == "moving", ["later", "balance"]].astype(float).to_numpy())
    assert abs(np.corrcoef(moving.T)[0, 1]) < 0.15


def test_relatives_hold_under_conditions_and_in_imputing(fitted):
    made = accounts().table
    given = made.loc[made["who"] == "steady", ["who", "later"]].iloc[:1000].reset_index(drop=True)
    assert strayed(fitted.sample(1000, np.random.default_rng(0), given)) < 0.05
    gappy = made[made["who"] == "steady"].iloc[:500].reset_index(drop=True)
    gappy["balance"] = gappy["balance"].where(np.arange(500) >= 400)
    filled = fitted.impute(gappy, np.random.default_rng(0))
    fee = filled["fee"].astype(float).to_numpy()[:400]
    assert np.median(np.abs(np.log(filled["balance"].astype(float).to_numpy()[:400] / (20 * fee)))) < 0.03


def test_a_saved_model_still_knows_relatives(fitted):
    arrays, meta = fitted.state()
    again = Autoregressive.from_state(fitted.params, accounts().schema, arrays, meta)
    assert named(again) == named(fitted)
    one, two = (m.sample(200, np.random.default_rng(4)) for m in (fitted, again))
    assert one.equals(two)


@pytest.mark.parametrize("spoil", [lambda c: c[:-1], lambda c: c.T[:, ::-1][:-1], lambda c: c + CLASSES + 1])
def test_relatives_of_another_table_are_refused_when_a_model_is_read(fitted, spoil):
    arrays, meta = fitted.state()
    with pytest.raises(ValueError, match="not this table's"):
        Autoregressive.from_state(
            fitted.params, accounts().schema, arrays | {"relative.0": spoil(arrays["relative.0"])}, meta
        )


def test_ties_start_without_a_word():
    table = np.zeros((3, 3), dtype=np.uint8)
    ties = Ties([relatives.Relative(0, 1, table)], 8)
    last = torch.randn(5, 8)
    codes, seen = torch.zeros(5, 2, dtype=torch.long), torch.ones(5, 2)
    bias = ties.bias(0, ties.weights(last), codes, seen)
    assert bias is not None
    assert not bias.any()
    assert ties.bias(1, ties.weights(last, 0), codes, seen) is None
