"""Trees in sequence: what depends on what, long columns in two steps, and that others may draw in between."""

from __future__ import annotations

import numpy as np
import pytest

from synthloom.domain.errors import CancelledError, ParamsError
from synthloom.domain.schema import Kind
from synthloom.methods import _trees
from synthloom.methods._forest import Settings
from synthloom.methods._trees import TreeSequence, drawing_order, scaled
from synthloom.tables.encode import TableCodec
from synthloom.testing.example_tables import Example, example

SETTINGS = Settings(trees=3, leaf_floor=20, shrinkage=0.5)


def table(rows: int = 5000) -> Example:
    """A label, one that follows it, and a number of many values that follows both."""
    rng = np.random.default_rng(0)
    a = rng.integers(0, 3, rows)
    b = np.where(rng.random(rows) < 0.9, a, rng.integers(0, 3, rows))
    return example("sequence", {
        "x": (Kind.DECIMAL, rng.normal(size=rows) + 4 * a + b),
        "a": (Kind.CATEGORY, np.array(["p", "q", "r"], dtype=object)[a]),
        "b": (Kind.CATEGORY, np.array(["s", "t", "u", "v"], dtype=object)[b]),
    })


def grown(made: Example, order: list[int] | None = None, cancelled=lambda: False):
    codec = TableCodec.fit(made.table, made.schema, min_support=10)
    codes = codec.encode(made.table)
    order = drawing_order(codec, made.schema, "cardinality", "trees") if order is None else order
    told = []
    sequence = TreeSequence.grow(
        codec, codes, order, SETTINGS, rng=np.random.default_rng(1), cancelled=cancelled,
        tell=lambda done, of: told.append((done, of)),
    )
    return codec, codes, sequence, told


def drawn(sequence: TreeSequence, n: int, seed: int = 2) -> dict[int, np.ndarray]:
    rng, before = np.random.default_rng(seed), []
    for place in range(len(sequence.order)):
        before.append(sequence.draw(place, before, n, rng))
    return dict(zip(sequence.order, before, strict=True))


def test_columns_follow_those_before_them():
    codec, codes, sequence, told = grown(table())
    assert sequence.order == [1, 2, 0]
    made = drawn(sequence, 5000)
    for j in (1, 2):
        real = np.bincount(codes[:, j], minlength=codec.columns[j].n_codes) / 5000
        assert np.abs(np.bincount(made[j], minlength=len(real)) / 5000 - real).max() < 0.03
    agree = (made[1] == made[2]).mean()
    assert agree == pytest.approx((codes[:, 1] == codes[:, 2]).mean(), abs=0.04)
    x = codec.columns[0].decode(made[0], np.random.default_rng(0).random(5000)).to_numpy()
    real = table().table["x"].to_numpy()
    for k in range(3):
        assert x[made[1] == k].mean() == pytest.approx(real[codes[:, 1] == k].mean(), abs=0.25)
        assert x[made[1] == k].std() == pytest.approx(real[codes[:, 1] == k].std(), abs=0.25)
    assert told == [(k, 4) for k in range(1, 5)]


def test_a_long_column_on_a_line_is_drawn_in_groups_first():
    codec, codes, sequence, _ = grown(table())
    groups = sequence.coarse[2]
    assert sequence.coarse[:2] == [None, None]
    assert len(groups) == codec.columns[0].n_codes
    inner = groups[: codec.columns[0].n_level_codes]
    assert (np.diff(inner) >= 0).all()
    assert inner.max() + 1 <= _trees._COARSE
    assert groups[-2] == inner.max() + 1  # the pool and missing cells are groups of their own
    assert groups[-1] == inner.max() + 2
    counts = np.bincount(groups[codes[:, 0]])
    assert counts[: inner.max() + 1].max() < 3 * 5000 / _trees._COARSE
    assert len(sequence.forests) == 4


def test_what_another_draws_in_between_is_what_the_next_column_follows():
    _, _, sequence, _ = grown(table())
    rng, before = np.random.default_rng(2), [np.full(3000, 2, dtype=np.int32)]
    assert sequence.order[:2] == [1, 2]
    assert (sequence.draw(1, before, 3000, rng) == 2).mean() > 0.85


def test_some_rows_can_be_drawn_for():
    _, _, sequence, _ = grown(table())
    rng, before = np.random.default_rng(2), [np.arange(3000, dtype=np.int32) % 3]
    rows = np.flatnonzero(before[0] == 2)
    drawn_for = sequence.draw(1, before, 3000, rng, rows)
    assert drawn_for.shape == rows.shape
    assert (drawn_for == 2).mean() > 0.85


def test_what_is_saved_draws_the_same():
    _, _, sequence, _ = grown(table())
    arrays, meta = sequence.state()
    loaded = TreeSequence.from_state(arrays, meta)
    first, second = drawn(sequence, 500), drawn(loaded, 500)
    assert all(np.array_equal(first[j], second[j]) for j in first)
    again = drawn(grown(table())[2], 500)
    assert all(np.array_equal(first[j], again[j]) for j in first)


def test_of_many_columns_the_most_telling_ones_are_taken():
    rng = np.random.default_rng(0)
    n = 1500
    key = rng.integers(0, 4, n)
    labels = np.array(["a", "b", "c", "d"], dtype=object)
    cells = {f"c{j}": (Kind.CATEGORY, labels[rng.integers(0, 4, n)]) for j in range(50)}
    cells["key"] = (Kind.CATEGORY, labels[key])
    cells["copy"] = (Kind.CATEGORY, labels[key])
    made = example("wide", cells)
    _, _, sequence, _ = grown(made, order=list(range(52)))
    assert max(len(parents) for parents in sequence.parents) == _trees._MOST_PARENTS
    assert 50 in sequence.parents[51]
    rows = drawn(sequence, 1000)
    assert (rows[50] == rows[51]).mean() > 0.85


def test_no_rows_and_one_column():
    rng = np.random.default_rng(0)
    _, _, sequence, _ = grown(example("one", {"a": (Kind.INTEGER, rng.integers(0, 9, 300))}))
    assert {j: len(codes) for j, codes in drawn(sequence, 0).items()} == {0: 0}
    assert np.bincount(drawn(sequence, 900)[0]).min() > 40


def test_growing_can_be_cancelled():
    asked = []
    with pytest.raises(CancelledError):
        grown(table(), cancelled=lambda: asked.append(1) or len(asked) > 3)
    assert len(asked) == 4


def test_the_order_is_by_distinct_values_or_as_it_is_named():
    made = table(500)
    codec = TableCodec.fit(made.table, made.schema, min_support=10)
    assert drawing_order(codec, made.schema, "cardinality", "m") == [1, 2, 0]
    assert drawing_order(codec, made.schema, ["x", "b", "a"], "m") == [0, 2, 1]
    for wrong in (["x", "b"], ["x", "b", "b"], ["x", "b", "a", "d"]):
        with pytest.raises(ParamsError, match=r"method m: order must name every modelled column once.*x, a, b"):
            drawing_order(codec, made.schema, wrong, "m")


@pytest.mark.parametrize(("n", "times"), [(10**6, 1), (20_000, 1), (10_000, 2**0.75), (100, 2.5), (1, 2.5)])
def test_shrinkage_grows_as_tables_get_smaller(n, times):
    assert scaled(SETTINGS, n).shrinkage == pytest.approx(0.5 * times)
    assert scaled(SETTINGS, n).leaf_floor == SETTINGS.leaf_floor
