"""The conditional GAN: what it learns, how it meets conditions, when it stops."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from synthloom.domain.errors import CancelledError, FitError
from synthloom.domain.event import Loss, Notice, ignore
from synthloom.domain.schema import Kind
from synthloom.methods.ctgan import Ctgan
from synthloom.tables.canonical import check_canonical
from synthloom.testing.check_method import METHOD_CHECKS
from synthloom.testing.example_tables import Example, example, mixed

SMALL = {"epochs": 6, "width": 48, "noise": 16, "batch_size": 60, "learning_rate": 0.003, "device": "cpu"}


def fit(made: Example, emit=ignore, cancelled=lambda: False, **params) -> Ctgan:
    method = Ctgan(Ctgan.make_params(SMALL | params))
    return method.fit(made.table, made.schema, np.random.default_rng(1), emit, cancelled)


def clinic(rows: int = 2400) -> Example:
    """Two labels tied to each other, one of them rare; a number that follows them, two tests missing together."""
    rng = np.random.default_rng(0)
    ward = rng.choice(3, rows, p=[0.55, 0.4, 0.05])
    care = np.where(rng.random(rows) < 0.9, ward, rng.integers(0, 3, rows))
    gap = rng.random(rows) < np.array([0.1, 0.7, 0.2])[ward]
    blood = np.where(gap, np.nan, np.round(rng.normal(10, 1, rows) + 3 * ward, 1))
    return example(
        "clinic",
        {
            "ward": (Kind.CATEGORY, np.array(["eye", "heart", "skin"], dtype=object)[ward]),
            "care": (Kind.CATEGORY, np.array(["day", "night", "home"], dtype=object)[care]),
            "cost": (Kind.DECIMAL, np.round(200 + 400 * ward + rng.gamma(2, 40, rows), 2)),
            "blood": (Kind.DECIMAL, blood),
            "sugar": (Kind.DECIMAL, np.where(gap, np.nan, np.round(rng.normal(5, 1, rows), 1))),
            "visits": (Kind.INTEGER, rng.choice([0, 0, 0, 1, 5], rows)),
        },
        cost={"precision": 2}, blood={"precision": 1}, sugar={"precision": 1},
    )


@pytest.fixture(scope="module")
def fitted() -> Ctgan:
    return fit(clinic(), epochs=25, batch_size=240, width=96)


@pytest.fixture(scope="module")
def rows(fitted) -> pd.DataFrame:
    return fitted.sample(4000, np.random.default_rng(2))


@pytest.mark.parametrize("check", METHOD_CHECKS, ids=lambda check: check.name)
def test_it_keeps_every_promise_of_a_method(check):
    check.run(Ctgan, SMALL | {"epochs": 2})


def test_columns_keep_their_shares(rows):
    real = clinic().table
    for name in ("ward", "care", "visits"):
        gap = real[name].value_counts(normalize=True).sub(rows[name].value_counts(normalize=True), fill_value=0)
        assert gap.abs().max() < 0.06
    assert set(rows["visits"].unique()) == {0, 1, 5}


def test_labels_and_numbers_go_together(rows):
    real = clinic().table
    means = [t.groupby("ward", observed=True)["cost"].mean() for t in (real, rows)]
    assert means[1]["heart"] - means[1]["eye"] > 0.6 * (means[0]["heart"] - means[0]["eye"])
    same = [(t["ward"].cat.codes == t["care"].map({"day": 0, "night": 1, "home": 2})).mean() for t in (real, rows)]
    assert same[1] > 0.7 * same[0]


def test_columns_missing_together_stay_so(rows):
    assert (rows["blood"].isna() == rows["sugar"].isna()).all()


def test_given_labels_stand_as_asked_and_the_rest_suits_them(fitted):
    asked = clinic().table[["ward"]].iloc[:0]
    for label in ("eye", "heart", "skin"):
        cells = pd.Categorical([label] * 400, clinic().table["ward"].cat.categories)
        asked = pd.concat([asked, pd.DataFrame({"ward": cells})])
    asked = asked.reset_index(drop=True)
    made = fitted.sample(1200, np.random.default_rng(3), asked)
    assert made["ward"].equals(asked["ward"])
    means = made.groupby("ward", observed=True)["cost"].mean()
    assert means["heart"] - means["eye"] > 200
    assert means["skin"] > means["eye"] + 200  # a label that one row in twenty has


def test_several_columns_may_be_given_at_once_and_differ_from_row_to_row(fitted):
    asked = clinic().table[["care", "cost", "sugar"]].sample(500, random_state=np.random.RandomState(0))
    asked = asked.reset_index(drop=True)
    made = fitted.sample(500, np.random.default_rng(4), asked)
    pd.testing.assert_frame_equal(made[["care", "cost", "sugar"]], asked)
    assert (made["blood"].isna() == asked["sugar"].isna()).all()
    dear = (asked["cost"] > 550).to_numpy()
    assert (made["ward"][dear] == "eye").mean() < 0.5 * (made["ward"][~dear] == "eye").mean()


def test_mending_makes_cells_fit_the_rest_and_leaves_shares_and_given_cells():
    def agree(made: pd.DataFrame) -> float:
        return float((made["ward"].cat.codes == made["care"].map({"day": 0, "night": 1, "home": 2})).mean())

    raw, mended = (
        fit(clinic(), epochs=8, batch_size=120, sweeps=sweeps).sample(3000, np.random.default_rng(5))
        for sweeps in (0, 1)
    )
    assert agree(mended) > agree(raw) + 0.02
    real = clinic().table["ward"].value_counts(normalize=True)
    assert (mended["ward"].value_counts(normalize=True) - real).abs().max() < 0.06


def test_losses_are_told():
    heard = []
    fit(clinic(400), heard.append, epochs=20)
    assert {e.name for e in heard if isinstance(e, Loss)} == {"critic", "generator", "validation"}
    assert not any(isinstance(e, Notice) for e in heard)


def test_a_budget_ends_training_early_and_says_so():
    heard = []
    method = fit(clinic(), heard.append, epochs=100_000, max_seconds=1.5)
    [notice] = [e for e in heard if isinstance(e, Notice)]
    assert notice.code == "budget"
    assert "ended the training at step" in notice.message
    check_canonical(method.sample(20, np.random.default_rng(0)), clinic().schema)


def test_a_broken_loss_names_the_likely_column(monkeypatch):
    from synthloom.methods._nets.ctgan import Generator

    whole = Generator.forward

    def broken(self, noise, condition):
        logits = whole(self, noise, condition)
        poison = torch.zeros_like(logits)
        poison[:, -1] = torch.nan  # the widest column's last mode
        return logits + poison

    monkeypatch.setattr(Generator, "forward", broken)
    with pytest.raises(FitError, match=r"'(cost|blood|sugar)'"):
        fit(clinic(600))


def test_the_state_gives_the_same_rows():
    made = clinic(600)
    method = fit(made, epochs=2)
    arrays, meta = method.state()
    loaded = Ctgan.from_state(method.params, made.schema, arrays, json.loads(json.dumps(meta)))
    pd.testing.assert_frame_equal(
        loaded.sample(300, np.random.default_rng(4)), method.sample(300, np.random.default_rng(4))
    )


def test_fifty_thousand_labels_and_five_hundred_columns_stay_small():
    rng = np.random.default_rng(0)
    labels = example("labels", {
        "a": (Kind.CATEGORY, [f"v{k}" for k in range(50_000)]), "b": (Kind.CATEGORY, rng.choice(list("xy"), 50_000)),
        "c": (Kind.CATEGORY, [f"w{k}" for k in rng.integers(0, 2000, 50_000)]),
    })
    method = fit(labels, epochs=1, batch_size=4000, min_support=5)
    assert sum(a.size for a in method.state()[0].values()) < 2_000_000
    check_canonical(method.sample(30, rng), labels.schema)
    wide = example("wide", {
        f"c{j}": (Kind.DECIMAL, rng.normal(size=200)) if j % 2 else (Kind.CATEGORY, rng.choice(list("xyz"), 200))
        for j in range(500)
    })
    check_canonical(fit(wide, epochs=2).sample(30, rng), wide.schema)


def test_a_cancel_is_heard():
    asked = []
    with pytest.raises(CancelledError):
        fit(mixed(400), ignore, lambda: asked.append(1) or len(asked) > 40, epochs=5000)


def test_no_rows_are_an_error():
    made = mixed(20)
    with pytest.raises(FitError, match="no rows"):
        Ctgan(Ctgan.make_params({})).fit(made.table.iloc[:0], made.schema, np.random.default_rng(0))


def test_importing_it_loads_no_torch():
    script = "import sys, synthloom.methods.ctgan; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"
