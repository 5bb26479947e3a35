"""The variational autoencoder: what it learns, what it keeps, when it stops."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from synthloom.domain.errors import CancelledError, FitError, ParamsError
from synthloom.domain.event import Loss, Notice, ignore
from synthloom.domain.schema import Kind
from synthloom.methods.tvae import Tvae
from synthloom.tables.canonical import check_canonical
from synthloom.testing.check_method import METHOD_CHECKS
from synthloom.testing.example_tables import Example, example, mixed

SMALL = {"epochs": 8, "width": 48, "latent": 12, "batch_size": 32, "learning_rate": 0.003, "device": "cpu"}


pytestmark = pytest.mark.usefixtures("one_thread")


def fit(made: Example, emit=ignore, cancelled=lambda: False, **params) -> Tvae:
    method = Tvae(Tvae.make_params(SMALL | params))
    return method.fit(made.table, made.schema, np.random.default_rng(1), emit, cancelled)


def pay(rows: int = 2400) -> Example:
    """Pay follows the trade and age; `bonus` is heaped on a few values; `since` is missing for one trade."""
    rng = np.random.default_rng(0)
    trade = rng.integers(0, 3, rows)
    age = rng.integers(18, 66, rows)
    since = rng.integers(1980, 2020, rows).astype(float)
    since[trade == 2] = np.nan
    return example(
        "pay",
        {
            "trade": (Kind.CATEGORY, np.array(["baker", "nurse", "smith"], dtype=object)[trade]),
            "age": (Kind.INTEGER, age),
            "pay": (Kind.DECIMAL, np.round(1000 + 900 * trade + 12 * age + rng.normal(0, 60, rows), 2)),
            "bonus": (Kind.INTEGER, np.where(rng.random(rows) < 0.6, 0, rng.choice([100, 250, 500], rows))),
            "since": (Kind.INTEGER, pd.Series(since).astype("Int64")),
        },
        pay={"precision": 2},
    )


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    method = fit(pay(3000), epochs=24, batch_size=128, width=64, learning_rate=0.01)
    return method.sample(4000, np.random.default_rng(2))


@pytest.mark.parametrize("check", METHOD_CHECKS, ids=lambda check: check.name)
def test_it_keeps_every_promise_of_a_method(check):
    check.run(Tvae, SMALL | {"epochs": 2, "batch_size": 128})


def test_numbers_follow_labels(rows):
    real = pay().table
    means = [t.groupby("trade", observed=True)["pay"].mean() for t in (real, rows)]
    assert np.abs(means[1] - means[0]).max() < 120
    spread = [t.groupby("trade", observed=True)["pay"].std().mean() for t in (real, rows)]
    assert spread[1] < 2 * spread[0]


def test_columns_keep_their_shares(rows):
    real = pay().table
    for name in ("trade", "bonus"):
        gap = real[name].value_counts(normalize=True).sub(rows[name].value_counts(normalize=True), fill_value=0)
        assert gap.abs().max() < 0.04


def test_heaped_values_stay_heaped(rows):
    assert set(rows["bonus"].unique()) == {0, 100, 250, 500}


def test_cells_are_missing_where_a_label_says_so(rows):
    assert ((rows["trade"] == "smith") == rows["since"].isna()).mean() > 0.95


def test_the_paper_s_normal_prior_is_there_too():
    method = fit(pay(600), prior="normal", epochs=3)
    check_canonical(method.sample(50, np.random.default_rng(0)), pay(600).schema)
    assert not any(name.startswith("drift") for name in method.state()[0])


def test_losses_are_told_and_training_stops_when_held_back_rows_are_learnt_no_better():
    heard = []
    rng = np.random.default_rng(0)
    noise = example("noise", {f"c{j}": (Kind.DECIMAL, rng.normal(size=400)) for j in range(3)})
    fit(noise, heard.append, epochs=300, prior="normal", learning_rate=0.01)
    losses = [e for e in heard if isinstance(e, Loss)]
    assert {e.name for e in losses} == {"train", "validation"}
    assert max(e.iteration for e in losses) < 300 * 11 - 100
    assert not any(isinstance(e, Notice) for e in heard)


def test_a_budget_ends_training_early_and_says_so():
    heard = []
    method = fit(pay(), heard.append, epochs=100_000, max_seconds=1.5)
    assert [e.code for e in heard if isinstance(e, Notice)] == ["budget"]
    check_canonical(method.sample(20, np.random.default_rng(0)), pay().schema)


def test_no_time_at_all_still_gives_rows():
    check_canonical(fit(pay(), max_seconds=1e-9).sample(20, np.random.default_rng(0)), pay().schema)


def test_a_broken_loss_names_the_likely_column(monkeypatch):
    from synthloom.methods._nets.tvae import Decoder

    whole = Decoder.nats

    def broken(self, z, modes, parts):
        costs = whole(self, z, modes, parts)
        poison = torch.zeros_like(costs)
        poison[:, self.layout.names.index("pay")] = torch.nan
        return costs + poison

    monkeypatch.setattr(Decoder, "nats", broken)
    with pytest.raises(FitError, match="'pay'"):
        fit(pay(600))


def test_the_state_gives_the_same_rows():
    made = pay(600)
    method = fit(made, epochs=2)
    arrays, meta = method.state()
    loaded = Tvae.from_state(method.params, made.schema, arrays, json.loads(json.dumps(meta)))
    pd.testing.assert_frame_equal(
        loaded.sample(300, np.random.default_rng(4)), method.sample(300, np.random.default_rng(4))
    )


def test_fifty_thousand_labels_and_five_hundred_columns_stay_small():
    rng = np.random.default_rng(0)
    labels = example("labels", {
        "a": (Kind.CATEGORY, [f"v{k}" for k in range(50_000)]), "b": (Kind.CATEGORY, rng.choice(list("xy"), 50_000)),
        "c": (Kind.CATEGORY, [f"w{k}" for k in rng.integers(0, 2000, 50_000)]),
    })
    method = fit(labels, epochs=1, batch_size=4096, min_support=5)
    assert sum(a.size for a in method.state()[0].values()) < 2_000_000
    check_canonical(method.sample(30, rng), labels.schema)
    wide = example("wide", {
        f"c{j}": (Kind.DECIMAL, rng.normal(size=200)) if j % 2 else (Kind.CATEGORY, rng.choice(list("xyz"), 200))
        for j in range(500)
    })
    check_canonical(fit(wide, epochs=2).sample(30, rng), wide.schema)


def test_a_cancel_is_heard_and_conditions_are_refused():
    asked = []
    with pytest.raises(CancelledError):
        fit(mixed(400), ignore, lambda: asked.append(1) or len(asked) > 25, epochs=5000)
    with pytest.raises(ParamsError, match="conditions"):
        fit(pay(200), epochs=1).sample(1, np.random.default_rng(0), pay(200).table[["age"]].iloc[:1])


def test_no_rows_are_an_error():
    made = mixed(20)
    with pytest.raises(FitError, match="no rows"):
        Tvae(Tvae.make_params({})).fit(made.table.iloc[:0], made.schema, np.random.default_rng(0))


def test_listing_methods_loads_no_torch():
    script = "import sys, synthloom.methods.tvae; from synthloom.registry import methods; methods(); " \
        "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"
