"""Diffusion: what it learns, what it refuses, and that both recipes keep every method's promises."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch

from synthloom.domain.errors import CancelledError, FitError
from synthloom.domain.event import Event, Loss, Notice, ignore
from synthloom.domain.schema import Kind
from synthloom.methods._nets.ddpm_classic import cosine_schedule
from synthloom.methods._nets.diffusion import Layout, missing_together
from synthloom.methods._nets.modes import TableModes
from synthloom.methods.ddpm import Ddpm
from synthloom.tables.canonical import check_canonical
from synthloom.tables.encode import TableCodec
from synthloom.testing.check_method import METHOD_CHECKS
from synthloom.testing.example_tables import Example, example, mixed

SMALL = {
    "cascade": {"width": 48, "depth": 1, "epochs": 6, "batch_size": 128, "dropout": 0.0, "learning_rate": 5e-3,
                "max_modes": 16, "sampling_steps": 8},
    "classic": {"recipe": "classic", "width": 48, "depth": 2, "epochs": 25, "batch_size": 128, "timesteps": 50,
                "sampling_steps": 8, "dropout": 0.0, "learning_rate": 5e-3},
}
TINY = {recipe: params | {"epochs": 2} for recipe, params in SMALL.items()}


pytestmark = pytest.mark.usefixtures("one_thread")


def fit(made: Example, seed: int = 1, emit=ignore, **params) -> Ddpm:
    return Ddpm(Ddpm.make_params(params)).fit(made.table, made.schema, np.random.default_rng(seed), emit)


def words(codes: np.ndarray, names: list[str]) -> np.ndarray:
    return np.array(names, dtype=object)[codes]


def dependent(rows: int = 3000) -> Example:
    """Labels that decide a number's side, two numbers on a line, amounts heaped on a few values, and gaps by label."""
    rng = np.random.default_rng(0)
    side = rng.integers(0, 3, rows)
    x = rng.normal(size=rows) + 3 * (side - 1)
    y = x + 0.05 * rng.normal(size=rows)
    heaped = np.where(rng.random(rows) < 0.7, rng.choice([0.0, 10.0, 25.0], rows), rng.uniform(0, 40, rows)).round(4)
    return example("dependent", {
        "side": (Kind.CATEGORY, words(side, ["left", "middle", "right"])),
        "same": (Kind.CATEGORY, words((side > 0).astype(int), ["l", "r"])),
        "x": (Kind.DECIMAL, x), "y": (Kind.DECIMAL, y),
        "heaped": (Kind.DECIMAL, np.where(side == 2, np.nan, heaped)),
    })


@pytest.mark.parametrize("recipe", SMALL)
@pytest.mark.parametrize("check", METHOD_CHECKS, ids=lambda check: check.name)
def test_it_keeps_what_every_method_promises(check, recipe):
    check.run(Ddpm, (SMALL if check.name == "keeps_missingness" else TINY)[recipe])


@pytest.fixture(scope="module")
def fitted() -> Ddpm:
    return fit(
        dependent(6000), width=64, depth=1, epochs=20, batch_size=256, learning_rate=8e-3, dropout=0.0, max_modes=12
    )


@pytest.fixture(scope="module")
def rows(fitted) -> pd.DataFrame:
    return fitted.sample(6000, np.random.default_rng(2))


def test_labels_that_decide_one_another_do_so_in_the_rows(rows):
    wrong = (rows["side"] == "left") == (rows["same"] == "r")
    assert wrong.mean() < 0.01
    assert ((rows["side"] == "right") != rows["heaped"].isna()).mean() < 0.01
    shares = rows["side"].value_counts(normalize=True)
    assert shares.between(0.29, 0.38).all()


def test_the_flow_ties_places_inside_modes_together(rows):
    """y is x but for a twentieth; drawn at random inside a twelfth of all values each, they would lie further apart."""
    assert (rows["x"] - rows["y"]).abs().median() < 0.12
    assert rows[["x", "y"]].corr("spearman").iloc[0, 1] > 0.975
    means = rows.groupby("side", observed=True)["x"].mean()
    assert np.abs(means.to_numpy() - np.array([-3, 0, 3])).max() < 0.2


def test_values_that_many_share_stay_as_they_are_and_as_often(rows):
    real = dependent().table["heaped"].dropna()
    made = rows["heaped"].dropna()
    for value in (0.0, 10.0, 25.0):
        assert (made == value).mean() == pytest.approx((real == value).mean(), abs=0.03)


def test_fixed_cells_steer_the_others(fitted):
    asked = pd.DataFrame({"side": dependent().table["side"].iloc[:1].repeat(500).reset_index(drop=True)})
    asked["side"] = pd.Categorical(["right"] * 500, categories=asked["side"].cat.categories)
    rows = fitted.sample(500, np.random.default_rng(0), asked)
    assert (rows["side"] == "right").all()
    assert rows["heaped"].isna().mean() > 0.97
    assert rows["x"].mean() == pytest.approx(3, abs=0.3)
    asked = pd.DataFrame({"x": np.full(400, -3.5)})
    rows = fitted.sample(400, np.random.default_rng(0), asked)
    assert (rows["x"] == -3.5).all()
    assert rows["y"].median() == pytest.approx(-3.5, abs=0.2)


def test_few_steps_uncover_several_cells_at_a_time(fitted):
    arrays, meta = fitted.state()
    params = fitted.params.model_copy(update={"sampling_steps": 2})
    rows = Ddpm.from_state(params, dependent().schema, arrays, meta).sample(300, np.random.default_rng(0))
    check_canonical(rows, dependent().schema)


@pytest.fixture(scope="module")
def classic() -> Ddpm:
    return fit(
        twins(), recipe="classic", width=64, depth=3, epochs=120, batch_size=256, learning_rate=5e-3, dropout=0.0,
        timesteps=40,
    )


def twins(rows: int = 2000) -> Example:
    """The same label twice, and a number that follows it."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, rows)
    names = ["left", "middle", "right"]
    return example("twins", {
        "a": (Kind.CATEGORY, words(label, names)), "b": (Kind.CATEGORY, words(label, names)),
        "x": (Kind.DECIMAL, rng.normal(size=rows) + 3 * label),
    })


@pytest.mark.parametrize("steps", [10, 40])
def test_the_classic_recipe_draws_with_few_steps_and_with_all(classic, steps):
    params = classic.params.model_copy(update={"sampling_steps": steps})
    rows = Ddpm.from_state(params, twins().schema, *classic.state()).sample(2000, np.random.default_rng(2))
    assert (rows["a"].astype(str) != rows["b"].astype(str)).mean() < 0.1
    by = rows.groupby("a", observed=True)["x"]
    assert np.abs(by.mean().to_numpy() - np.array([0, 3, 6])).max() < 0.6
    assert by.std().between(0.7, 1.4).all()


@pytest.mark.parametrize("step", [1, 2, 20, 39, 40])
def test_the_divergence_of_labels_is_that_of_the_published_posteriors(classic, step):
    """Hoogeboom et al. 2021, eq. 13 and 15, label by label in double precision."""
    net, rows = classic._net, 64
    layout, kept = net.layout, net.kept.double()
    chance = torch.Generator().manual_seed(0)
    true, now = (torch.stack([torch.randint(k, (rows,), generator=chance) for k in layout.sizes], 1) for _ in "ab")
    logits = 3 * torch.randn(rows, layout.blocks.width, generator=chance) + layout.blocks.padding
    first = torch.cat([part.softmax(2).flatten(1) for part in layout.blocks.parts(logits)], 1)
    left, stayed = (torch.full((rows, 1), float(x)) for x in (kept[step - 1], kept[step] / kept[step - 1]))
    found = net.divergence(first, true, now, left, stayed)
    for j, (begin, k) in enumerate(zip(layout.blocks.first.tolist(), layout.sizes, strict=True)):
        likely = (1 - stayed.double()) / k + stayed.double() * torch.eye(k, dtype=torch.float64)[now[:, j]]
        given = (torch.eye(k, dtype=torch.float64)[true[:, j]], first[:, begin : begin + k].double())
        priors = [left.double() * start + (1 - left.double()) / k for start in given]
        p, q = (prior * likely / (prior * likely).sum(1, keepdim=True) for prior in priors)
        torch.testing.assert_close(
            found[:, j].double(), (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(1), atol=1e-5, rtol=1e-4
        )


def test_the_cosine_schedule_keeps_all_at_first_and_next_to_nothing_at_last():
    kept = cosine_schedule(1000)
    assert kept[0] == 1
    assert kept[-1] < 1e-5
    assert (np.diff(kept) < 0).all()
    assert kept[500] == pytest.approx(0.494, abs=0.01)  # Nichol & Dhariwal 2021, fig. 5


def test_columns_missing_in_the_same_rows_are_found():
    gone = np.array([[2, 1, 0], [0, 0, 2], [2, 1, 0], [1, 0, 2]])
    assert missing_together(gone, [2, 1, 2]) == [[0, 1]]
    assert missing_together(gone, [-1, 1, -1]) == []


def test_a_layout_gives_back_what_it_took():
    made = mixed(300)
    modes = TableModes.of(TableCodec.fit(made.table, made.schema, min_support=15), 8)
    codes, places = modes.encode(made.table, np.random.default_rng(0))
    layout = Layout(modes, [], torch.device("cpu"))
    rows = layout.rows(codes, places)
    back, where = layout.table(rows.modes, rows.scores, torch.Generator().manual_seed(0))
    assert np.array_equal(back, codes)
    lines = [int(layout.blocks.order[j]) for j in layout.lines]
    assert np.abs(where[:, lines] - places[:, lines]).max() < 2e-4


def test_losses_are_told_for_training_and_validation():
    heard: list[Event] = []
    fit(mixed(600), emit=heard.append, **TINY["cascade"])
    names = {e.name for e in heard if isinstance(e, Loss)}
    assert names == {f"{kind} ({what})" for kind in ("train", "validation") for what in ("modes", "places")}


def test_a_time_budget_ends_training_and_says_what_more_would_buy():
    heard: list[Event] = []
    start = time.monotonic()
    fit(mixed(2000), emit=heard.append, epochs=100_000, batch_size=64, width=64, depth=1, max_seconds=2)
    assert time.monotonic() - start < 60
    notice = next(e for e in heard if isinstance(e, Notice) and e.code == "budget")
    assert "whole course would take" in notice.message
    assert max(e.iteration for e in heard if isinstance(e, Loss)) < 50_000


@pytest.mark.parametrize("recipe", SMALL)
def test_a_loss_that_is_no_number_names_the_column(monkeypatch, recipe):
    encode = TableModes.encode

    def broken(self, table, rng, cancelled):
        modes, places = encode(self, table, rng, cancelled)
        places[:, list(table.columns).index("y")] = np.nan
        return modes, places

    monkeypatch.setattr(TableModes, "encode", broken)
    with pytest.raises(FitError, match="'y'"):
        fit(dependent(300), **TINY[recipe])


def test_cancelling_is_heard_while_sampling(fitted):
    asked = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 8

    with pytest.raises(CancelledError):
        fitted.sample(100_000, np.random.default_rng(0), None, ignore, cancelled)


@pytest.mark.parametrize("recipe", SMALL)
def test_fifty_thousand_labels_and_five_hundred_columns_stay_small(recipe):
    rng = np.random.default_rng(0)
    n = 50_000
    many = example("many labels", {
        "a": (Kind.CATEGORY, np.array([f"k{j}" for j in rng.permutation(n)], dtype=object)),
        "b": (Kind.CATEGORY, words(rng.integers(0, 3000, n), [f"place {j}" for j in range(3000)])),
        "c": (Kind.DECIMAL, rng.normal(size=n)),
    })
    wide = example("500 columns", {
        f"c{j}": (Kind.DECIMAL, rng.normal(size=200)) if j % 3 else
                 (Kind.CATEGORY, words(rng.integers(0, 2, 200), ["a", "b"]))
        for j in range(500)
    })
    for made in (many, wide):
        method = fit(made, **(TINY[recipe] | {"epochs": 1, "batch_size": 4096, "width": 16}))
        check_canonical(method.sample(40, rng), made.schema)
        assert sum(a.nbytes for a in method.state()[0].values()) < 8_000_000


@pytest.mark.parametrize("recipe", SMALL)
@pytest.mark.parametrize("n", [1, 2, 15, 30])
def test_tiny_tables_and_one_column_give_rows(recipe, n):
    rng = np.random.default_rng(n)
    for cells in (
        {"a": (Kind.DECIMAL, rng.normal(size=n))},
        {"a": (Kind.CATEGORY, words(rng.integers(0, 2, n), ["x", "y"])), "b": (Kind.INTEGER, rng.integers(0, 9, n))},
        {"a": (Kind.CONSTANT, words(np.zeros(n, int), ["z"]))},
    ):
        made = example("tiny", cells)
        check_canonical(fit(made, **TINY[recipe]).sample(20, rng), made.schema)


def test_a_model_of_a_gpu_loads_where_there_is_none(monkeypatch):
    made = mixed(300)
    method = fit(made, **TINY["cascade"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    params = method.params.model_copy(update={"device": "cuda"})
    loaded = Ddpm.from_state(params, made.schema, *method.state())
    pd.testing.assert_frame_equal(
        loaded.sample(30, np.random.default_rng(1)), method.sample(30, np.random.default_rng(1))
    )


def test_listing_it_loads_no_torch():
    script = "import sys, synthloom.methods.ddpm; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"
