"""One column's honest, shrunken trees."""

from __future__ import annotations

import numpy as np
import pytest

from synthloom.methods._forest import Forest, ForestGrower, Settings, Variable

FLOOR = 30


def variable(codes: np.ndarray, n_codes: int | None = None, on_line: bool = False) -> Variable:
    return Variable(codes.astype(np.int32), n_codes or int(codes.max()) + 1, on_line)


def forest(
    target: Variable, before: list[Variable], *, trees: int = 6, floor: int = FLOOR, shrinkage: float = 0.5,
    groups: np.ndarray | None = None,
) -> Forest:
    grower = ForestGrower(target, before, Settings(trees, floor, shrinkage), groups)
    return grower.join([grower.grow(t) for t in range(trees)])


def draw(made: Forest, before: list[Variable], seed: int = 1) -> np.ndarray:
    codes = [v.codes for v in before]
    return made.draw(codes, len(codes[0]), np.random.default_rng(seed))


def noisy(n: int = 6000, seed: int = 0) -> tuple[Variable, list[Variable]]:
    """A target that two of three columns tell something of."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.integers(0, 4, n), rng.integers(0, 40, n), rng.integers(0, 7, n)
    target = np.clip((a + b // 10 + rng.integers(0, 3, n)) // 2, 0, 5)
    return variable(target, 6), [variable(a, 4), variable(b, 40, on_line=True), variable(c, 7)]


def stops(made: Forest) -> np.ndarray:
    """(nodes,) bool: whether a draw may rest on the node."""
    return np.asarray(made.up < 1)


@pytest.mark.parametrize("on_line", [False, True])
@pytest.mark.parametrize("floor", [2, 30, 200])
def test_no_code_is_drawn_from_fewer_rows_than_the_leaf_floor(floor, on_line):
    target, before = noisy()
    made = forest(Variable(target.codes, target.n_codes, on_line), before, floor=floor)
    assert made.size[stops(made)].min() >= floor
    assert (made.up[made.roots] == 0).all()
    assert ((made.up >= 0) & (made.up <= 1)).all()
    leaf = made.feature < 0
    assert leaf.sum() > len(made.roots)


def test_nodes_cover_their_children_s_rows():
    target, before = noisy()
    made = forest(target, before)
    inner = np.flatnonzero(made.feature >= 0)
    left, right = inner + 1, made.right[inner]
    assert (made.parent[left] == inner).all()
    assert (made.parent[right] == inner).all()
    assert np.array_equal(made.size[inner], made.size[left] + made.size[right])
    assert np.array_equal(made.start[inner], made.start[left])
    assert np.array_equal(made.start[right], made.start[left] + made.size[left])
    assert np.array_equal(made.parent[made.roots], made.roots)


def test_leaves_hold_no_row_that_shaped_them():
    """Every row has a code of its own here, so that the rows in the leaves can be told apart."""
    n, seed = 5000, 3
    rng = np.random.default_rng(0)
    codes = rng.permutation(n)
    before = [variable(codes // 500, 10, on_line=True)]
    grower = ForestGrower(variable(codes, n, on_line=True), before, Settings(1, FLOOR, 0.5))
    tree = grower.grow(seed)
    held = set(tree.content.tolist())
    assert len(held) == len(tree.content) <= n - 1500
    # the rows left out shaped the tree: had they other codes, other splits would come of it
    outside = np.flatnonzero(~np.isin(codes, tree.content))
    changed = codes.copy()
    changed[outside] = rng.permutation(changed[outside])
    other = ForestGrower(variable(changed, n, on_line=True), before, Settings(1, FLOOR, 0.5)).grow(seed)
    assert set(other.content.tolist()) == held
    same = len(other.threshold) == len(tree.threshold) and np.array_equal(other.threshold, tree.threshold)
    assert not same
    # and the rows that fill it do not shape it
    inside = np.flatnonzero(np.isin(codes, tree.content))
    changed = codes.copy()
    changed[inside] = rng.permutation(changed[inside])
    other = ForestGrower(variable(changed, n, on_line=True), before, Settings(1, FLOOR, 0.5)).grow(seed)
    assert np.array_equal(other.threshold, tree.threshold)
    assert np.array_equal(other.feature, tree.feature)


def test_of_independent_columns_nothing_but_the_marginal_is_left():
    rng = np.random.default_rng(0)
    n = 8000
    target = variable(rng.choice(4, n, p=[0.5, 0.3, 0.15, 0.05]), 4)
    before = [variable(rng.integers(0, 30, n), 30, on_line=True), variable(rng.integers(0, 9, n), 9)]
    made = draw(forest(target, before, shrinkage=1.0), before)
    assert np.bincount(made, minlength=4) / n == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.025)
    for feature in before:
        table = np.stack([np.bincount(made[feature.codes == c], minlength=4) for c in range(feature.n_codes)])
        expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / n
        chi = ((table - expected) ** 2 / expected).sum() / ((feature.n_codes - 1) * 3)
        assert chi < 1.6  # 1 for independent draws; unshrunken leaves would repeat the noise


def test_shrinkage_takes_noise_out_of_leaves():
    target, before = noisy()
    strength = [float(forest(target, before, shrinkage=s).up.mean()) for s in (0.0, 0.25, 1.0, 4.0)]
    assert strength == sorted(strength)
    free = forest(target, before, floor=2, shrinkage=0.0)
    assert (free.up[free.size >= 2][1:] < 1).mean() > 0.9


@pytest.mark.parametrize("shrinkage", [0.0, 0.5, 4.0])
def test_a_strict_rule_is_kept_whatever_the_shrinkage(shrinkage):
    rng = np.random.default_rng(0)
    n = 6000
    sex = rng.integers(0, 2, n)
    role = np.where(rng.random(n) < 0.4, 2, sex)  # 0 husband, 1 wife, 2 single
    before = [variable(sex, 2)]
    made = draw(forest(variable(role, 3), before, shrinkage=shrinkage), before)
    assert not ((made == 1) & (sex == 0)).any()
    assert not ((made == 0) & (sex == 1)).any()


def test_what_the_target_says_of_labels_without_order_is_found():
    rng = np.random.default_rng(0)
    n = 8000
    label = rng.integers(0, 60, n)
    which = rng.permutation(60) % 2
    target = np.where(rng.random(n) < 0.95, which[label], 1 - which[label])
    before = [variable(label, 60)]
    made = draw(forest(variable(target, 2), before), before)
    assert (made == which[label]).mean() == pytest.approx(0.95, abs=0.03)


def test_draws_agree_with_the_conditional_shares():
    target, before = noisy(20_000)
    made = draw(forest(target, before), before)
    a = before[0].codes
    for code in range(4):
        real, own = (np.bincount(c[a == code], minlength=6) / (a == code).sum() for c in (target.codes, made))
        assert np.abs(real - own).sum() / 2 < 0.04


def test_without_columns_before_the_marginal_is_drawn():
    target, _ = noisy()
    grower = ForestGrower(target, [], Settings(1, FLOOR, 0.5))
    made = grower.join([grower.grow(0)]).draw([], 50_000, np.random.default_rng(0))
    shares = np.bincount(target.codes, minlength=6) / len(target.codes)
    assert np.bincount(made, minlength=6) / 50_000 == pytest.approx(shares, abs=0.01)


@pytest.mark.parametrize("n", [1, 2, 5, 71, 100, 143, 145])
def test_few_rows_make_a_stump_or_a_small_tree(n):
    target, before = noisy(n)
    made = forest(target, before)
    rows = draw(made, before)
    assert np.isin(rows, target.codes).all()
    assert made.size[stops(made)].min() >= min(FLOOR, n)


def test_a_drawn_group_is_not_left_where_the_floor_allows():
    rng = np.random.default_rng(0)
    n = 12_000
    fine = rng.integers(0, 60, n)
    groups = np.arange(60) // 10
    before = [variable(rng.integers(0, 5, n), 5), variable(groups[fine], 6, on_line=True)]
    made = draw(forest(variable(fine, 60, on_line=True), before, groups=groups), before)
    assert (groups[made] == groups[fine]).mean() > 0.999


def test_the_same_seeds_give_the_same_trees():
    target, before = noisy()
    one, two = forest(target, before), forest(target, before)
    for name, array in one.arrays("").items():
        assert np.array_equal(array, two.arrays("")[name])
    assert np.array_equal(draw(one, before), draw(two, before))


def test_a_forest_comes_back_from_its_arrays():
    target, before = noisy()
    made = forest(target, before)
    loaded = Forest.from_arrays("f.", made.arrays("f."))
    assert np.array_equal(draw(made, before), draw(loaded, before))


def test_columns_of_many_codes_stay_small():
    rng = np.random.default_rng(0)
    n = 6000
    label = rng.integers(0, 256, n)
    before = [variable(rng.integers(0, 256, n), 256) for _ in range(3)]
    made = forest(variable(label, 256), before, trees=2)
    assert sum(a.nbytes for a in made.arrays("").values()) < 4_000_000
