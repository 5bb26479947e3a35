"""The any-order net: what it learns, draws, fills in and refuses, and that drawing is exact whatever is shared."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from synthloom.domain.errors import CancelledError, FitError, ParamsError
from synthloom.domain.event import Event, Loss, Notice, ignore
from synthloom.domain.schema import Kind
from synthloom.methods import autoregressive
from synthloom.methods._nets import autoregressive as nets
from synthloom.methods._nets import drawing
from synthloom.methods._nets.relatives import CLASSES, Relative
from synthloom.methods.autoregressive import Autoregressive
from synthloom.tables.canonical import check_canonical, labels_to_codes
from synthloom.testing.check_method import METHOD_CHECKS
from synthloom.testing.example_tables import Example, example, mixed

TINY = {"epochs": 3, "width": 32, "blocks": 1, "trees": 2}
GOOD = {"epochs": 20, "batch_size": 128, "width": 64, "blocks": 1, "dropout": 0.0, "learning_rate": 5e-3, "trees": 3}


pytestmark = pytest.mark.usefixtures("one_thread")


def fit(made: Example, seed: int = 1, emit=ignore, cancelled=lambda: False, **params) -> Autoregressive:
    method = Autoregressive(Autoregressive.make_params({"device": "cpu"} | params))
    return method.fit(made.table, made.schema, np.random.default_rng(seed), emit, cancelled)


def words(codes: np.ndarray, names: list[str]) -> np.ndarray:
    return np.array(names, dtype=object)[codes]


FRUITS = ["apple", "berry", "cherry"]
GIVEN_A = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.1, 0.6], [0.05, 0.05, 0.9]])
"""P(b | a), the table's own law."""


def dependent(rows: int = 4000) -> Example:
    """b follows a by a known law, x and y follow a, y is x with a little noise, gaps of z tell b."""
    rng = np.random.default_rng(0)
    a = rng.choice(4, rows, p=[0.4, 0.3, 0.2, 0.1])
    b = (rng.random(rows)[:, None] > GIVEN_A[a].cumsum(1)).sum(1)
    x = rng.normal(size=rows) + 4 * a
    z = np.where(rng.random(rows) < 0.5, rng.choice([0.0, 10.0, 25.0], rows), rng.uniform(0, 40, rows).round(3))
    return example("dependent", {
        "a": (Kind.CATEGORY, words(a, ["north", "east", "south", "west"])), "b": (Kind.CATEGORY, words(b, FRUITS)),
        "x": (Kind.DECIMAL, x.round(4)), "y": (Kind.DECIMAL, (x + 0.3 * rng.normal(size=rows)).round(4)),
        "z": (Kind.DECIMAL, np.where(b == 2, np.nan, z)),
    }, a={"categories": ("north", "east", "south", "west")})


@pytest.mark.parametrize("check", METHOD_CHECKS, ids=lambda check: check.name)
def test_it_keeps_what_every_method_promises(check):
    check.run(Autoregressive, TINY)


@pytest.fixture(scope="module")
def fitted() -> Autoregressive:
    return fit(dependent(), **GOOD)


def law(rows: pd.DataFrame) -> np.ndarray:
    """P(b | a) in the rows."""
    return pd.crosstab(rows["a"], rows["b"], normalize="index").to_numpy()


def with_params(method: Autoregressive, **changes) -> Autoregressive:
    """The same model under other parameters."""
    return Autoregressive.from_state(
        method.params.model_copy(update=changes), dependent().schema, *method.state()
    )


@pytest.mark.parametrize("tree_share", [0.0, 0.3, 1.0])
def test_rows_follow_the_law_of_the_table(fitted, tree_share):
    rows = with_params(fitted, tree_share=tree_share).sample(8000, np.random.default_rng(2))
    assert np.abs(law(rows) - GIVEN_A).max() < 0.06
    assert np.abs(rows.groupby("a", observed=False)["x"].mean().to_numpy() - 4 * np.arange(4)).max() < 0.35
    assert (rows["x"] - rows["y"]).abs().median() < 0.5
    assert ((rows["b"] == "cherry") != rows["z"].isna()).mean() < 0.01
    for value in (0.0, 10.0, 25.0):
        real = (dependent().table["z"] == value).mean()
        assert (rows["z"] == value).mean() == pytest.approx(real, abs=0.02)


def test_without_trees_none_are_kept_and_with_trees_alone_the_net_says_nothing():
    alone = fit(dependent(800), tree_share=0.0, **TINY)
    assert not [name for name in alone.state()[0] if name.startswith("forest.")]
    untaught = fit(dependent(), tree_share=1.0, epochs=1, width=8, blocks=0, learning_rate=1e-9)
    assert np.abs(law(untaught.sample(8000, np.random.default_rng(0))) - GIVEN_A).max() < 0.08
    net_alone = with_params(untaught, tree_share=0.0).sample(8000, np.random.default_rng(0))
    assert np.abs(law(net_alone) - GIVEN_A).max() > 0.3


def conditions(**cells) -> pd.DataFrame:
    """The same cells in many rows, canonical."""
    table = dependent().table
    n = 3000
    return pd.DataFrame({
        name: pd.Series([value] * n, dtype=table[name].dtype) for name, value in cells.items()
    })


def test_conditions_are_met_and_what_follows_is_the_table_s_own(fitted):
    for k, place in enumerate(["north", "east", "south", "west"]):
        rows = fitted.sample(3000, np.random.default_rng(3), conditions(a=place))
        assert (rows["a"] == place).all()
        shares = rows["b"].value_counts(normalize=True)[FRUITS].to_numpy()
        assert np.abs(shares - GIVEN_A[k]).max() < 0.1
        assert rows["x"].mean() == pytest.approx(4 * k, abs=0.4)


def test_a_condition_on_a_later_column_shapes_those_before_it(fitted):
    """Bayes: what b says of a; and what a number says of all."""
    table = dependent().table
    for fruit in FRUITS:
        rows = fitted.sample(3000, np.random.default_rng(4), conditions(b=fruit))
        real = table.loc[table["b"] == fruit, "a"].value_counts(normalize=True, sort=False)
        assert np.abs(rows["a"].value_counts(normalize=True, sort=False) - real).max() < 0.08
    rows = fitted.sample(3000, np.random.default_rng(4), conditions(y=12.3456))
    assert (rows["y"] == 12.3456).all()
    assert (rows["a"] == "west").mean() > 0.7
    assert rows["x"].median() == pytest.approx(12.3, abs=0.5)


def test_several_conditions_and_missing_ones(fitted):
    rows = fitted.sample(3000, np.random.default_rng(5), conditions(z=np.nan, x=0.0))
    assert rows["z"].isna().all()
    assert (rows["a"] == "north").mean() > 0.7
    assert rows["y"].abs().median() < 0.6
    filled = fitted.sample(3000, np.random.default_rng(5), conditions(z=10.0, x=0.0))
    assert (rows["b"] == "cherry").mean() > 2 * (filled["b"] == "cherry").mean()


def test_conditions_may_differ_from_row_to_row(fitted):
    table = dependent().table
    asked = table[["x", "b"]].sample(2000, random_state=1).reset_index(drop=True)
    rows = fitted.sample(2000, np.random.default_rng(6), asked)
    pd.testing.assert_frame_equal(rows[["x", "b"]], asked)
    assert (rows["y"] - rows["x"]).abs().median() < 0.5
    assert ((rows["b"] == "cherry") == rows["z"].isna()).mean() > 0.9


def test_imputed_cells_follow_the_others_of_their_row_and_nothing_else_changes(fitted):
    table = dependent().table
    rng = np.random.default_rng(7)
    gone = pd.DataFrame(rng.random(table.shape) < 0.25, columns=table.columns)
    gone[["x", "y"]] = np.c_[gone["x"], gone["y"] & ~gone["x"]]
    gappy = table.mask(gone).astype(table.dtypes)
    filled = fitted.impute(gappy, np.random.default_rng(8))
    assert not filled.isna().any(axis=None)
    for name in table:
        there = gappy[name].notna()
        assert filled[name][there].equals(gappy[name][there])
    assert (filled["x"] - table["x"])[gone["x"]].abs().median() < 0.7
    assert (filled["a"] == table["a"])[gone["a"]].mean() > 0.85
    assert np.abs(law(filled[gone["b"] & ~gone["a"] & ~gone["z"]]) - law(table)).max() < 0.1


def test_a_gap_that_the_row_calls_for_is_filled_all_the_same(fitted):
    """z is always missing beside a cherry; yet who asks for a value gets one."""
    table = dependent().table
    cherries = table[table["b"] == "cherry"].reset_index(drop=True)
    assert cherries["z"].isna().all()
    filled = fitted.impute(cherries, np.random.default_rng(9))
    assert filled["z"].between(0, 40).all()
    assert filled.drop(columns="z").equals(cherries.drop(columns="z"))


def test_low_temperature_concentrates_and_high_temperature_spreads(fitted):
    commonest = {}
    for temperature in (0.3, 1.0, 3.0):
        rows = with_params(fitted, temperature=temperature, tree_share=0.0).sample(4000, np.random.default_rng(1))
        commonest[temperature] = rows["b"].value_counts(normalize=True).iloc[0]
    real = dependent().table["b"].value_counts(normalize=True, sort=False).to_numpy()
    for temperature, share in commonest.items():  # the first column drawn: its shares to the power 1 / temperature
        powered = real ** (1 / temperature)
        assert share == pytest.approx(powered.max() / powered.sum(), abs=0.04)
    west = conditions(a="west")
    cool = with_params(fitted, temperature=0.3).sample(3000, np.random.default_rng(1), west)
    assert (cool["b"] == "cherry").mean() > 0.98


def margins_off(method: Autoregressive, n: int = 20_000) -> float:
    """How far drawn shares of codes are from the training rows': mean squared z, 1 where chance alone speaks."""
    made = method.sample(n, np.random.default_rng(11))
    codes = method._codec.encode(made)
    squares = []
    for j, column in enumerate(method._codec.columns):
        wanted = column.code_counts / column.code_counts.sum()
        possible = wanted > 0
        drawn = np.bincount(codes[:, j], minlength=column.n_codes) / n
        z = (drawn - wanted)[possible] / np.sqrt(wanted[possible] / n)
        squares.append(float((z**2).mean()))
    return max(squares)


def test_calibration_puts_every_margin_right(monkeypatch):
    """Against the closed form: shares of codes in the training rows, each with its sampling error."""
    made = dependent(6000)
    settings = GOOD | {"epochs": 3, "tree_share": 0.0}
    right = margins_off(fit(made, **settings))
    monkeypatch.setattr(drawing, "calibrate", lambda *_args, **_more: None)
    assert right < 6  # calibrated on 6,000 drawn rows, which err by chance themselves: 1 + 20,000 / 6,000
    assert margins_off(fit(made, **settings)) > 2 * right


def brute_force(net: nets.AutoregressiveNet, codes: np.ndarray, seen: np.ndarray, column: int) -> np.ndarray:
    """(rows, codes) probabilities straight from the net, row by row."""
    places = torch.from_numpy(codes + np.array(net.edges[:-1]))
    with torch.no_grad():
        shown = torch.from_numpy(seen.astype(np.float32))
        h = net.start + sum(net.cells[places[:, j]] * shown[:, j, None] for j in range(len(net.sizes)))
        low, high = net.edges[column], net.edges[column + 1]
        last = net.trunk(h)
        own = net.out(last)[:, low:high].numpy()
        read = None if net.ties is None else net.ties.read(last).numpy().reshape(len(codes), -1, CLASSES)
    for k, relative in enumerate(RELATIVES if net.ties is not None else ()):
        for row in np.flatnonzero(seen[:, relative.other] & (relative.column == column)):
            for code, kind in enumerate(relative.classes[codes[row, relative.other]]):
                own[row, code] += read[row, k, kind] if kind < CLASSES else 0.0
    return torch.from_numpy(own).softmax(1).numpy()


RELATIVES = (
    Relative(1, 3, np.random.default_rng(1).integers(0, 6, (5, 4)).astype(np.uint8)),
    Relative(1, 0, np.full((3, 4), CLASSES, dtype=np.uint8) - np.eye(3, 4, dtype=np.uint8)),
    Relative(3, 1, np.random.default_rng(2).integers(CLASSES - 2, CLASSES + 1, (4, 5)).astype(np.uint8)),
)


@pytest.fixture(params=["strangers", "relatives"])
def random_net(request) -> nets.AutoregressiveNet:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        settings = nets.Settings(1, 32, 1e-3, width=16, blocks=2, dropout=0.1, in_order=0.5)
        relatives = RELATIVES if request.param == "relatives" else ()
        net = nets.AutoregressiveNet([3, 4, 2, 5], settings, relatives).eval()
        for weights in net.parameters():
            torch.nn.init.normal_(weights)
    return net


@pytest.mark.parametrize("given", ["none", "some"])
def test_rows_that_are_alike_are_carried_once_and_drawn_as_each_for_itself(random_net, given):
    rng, n = np.random.default_rng(0), 500
    sizes = random_net.sizes
    fixed = np.full((n, 4), -1, dtype=np.int64)
    if given == "some":
        fixed[: n // 2, 3] = rng.integers(0, 5, n // 2)
        fixed[n // 3 :, 1] = 2
    drawer = drawing.Drawer(random_net, n, 1.0, None if given == "none" else fixed)
    codes, seen = np.maximum(fixed, 0), fixed >= 0
    for column in (2, 0, 3, 1):
        todo = ~seen[:, column]
        kinds = np.unique(np.c_[np.where(seen, codes, -1), fixed], axis=0)
        wanted = brute_force(random_net, codes, seen, column)
        probabilities = drawer.logits(column).softmax(1).numpy()
        assert len(probabilities) == len(kinds)
        np.testing.assert_allclose(probabilities[drawer._kind], wanted, rtol=2e-3, atol=1e-6)
        uniforms = rng.random(n)
        drawn = drawer.draw(column, uniforms, rows=todo)
        edges = wanted.cumsum(1)
        near = np.abs(edges - uniforms[:, None]).min(1) < 1e-5
        agree = drawn == np.minimum((edges <= uniforms[:, None]).sum(1), sizes[column] - 1)
        assert (agree | near | ~todo).all()
        codes[:, column] = np.where(todo, drawn, codes[:, column])
        drawer.see(column, codes[:, column], todo)
        seen[:, column] = True


def test_a_code_that_is_ruled_out_is_never_drawn(random_net):
    drawer = drawing.Drawer(random_net, 4000)
    uniforms = np.random.default_rng(0).random(4000)
    p = drawer.logits(3).softmax(1).numpy()[0]
    drawn = np.bincount(drawer.draw(3, uniforms, without=int(p.argmax())), minlength=5)
    rest = np.where(np.arange(5) == p.argmax(), 0, p)
    assert drawn[p.argmax()] == 0
    np.testing.assert_allclose(drawn / 4000, rest / rest.sum(), atol=0.03)
    last = drawer.draw(3, np.full(4000, 1 - 1e-12), without=4)  # the largest uniform must not fall beyond the end
    assert (last != 4).all()


def test_each_row_s_loss_weights_add_up_to_one():
    asker = nets._Asker([2, 0, 1, 3], 0.5, torch.Generator().manual_seed(0))
    seen, weights = asker.ask(5000)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    assert (weights[seen == 1] == 0).all()
    assert (seen.sum(1) < 4).all()
    assert seen.mean(0).min() > 0.15


def test_several_nets_share_the_drawing_and_are_kept():
    method = fit(dependent(), **GOOD | {"epochs": 8, "nets": 2, "tree_share": 0.0})
    prefixes = {name.split(".")[1] for name in method.state()[0] if name.startswith("net.")}
    assert prefixes == {"0", "1"}
    rows = method.sample(6000, np.random.default_rng(1))
    assert np.abs(law(rows) - GIVEN_A).max() < 0.1
    pd.testing.assert_frame_equal(with_params(method).sample(6000, np.random.default_rng(1)), rows)


@pytest.mark.parametrize(("rows", "further"), [(200, 0.3), (20_000, 0.15)])
def test_nets_after_the_first_leave_out_half_as_much_where_there_are_many_rows(monkeypatch, rows, further):
    train, left_out = nets.train, []

    def watched(*args, settings, **kwargs):
        left_out.append(settings.dropout)
        return train(*args, settings=settings, **kwargs)

    monkeypatch.setattr(nets, "train", watched)
    fit(dependent(rows), **TINY | {"nets": 3, "dropout": 0.3, "epochs": 1})
    assert left_out == [0.3, further, further]


@pytest.mark.parametrize(("seconds", "trained"), [(None, 1), (600, 4)])
def test_four_nets_are_trained_where_there_is_time_for_them(seconds, trained):
    method = fit(dependent(200), **TINY | {"max_seconds": seconds})
    assert method.state()[1]["nets"] == trained


@pytest.mark.parametrize(("asked", "trained"), [(None, 2), (3, 3)])
def test_a_further_net_is_begun_only_where_all_of_it_fits_unless_it_was_asked_for(monkeypatch, asked, trained):
    now, train = [0.0], nets.train

    def ten_seconds(*args, **kwargs):
        now[0] += 10
        return train(*args, **kwargs)

    monkeypatch.setattr(nets, "train", ten_seconds)
    monkeypatch.setattr(autoregressive, "time", SimpleNamespace(monotonic=lambda: now[0]))
    method = fit(dependent(200), **TINY | {"max_seconds": 29, "nets": asked, "epochs": 1})
    assert method.state()[1]["nets"] == trained


def test_nets_that_were_asked_for_share_the_time():
    method = fit(dependent(200), **TINY | {"nets": 2, "epochs": 100_000, "max_seconds": 4})
    assert method.state()[1]["nets"] == 2


def test_losses_are_told_for_training_and_validation():
    heard: list[Event] = []
    fit(mixed(600), emit=heard.append, **TINY)
    assert {e.name for e in heard if isinstance(e, Loss)} == {"train", "validation"}


def test_a_time_budget_ends_training_and_says_what_more_would_buy():
    heard: list[Event] = []
    start = time.monotonic()
    fit(mixed(1500), emit=heard.append, **TINY | {"epochs": 100_000, "batch_size": 32, "max_seconds": 2})
    assert time.monotonic() - start < 60
    notice = next(e for e in heard if isinstance(e, Notice) and e.code == "budget")
    assert "Time was up after" in notice.message
    assert max(e.iteration for e in heard if isinstance(e, Loss)) < 100_000


def test_a_loss_that_is_no_number_names_the_column(monkeypatch):
    losses = nets._Learner.losses

    def broken(self, logits, codes):
        made = losses(self, logits, codes)
        return torch.cat([made[:, :3], made[:, 3:4] * torch.nan, made[:, 4:]], 1)

    monkeypatch.setattr(nets._Learner, "losses", broken)
    with pytest.raises(FitError, match="'y'"):
        fit(dependent(300), **TINY)


def test_a_saved_model_draws_and_fills_the_same(fitted):
    loaded = with_params(fitted)
    pd.testing.assert_frame_equal(
        loaded.sample(300, np.random.default_rng(1)), fitted.sample(300, np.random.default_rng(1))
    )
    gappy = dependent(200).table
    pd.testing.assert_frame_equal(
        loaded.impute(gappy, np.random.default_rng(1)), fitted.impute(gappy, np.random.default_rng(1))
    )


def test_a_model_of_a_gpu_loads_where_there_is_none(fitted, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    loaded = with_params(fitted, device="cuda")
    pd.testing.assert_frame_equal(
        loaded.sample(30, np.random.default_rng(1)), fitted.sample(30, np.random.default_rng(1))
    )


def test_many_rows_are_drawn_a_part_at_a_time_and_follow_the_seed(fitted, monkeypatch):
    import synthloom.methods.autoregressive as module

    monkeypatch.setattr(module, "_MOST_CELLS", 1)
    rows = fitted.sample(3000, np.random.default_rng(1))  # parts of 1,024
    pd.testing.assert_frame_equal(rows, fitted.sample(3000, np.random.default_rng(1)))
    assert np.abs(law(rows) - GIVEN_A).max() < 0.12


@pytest.mark.parametrize("stage", ["fit", "sample", "impute"])
def test_cancelling_is_heard(fitted, stage):
    asked = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 3

    work = {
        "fit": lambda: fit(dependent(), cancelled=cancelled, **GOOD),
        "sample": lambda: fitted.sample(10**6, np.random.default_rng(0), None, ignore, cancelled),
        "impute": lambda: fitted.impute(dependent(20_000).table, np.random.default_rng(0), ignore, cancelled),
    }[stage]
    with pytest.raises(CancelledError):
        work()


def test_fifty_thousand_labels_stay_small():
    rng = np.random.default_rng(0)
    n = 50_000
    many = example("many labels", {
        "a": (Kind.CATEGORY, np.array([f"k{j}" for j in rng.permutation(n)], dtype=object)),
        "b": (Kind.CATEGORY, words(rng.integers(0, 3000, n), [f"place {j}" for j in range(3000)])),
        "c": (Kind.DECIMAL, rng.normal(size=n)),
    })
    method = fit(many, epochs=1, width=16, blocks=1, batch_size=4096, trees=1)
    check_canonical(method.sample(40, rng), many.schema)
    assert sum(a.nbytes for a in method.state()[0].values()) < 8_000_000


def test_five_hundred_columns_stay_small():
    rng = np.random.default_rng(0)
    wide = example("500 columns", {
        f"c{j}": (Kind.DECIMAL, rng.normal(size=200)) if j % 3 else
                 (Kind.CATEGORY, words(rng.integers(0, 2, 200), ["a", "b"]))
        for j in range(500)
    })
    method = fit(wide, epochs=1, width=16, blocks=1, trees=1)
    check_canonical(method.sample(40, rng), wide.schema)
    assert sum(a.nbytes for a in method.state()[0].values()) < 16_000_000


@pytest.mark.parametrize("n", [1, 2, 15, 30])
def test_tiny_tables_and_one_column_give_rows(n):
    rng = np.random.default_rng(n)
    for cells in (
        {"a": (Kind.DECIMAL, rng.normal(size=n))}, {"a": (Kind.CATEGORY, words(rng.integers(0, 2, n), ["x", "y"]))},
        {"a": (Kind.CATEGORY, words(rng.integers(0, 2, n), ["x", "y"])), "b": (Kind.INTEGER, rng.integers(0, 9, n))},
        {"a": (Kind.CONSTANT, words(np.zeros(n, int), ["z"]))},
    ):
        made = example("tiny", cells)
        method = fit(made, **TINY)
        check_canonical(method.sample(20, rng), made.schema)
        check_canonical(method.impute(made.table, rng), made.schema)


def test_columns_of_which_nothing_may_be_released_are_told_and_left_empty():
    rng = np.random.default_rng(0)
    made = example("suppressed", {
        "a": (Kind.CATEGORY, np.array([f"name {k}" for k in range(60)], dtype=object)),
        "b": (Kind.CATEGORY, np.array([f"town {k}" for k in range(60)], dtype=object)),
    })
    heard: list[Event] = []
    method = fit(made, emit=heard.append, **TINY)
    assert {e.column for e in heard if isinstance(e, Notice) and e.code == "suppressed"} == {"a", "b"}
    assert method.sample(20, rng).isna().all(axis=None)
    pd.testing.assert_frame_equal(method.impute(made.table, rng), made.table)


def test_an_order_must_name_every_column():
    assert fit(dependent(200), order=("y", "x", "z", "b", "a"), **TINY)._order == [3, 2, 4, 1, 0]
    with pytest.raises(ParamsError, match="order must name every modelled column"):
        fit(dependent(200), order=("x", "y"), **TINY)


@pytest.mark.parametrize("tree_share", [0.0, 0.5])
def test_columns_missing_together_stay_so_whatever_is_given(tree_share):
    """Each in turn given, filled or missing; only where both are asked for apart do they come apart."""
    made = mixed(600)
    method = fit(made, tree_share=tree_share, **TINY)
    rows = method.sample(3000, np.random.default_rng(1))
    assert (rows["lab"].isna() == rows["lab_day"].isna()).all()
    asked = made.table.sample(600, random_state=2).reset_index(drop=True)
    for given, other in (("lab", "lab_day"), ("lab_day", "lab")):
        rows = method.sample(600, np.random.default_rng(1), asked[[given, "age"]])
        assert rows[given].equals(asked[given])
        assert (rows[other].isna() == asked[given].isna()).all()
    apart = asked[["lab"]].assign(lab_day=asked["lab_day"].sample(frac=1, random_state=1).to_numpy())
    apart["lab_day"] = apart["lab_day"].astype(asked["lab_day"].dtype)
    rows = method.sample(600, np.random.default_rng(1), apart)
    pd.testing.assert_frame_equal(rows[["lab", "lab_day"]], apart)


def test_labels_out_of_the_pool_come_back_as_common_ones():
    rng = np.random.default_rng(0)
    label = np.r_[np.repeat(0, 400), np.repeat(1, 195), np.arange(2, 7)]
    made = example("pool", {
        "a": (Kind.CATEGORY, words(label, ["x", "y", *(f"rare {k}" for k in range(5))])),
        "b": (Kind.INTEGER, rng.integers(0, 3, 600)),
    })
    rows = fit(made, **TINY).sample(3000, rng)
    codes = labels_to_codes(rows["a"])
    assert set(rows["a"].cat.categories[np.unique(codes)]) == {"x", "y"}


def test_listing_it_loads_no_torch():
    script = "import sys, synthloom.methods.autoregressive; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(("nets", "share"), [(1, 0.5), (2, 0.35)])
def test_trees_draw_half_of_the_cells_beside_one_net_and_fewer_beside_several(nets, share):
    method = fit(dependent(800), nets=nets, **TINY)
    open_share, given = (
        with_params(method, tree_share=s).sample(500, np.random.default_rng(3)) for s in (None, share)
    )
    pd.testing.assert_frame_equal(open_share, given)
    other = with_params(method, tree_share=0.1).sample(500, np.random.default_rng(3))
    assert not other.equals(given)
