"""Rebalancing and temperature: shares asked of columns, on the way from a person's words to the rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from methods_for_tests import KNOWN, IndependentMarginals
from synthloom import service
from synthloom.cli.sample import shares_of
from synthloom.domain.errors import ParamsError, UnknownNameError, UsageError
from synthloom.registry import create_synthesizer


def people(rows: int = 2000) -> pd.DataFrame:
    """One in ten is rich, and older by thirty years."""
    rng = np.random.default_rng(3)
    rich = rng.random(rows) < 0.1
    return pd.DataFrame({
        "income": np.where(rich, ">50K", "<=50K"), "age": (rng.normal(35, 5, rows) + 30 * rich).round().astype(int),
        "smokes": rng.random(rows) < 0.5, "note": rng.choice(np.array([None, "seen", "seen, twice"]), rows),
    })


@pytest.fixture(scope="module")
def fitted():
    return create_synthesizer("gaussian_copula").fit(people())


HALVES = {"income": {">50K": 0.5, "<=50K": 0.5}}


def test_each_value_gets_its_share_and_the_other_columns_follow(fitted):
    rows = fitted.sample(1000, shares=HALVES, seed=1)
    assert rows["income"].value_counts().to_dict() == {">50K": 500, "<=50K": 500}
    ages = rows.groupby("income")["age"].mean()
    assert ages[">50K"] - ages["<=50K"] > 15
    assert fitted.sample(1000, seed=1)["age"].mean() < rows["age"].mean() - 8
    assert rows.dtypes.to_dict() == people().dtypes.to_dict()


def test_rows_come_in_random_order_and_by_seed(fitted):
    rows = fitted.sample(1000, shares=HALVES, seed=1)
    assert 200 < (rows["income"].iloc[:500] == ">50K").sum() < 300
    pd.testing.assert_frame_equal(rows, fitted.sample(1000, shares=HALVES, seed=1))
    assert not rows["income"].equals(fitted.sample(1000, shares=HALVES, seed=2)["income"])


def test_shares_are_kept_to_the_nearest_row(fitted):
    thirds = {"age": {30: 1 / 3, 40: 1 / 3, 65: 1 / 3}}
    for n in (0, 1, 2, 3, 100, 101):
        counts = fitted.sample(n, shares=thirds)["age"].value_counts()
        assert counts.sum() == n
        assert all(abs(counts.get(value, 0) - n / 3) < 1 for value in thirds["age"])
    by_hand = fitted.sample(1000, shares={"age": {30: 0.333, 40: 0.333, 65: 0.333}})["age"].value_counts()
    assert sorted(by_hand) == [333, 333, 334]


def test_several_columns_missing_cells_and_conditions_beside(fitted):
    rows = fitted.sample(
        400, shares=HALVES | {"note": {None: 0.75, "seen, twice": 0.25}}, conditions={"smokes": True}
    )
    assert rows["smokes"].all()
    assert rows["note"].isna().sum() == 300
    assert 110 < (rows["note"].isna() & (rows["income"] == ">50K")).sum() < 190  # drawn apart: 150 expected


def test_every_conditional_method_takes_them():
    rows = create_synthesizer("marginals", known=KNOWN).fit(people()).sample(10, shares=HALVES)
    assert (rows["income"] == ">50K").sum() == 5


@pytest.mark.parametrize(("shares", "error", "words"), [
    ({"income": {">50K": 0.5, "<=50K": 0.4}}, UsageError, "'income'.*add up to 0.9"),
    ({"income": {">50K": 1.5, "<=50K": -0.5}}, UsageError, "1.5 is no share"),
    ({"income": {">50K": float("nan"), "<=50K": 1}}, UsageError, "nan is no share"),
    ({"income": {">50K": "half", "<=50K": 0.5}}, UsageError, "'half' is no share"),
    ({"income": {">50K": True}}, UsageError, "True is no share"), ({"income": {}}, UsageError, "mapping"),
    ({"income": 0.5}, UsageError, "mapping"), ({"incom": {">50K": 1}}, UnknownNameError, "Did you mean income"),
    ({"income": {"rich": 0, ">50K": 1}}, UsageError, "no label"), ({"age": {None: 1}}, UsageError, "never missing"),
])
def test_shares_that_cannot_be_met_say_why(fitted, shares, error, words):
    with pytest.raises(error, match=words):
        fitted.sample(3, shares=shares)


def test_a_column_has_conditions_or_shares(fitted):
    with pytest.raises(UsageError, match=r"'income'.*both"):
        fitted.sample(3, shares=HALVES, conditions={"income": ">50K"})


def test_a_method_without_conditions_says_so():
    with pytest.raises(UsageError, match=r"cart.*cannot sample under conditions"):
        create_synthesizer("cart").fit(people(300)).sample(2, shares=HALVES)


def test_a_method_without_temperature_says_so(fitted):
    with pytest.raises(ParamsError, match=r"gaussian_copula.*no temperature"):
        fitted.sample(2, temperature=0.5)


class Warm(IndependentMarginals):
    """Draws the commonest label alone below a temperature of 1."""

    class Params(IndependentMarginals.Params):
        temperature: float = 1.0

    def sample(self, n, rng, conditions=None, *rest):
        rows = super().sample(n, rng, conditions, *rest)
        if self.params.temperature < 1:
            rows["income"] = rows["income"].mask(rows["income"] != "<=50K", "<=50K")
        return rows


def test_temperature_holds_for_one_sample_only():
    made = create_synthesizer(Warm).fit(people())
    assert (made.sample(300, temperature=0.5)["income"] == "<=50K").all()
    assert (made.sample(300)["income"] == ">50K").any()
    assert made.params.temperature == 1
    with pytest.raises(ParamsError, match="temperature='hot'"):
        made.sample(3, temperature="hot")


def test_the_service_draws_the_same_rows(fitted):
    table = service.sample(fitted, 100, seed=4, shares=HALVES, where={"age": "40"})
    rows = fitted.sample(100, seed=4, shares=HALVES, conditions={"age": 40})
    pd.testing.assert_frame_equal(fitted.restored(table), rows)


@pytest.mark.parametrize(("text", "shares"), [
    ("a:0.5,b:0.5", {"a": 0.5, "b": 0.5}), ('"Bern, CH":0.3,Basel:0.7', {"Bern, CH": 0.3, "Basel": 0.7}),
    ("10:30:0.4,x:.6", {"10:30": 0.4, "x": 0.6}), (":0.1,a:0.9", {None: 0.1, "a": 0.9}),
    ('"say ""hi""":1', {'say "hi"': 1.0}), (" a:0.5,a:0.5", {" a": 0.5, "a": 0.5}), ("", {}),
])
def test_how_shares_are_written_on_the_command_line(text, shares):
    assert shares_of(text) == shares


@pytest.mark.parametrize(("text", "told"), [
    ("a", "'a' is no VALUE:SHARE"), ("a:half,b:0.5", "'a:half'"), ("a:0.5,", "'' is no"), ("a:0.5,a:0.5", "twice"),
    ("Bern, CH:0.5", "'Bern' is no VALUE:SHARE"),
])
def test_shares_that_cannot_be_read_say_which(text, told):
    with pytest.raises(UsageError, match=told):
        shares_of(text)
