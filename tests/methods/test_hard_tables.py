"""Tables meant to break a method: tiny, huge, empty, collinear, wide."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from synthloom.domain.schema import Kind, TextFormat
from synthloom.methods.cart import Cart
from synthloom.methods.ddpm import Ddpm
from synthloom.methods.gaussian_copula import GaussianCopula
from synthloom.methods.tvae import Tvae
from synthloom.tables.canonical import check_canonical, to_float
from synthloom.testing.example_tables import Example, example

N = 300
INT64 = np.iinfo(np.int64)
METHODS = {"cart": Cart, "gaussian_copula": GaussianCopula}
NETS = {
    "ddpm": (Ddpm, {"epochs": 1, "width": 16, "depth": 1, "max_modes": 8, "sampling_steps": 4}),
    "classic ddpm": (Ddpm, {
        "recipe": "classic", "epochs": 1, "width": 16, "depth": 2, "timesteps": 20, "sampling_steps": 4
    }),
    "tvae": (Tvae, {"epochs": 1, "width": 16, "latent": 4}),
}


def words(cells) -> np.ndarray:
    return np.asarray(cells).astype(object)


def tiny(n: int) -> Example:
    rng = np.random.default_rng(n)
    return example(
        f"{n} rows",
        {
            "a": (Kind.DECIMAL, rng.normal(size=n)), "b": (Kind.INTEGER, rng.integers(0, 9, n)),
            "c": (Kind.CATEGORY, words(rng.choice(["x", "y"], n))),
            "d": (Kind.BOOLEAN, words(rng.choice(["False", "True"], n))),
        },
        d={"categories": ("False", "True")},
    )


def numbers() -> list[Example]:
    rng = np.random.default_rng(0)
    largest, x = np.finfo(float).max, rng.normal(size=N)
    gaps = np.where(rng.random(N) < 0.98, np.nan, x)
    half = np.arange(N) % 2 == 0
    return [
        example("denormal numbers", {
            "a": (Kind.DECIMAL, rng.integers(1, 2000, N) * 5e-324), "b": (Kind.DECIMAL, rng.choice([0, 5e-324], N)),
        }),
        example("the largest floats", {
            "a": (Kind.DECIMAL, rng.uniform(-1, 1, N) * largest),
            "b": (Kind.DECIMAL, np.where(x > 0, largest, -largest)),
            "c": (Kind.DECIMAL, largest * (1 - np.arange(N) * 1e-16)),
        }),
        example("values a hair apart", {
            "a": (Kind.DECIMAL, np.where(x > 0, 0, 1e-300)), "b": (Kind.DECIMAL, 1 + rng.permutation(N) * 2.0**-52),
            "c": (Kind.DECIMAL, 1 + rng.integers(0, 40, N) * 2.0**-52),
        }),
        example("numbers that never change", {
            "a": (Kind.DECIMAL, np.full(N, 1.1)), "b": (Kind.INTEGER, np.full(N, -3)),
            "c": (Kind.CATEGORY, words(["q"] * N)), "d": (Kind.DATE, np.full(N, np.datetime64("1800-01-01", "us"))),
        }),
        example("the ends of int64", {
            "a": (Kind.INTEGER, rng.choice([INT64.min, INT64.max, 0], N)),
            "b": (Kind.INTEGER, rng.integers(INT64.min, INT64.max, N)),
            "c": (Kind.INTEGER, INT64.max - rng.permutation(N)),
            "d": (Kind.INTEGER, pd.Series(rng.choice([INT64.min, INT64.max], N), dtype="Int64").mask(x > 1)),
        }),
        example("nothing filled", {
            "a": (Kind.DECIMAL, np.full(N, np.nan)), "b": (Kind.INTEGER, pd.Series([pd.NA] * N, dtype="Int64")),
            "c": (Kind.CATEGORY, words([None] * N)), "d": (Kind.DATE, pd.Series([pd.NaT] * N, dtype="datetime64[us]")),
            "e": (Kind.DURATION, pd.Series([pd.NaT] * N, dtype="timedelta64[us]")),
        }, c={"categories": ("x", "y")}),
        example("next to nothing filled", {f"c{j}": (Kind.DECIMAL, np.roll(gaps, j)) for j in range(8)}),
        example("filled in turns", {
            "a": (Kind.DECIMAL, np.where(half, np.nan, x)), "b": (Kind.DECIMAL, np.where(half, x, np.nan)),
        }),
        example("the same over and over", {
            "a": (Kind.DECIMAL, np.repeat(x[:3], 100)), "b": (Kind.DECIMAL, np.repeat(x[:30], 10)),
            "c": (Kind.CATEGORY, words(np.repeat([f"k{i}" for i in range(30)], 10))),
        }),
        example("collinear columns", {f"c{j}": (Kind.DECIMAL, x * (j - 3.5)) for j in range(8)}),
        example("nearly collinear columns", {f"c{j}": (Kind.DECIMAL, x + 1e-6 * rng.normal(size=N)) for j in range(8)}),
        example("one column many times", {f"c{j}": (Kind.CATEGORY, words((x > 0).astype(str))) for j in range(6)}),
        example("wide and short", {f"c{j}": (Kind.DECIMAL, rng.normal(size=40)) for j in range(90)}),
    ]


def times_and_labels() -> list[Example]:
    rng = np.random.default_rng(0)
    moment = pd.Timestamp("2023-10-28T00:00:00Z") + pd.to_timedelta(rng.permutation(10_000) * 13, unit="s")
    day = np.datetime64("0001-01-01", "us")
    late = np.datetime64("9999-12-31T23:59:59.999999", "us") - rng.integers(0, 10**9, N).astype("timedelta64[s]")
    gappy = words(rng.choice(["no", "yes"], N))
    gappy[rng.random(N) < 0.3] = None

    def span(cells) -> pd.Series:
        return pd.Series(cells).astype("timedelta64[us]")

    return [
        example("10,000 moments across a clock change", {
            "a": (Kind.TIMESTAMP, moment.tz_convert("America/New_York")),
            "b": (Kind.TIMESTAMP, (moment + pd.Timedelta("500ms")).tz_convert("Australia/Lord_Howe")),
        }, a={"timezone": "America/New_York"},
            b={"timezone": "Australia/Lord_Howe", "text": TextFormat(fraction_digits=3)}),
        example("durations of any sign and size", {
            "a": (Kind.DURATION, span(-rng.integers(0, 10**12, N))),
            "b": (Kind.DURATION, span(rng.choice([-1, 0, 1], N))),
            "c": (Kind.DURATION, span(rng.choice([INT64.min + 1, INT64.max], N))),
            "d": (Kind.DURATION, span(rng.integers(INT64.min + 1, INT64.max, N))),
        }, b={"text": TextFormat(fraction_digits=6)}),
        example("days of ten thousand years", {
            "a": (Kind.DATE, day + rng.integers(0, 3_650_000, N).astype("timedelta64[D]")),
            "b": (Kind.DATE, rng.choice(np.array(["0001-01-01", "9999-12-31"], dtype="datetime64[us]"), N)),
            "c": (Kind.TIMESTAMP, late),
        }, c={"text": TextFormat(fraction_digits=6)}),
        example("a boolean with gaps", {
            "a": (Kind.BOOLEAN, gappy), "b": (Kind.BOOLEAN, words(rng.choice(["no", "yes"], N))),
        }),
        example("odd labels", {
            "a": (Kind.CATEGORY, words(rng.choice(["", " ", "e\u0301", "a" * 1000, "nan", "None"], N))),
        }),
        example("a few gaps only", {
            "a": (Kind.DECIMAL, np.r_[np.full(14, np.nan), rng.normal(size=N - 14)]),
            "b": (Kind.CATEGORY, words([None] * 14 + ["u"] * (N - 14))),
        }),
        example("no modelled column", {
            "id": (Kind.IDENTIFIER, [f"Q-{k}" for k in range(N)]), "c": (Kind.CONSTANT, words(["z"] * N)),
            "e": (Kind.EMPTY, words([None] * N)),
        }),
    ]


TABLES = [*(tiny(n) for n in (1, 2, 3, 14, 15, 16, 29, 30, 31, 72, 73)), *numbers(), *times_and_labels()]


def check(made: Example, rows: pd.DataFrame, n: int) -> None:
    check_canonical(rows, made.schema)
    assert len(rows) == n
    for column in (c for c in made.schema.modelled if c.kind.is_numeric):
        values, real = to_float(rows[column.name], column.kind), to_float(made.table[column.name], column.kind)
        values, real = values[~np.isnan(values)], real[~np.isnan(real)]
        assert np.isfinite(values).all()
        if len(values):
            assert np.nextafter(values.min(), real.max()) >= real.min()
            assert np.nextafter(values.max(), real.min()) <= real.max()


@pytest.mark.parametrize("params", [{}, {"min_support": 2}], ids=["default", "loose"])
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("made", TABLES, ids=lambda made: made.name)
def test_hard_tables_give_canonical_rows_within_the_range_and_a_state_to_save(made, name, params):
    more = {"leaf_floor": 2, "trees": 2} if params and name == "cart" else {}
    keeps_its_word(METHODS[name], params | more, made)


@pytest.mark.parametrize("params", [{}, {"min_support": 2}], ids=["default", "loose"])
@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("made", TABLES, ids=lambda made: made.name)
def test_hard_tables_break_no_net(made, name, params):
    method, small = NETS[name]
    keeps_its_word(method, small | params, made)


def keeps_its_word(method, params, made: Example) -> None:
    fitted = method(method.make_params(params)).fit(made.table, made.schema, np.random.default_rng(1))
    rows = fitted.sample(200, np.random.default_rng(2))
    check(made, rows, 200)
    arrays, meta = fitted.state()
    assert all(np.isfinite(a).all() for a in arrays.values())
    loaded = method.from_state(fitted.params, made.schema, arrays, json.loads(json.dumps(meta, allow_nan=False)))
    pd.testing.assert_frame_equal(loaded.sample(200, np.random.default_rng(2)), rows)


@pytest.mark.parametrize("made", [m for m in TABLES if m.schema.modelled], ids=lambda made: made.name)
def test_any_row_of_a_hard_table_can_be_asked_for(made):
    fitted = GaussianCopula(GaussianCopula.make_params({})).fit(made.table, made.schema, np.random.default_rng(1))
    names = [c.name for c in made.schema.modelled]
    asked = made.table[names].iloc[:30].reset_index(drop=True)
    for fixed in (names[:1], names):
        rows = fitted.sample(len(asked), np.random.default_rng(3), asked[fixed])
        check_canonical(rows, made.schema)
        pd.testing.assert_frame_equal(rows[fixed], asked[fixed])


@pytest.mark.parametrize(("name", "params"), [("cart", {"trees": 1}), ("gaussian_copula", {})])
def test_five_hundred_columns_come_to_an_end(name, params):
    rng = np.random.default_rng(0)
    base = rng.normal(size=(200, 4))
    made = example("500 columns", {
        f"c{j}": (Kind.DECIMAL, base[:, j % 4] + rng.normal(size=200)) if j % 3 else
                 (Kind.CATEGORY, words(np.where(base[:, j % 4] + rng.normal(size=200) > 0, "a", "b")))
        for j in range(500)
    })
    method = METHODS[name]
    rows = method(method.make_params(params)).fit(made.table, made.schema, rng).sample(50, rng)
    check(made, rows, 50)


def test_neither_method_ever_loads_torch():
    script = (
        "import sys; from synthloom.registry import create_synthesizer; import pandas as pd, numpy as np\n"
        "df = pd.DataFrame({'a': np.arange(200.0) % 7.3, 'b': ['x', 'y'] * 100})\n"
        "for name in ('cart', 'gaussian_copula'):\n"
        "    print(len(create_synthesizer(name).fit(df).sample(9)))\n"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'torch', 'tensorflow', 'jax', 'xgboost'}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["9", "9", "[]"]
