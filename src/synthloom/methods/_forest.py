"""One column's conditional distribution given columns before it, as a few honest trees.

Each tree is grown on one half of the rows and filled with the other (honest leaves: Athey & Imbens 2016), so what a
leaf holds was not used to shape it. A leaf's distribution is then shrunk towards its parent's, that one towards its
own, up to the root, by the square of the closed-form James-Stein weight of Hausser & Strimmer (2009, eq. 8): a split
whose sides differ by no more than chance says nothing, one whose sides clearly differ keeps them apart. Both sides of
a split are shrunk alike, which leaves their parent's distribution as it is. This is what keeps the synthetic rows
from repeating the noise of the real ones.

Drawing follows the same path: from a leaf, climb to the parent with probability `up`, and so on, then take the code of
one of the node's rows. Nodes resting on fewer than `leaf_floor` rows are always climbed out of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_MOST_CLASSES = 64
"""Classes a tree tells apart while it grows; lighter ones count as one. Leaves know them all."""
_MOST_CONTENT = 200_000
"""Rows that fill one tree: more would make the model larger and no better."""
_MOST_STRUCTURE = 25_000
"""Rows that shape one tree: half of the table up to this many."""
_LACK_ODDS = 1000
_TAU_ROWS, _TAU_CLASSES = 4000, 12
_LEAF_MARGIN = 1.5
"""How many times the leaf floor a leaf is expected to hold, so that chance rarely leaves it below the floor."""


@dataclass(frozen=True)
class Settings:
    """What shapes a forest.

    Attributes:
        trees: How many.
        leaf_floor: Fewest rows that a drawn value rests on.
        shrinkage: Multiplier of the James-Stein weight before it is squared; 0: leaves stay as they are.
    """

    trees: int
    leaf_floor: int
    shrinkage: float


@dataclass(frozen=True)
class Variable:
    """Codes to learn or to learn from.

    Attributes:
        codes: (n,) codes of the rows.
        n_codes: How many there are.
        on_line: Whether their order means something.
    """

    codes: np.ndarray
    n_codes: int
    on_line: bool


@dataclass(frozen=True)
class Forest:
    """The trees of one column, node by node; a tree's nodes stand in preorder, children after their parent.

    Attributes:
        roots: (trees,) int32 root of each tree.
        feature: (nodes,) int32 place among the columns before, -1 in a leaf.
        threshold: (nodes,) float32; a row goes left where its rank is at most this.
        right: (nodes,) int32 right child; the left one is the next node.
        parent: (nodes,) int32; a root is its own.
        up: (nodes,) float32 probability to climb.
        start, size: (nodes,) int64 range of `content` below the node.
        content: (rows of all trees,) codes of the rows that fill the leaves, sorted within each leaf.
        ranks: (…,) float32 ranks of all codes of all features, tree by tree.
        rank_at: (trees, features) int64 where a feature's ranks begin.
    """

    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    right: np.ndarray
    parent: np.ndarray
    up: np.ndarray
    start: np.ndarray
    size: np.ndarray
    content: np.ndarray
    ranks: np.ndarray
    rank_at: np.ndarray

    def draw(self, before: Sequence[np.ndarray], n: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) codes drawn for rows whose codes in the columns before are given, one array of n each."""
        tree = rng.integers(len(self.roots), size=n)
        node = self._climb(self._descend(tree, before), rng)
        place = self.start[node] + (rng.random(n) * self.size[node]).astype(np.int64)
        return np.asarray(self.content[place])

    def _descend(self, tree: np.ndarray, before: Sequence[np.ndarray]) -> np.ndarray:
        node: np.ndarray = self.roots[tree].astype(np.int64)
        if not before:
            return node
        codes = np.stack(before, axis=1)
        active = np.flatnonzero(self.feature[node] >= 0)
        while len(active):
            at = node[active]
            feature = self.feature[at]
            rank = self.ranks[self.rank_at[tree[active], feature] + codes[active, feature]]
            at = np.where(rank <= self.threshold[at], at + 1, self.right[at])
            node[active] = at
            active = active[self.feature[at] >= 0]
        return node

    def _climb(self, node: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        active: np.ndarray = np.arange(len(node))
        while len(active):
            active = active[rng.random(len(active)) < self.up[node[active]]]
            node[active] = self.parent[node[active]]
        return node

    def arrays(self, prefix: str) -> dict[str, np.ndarray]:
        """Arrays for a model file."""
        return {prefix + name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_arrays(cls, prefix: str, arrays: dict[str, np.ndarray]) -> Forest:
        """The inverse of `arrays`."""
        return cls(**{name: arrays[prefix + name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class _Tree:
    feature: np.ndarray
    threshold: np.ndarray
    right: np.ndarray
    parent: np.ndarray
    up: np.ndarray
    start: np.ndarray
    size: np.ndarray
    content: np.ndarray
    ranks: list[np.ndarray]


def association(target: Variable, feature: Variable) -> float:
    """How much a feature says of a target: Goodman & Kruskal's tau beyond what chance gives, on up to 4,000 rows."""
    every = -(-len(target.codes) // _TAU_ROWS)
    rows, goal = feature.codes[::every], target.codes[::every]
    counts = np.bincount(goal, minlength=target.n_codes)
    if target.on_line:
        classes = (np.cumsum(counts) - counts / 2) * _TAU_CLASSES / max(len(goal), 1)
    else:
        classes = np.minimum(np.argsort(np.argsort(-counts, kind="stable"), kind="stable"), _TAU_CLASSES - 1)
    goal = classes.astype(np.int64)[goal]
    table = np.bincount(rows * np.int64(_TAU_CLASSES) + goal, minlength=feature.n_codes * _TAU_CLASSES)
    table = table.reshape(feature.n_codes, _TAU_CLASSES).astype(np.float64)
    seen = table.sum(axis=1)
    n, used = len(goal), int((seen > 0).sum())
    base = ((table.sum(axis=0) / n) ** 2).sum()
    within = (table[seen > 0] ** 2 / seen[seen > 0, None]).sum() / n
    return float((within - base) / max(1 - base, 1e-12) - (used - 1) / max(n - 1, 1))


class ForestGrower:
    """Grows the trees of one column; each `grow(seed)` stands alone, so that trees can grow side by side.

    Args:
        target: The column to learn.
        before: The columns it may depend on.
        settings: Trees, leaf floor, shrinkage.
        groups: (codes,) group of each code where the group is already drawn (the last of `before`); no draw leaves it
            but where the leaf floor demands it.
    """

    def __init__(
        self, target: Variable, before: Sequence[Variable], settings: Settings, groups: np.ndarray | None = None
    ) -> None:
        self._groups = groups
        self._target = target
        self._before = before
        self._settings = settings
        self._goal = self._make_goal()

    def _make_goal(self) -> np.ndarray:
        """What a tree tells apart: mean rank of the code on a line, else the code, light ones as one."""
        counts = np.bincount(self._target.codes, minlength=self._target.n_codes)
        if self._target.on_line:
            rank = np.cumsum(counts) - counts / 2
            goal: np.ndarray = rank / max(counts.sum(), 1)
            return goal
        heavy = np.argsort(-counts, kind="stable")[: _MOST_CLASSES - 1]
        classes = np.full(len(counts), len(heavy))
        classes[heavy] = np.arange(len(heavy))
        return classes

    def grow(self, seed: int) -> _Tree:
        """One tree."""
        rng = np.random.default_rng(seed)
        n = len(self._target.codes)
        order = rng.permutation(n)
        m = min(n // 2, _MOST_STRUCTURE) if self._before else 0
        shape, fill = order[:m], order[m : m + _MOST_CONTENT]
        if not self._before or m < 2 * self._settings.leaf_floor:
            return self._stump(fill if m == 0 else order[:_MOST_CONTENT])
        ranks = [self._ranks(variable, shape) for variable in self._before]
        tree = self._shape(shape, ranks, int(rng.integers(2**31)))
        features = np.empty((len(fill), len(ranks)), dtype=np.float32)
        for f, rank in enumerate(ranks):
            features[:, f] = rank[self._before[f].codes[fill]]
        return self._fill(tree, tree.apply(features), self._target.codes[fill], ranks)

    def _stump(self, rows: np.ndarray) -> _Tree:
        content = np.sort(self._target.codes[rows])
        one = np.zeros(1, dtype=np.int64)
        ranks = [np.zeros(v.n_codes, dtype=np.float32) for v in self._before]
        zero = one.astype(np.float32)
        return _Tree(one - 1, zero, one, one, zero, one, one + len(content), content, ranks)

    def _ranks(self, feature: Variable, rows: np.ndarray) -> np.ndarray:
        """(codes,) float32 rank of a feature's codes: their order on a line, else by what they say of the target."""
        if feature.on_line:
            return np.arange(feature.n_codes, dtype=np.float32)
        codes, goal = feature.codes[rows], self._goal[self._target.codes[rows]]
        if self._target.on_line:
            seen = np.bincount(codes, minlength=feature.n_codes)
            total = np.bincount(codes, weights=goal, minlength=feature.n_codes)
            score = (total + goal.mean()) / (seen + 1)
        else:
            score = _first_axis(codes, goal, feature.n_codes, _MOST_CLASSES)
        return np.argsort(np.argsort(score, kind="stable"), kind="stable").astype(np.float32)

    def _shape(self, rows: np.ndarray, ranks: list[np.ndarray], seed: int):  # type: ignore[no-untyped-def]
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

        features = np.empty((len(rows), len(ranks)), dtype=np.float32)
        for f, rank in enumerate(ranks):
            features[:, f] = rank[self._before[f].codes[rows]]
        goal = self._goal[self._target.codes[rows]]
        outside = len(self._target.codes) - len(rows)
        leaf = max(2, int(np.ceil(_LEAF_MARGIN * self._settings.leaf_floor * len(rows) / outside)))
        grower = DecisionTreeRegressor if self._target.on_line else DecisionTreeClassifier
        return grower(min_samples_leaf=leaf, random_state=seed).fit(features, goal).tree_

    def _fill(self, tree, leaf: np.ndarray, target: np.ndarray, ranks: list[np.ndarray]) -> _Tree:  # type: ignore[no-untyped-def]
        left, right = tree.children_left, tree.children_right
        nodes = len(left)
        content = target[np.lexsort((target, leaf))]
        below = np.r_[0, np.cumsum(np.bincount(leaf, minlength=nodes))]
        parent, end, levels = _family(left, right)
        start, size = below[:-1], below[end] - below[:-1]
        up = self._shrink(leaf, target, parent, end, levels)
        return _Tree(
            np.where(left < 0, -1, tree.feature), tree.threshold.astype(np.float32), right, parent, up, start, size,
            content, ranks,
        )

    def _shrink(
        self, leaf: np.ndarray, target: np.ndarray, parent: np.ndarray, end: np.ndarray, levels: list[np.ndarray]
    ) -> np.ndarray:
        """(nodes,) float32 probability to climb from each node: its distribution's weight on its parent's."""
        nodes, k = len(parent), self._target.n_codes
        own = np.bincount(leaf.astype(np.int64) * k + target, minlength=nodes * k).reshape(nodes, k)
        summed = np.vstack([np.zeros((1, k)), np.cumsum(own, axis=0, dtype=np.float64)])
        counts = summed[end] - summed[:-1]
        rows = counts.sum(axis=1)
        share = counts / np.maximum(rows, 1)[:, None]
        several = self._spans_groups(counts)
        up = np.zeros(nodes)
        for level in levels[1:]:
            towards = share[parent[level]]
            mean, n = share[level], rows[level]
            weight = np.minimum(1, self._settings.shrinkage * self._chance(mean, towards, n)) ** 2
            weight[_lacks_by_rule(mean, towards, n)] = 0
            if self._groups is not None:
                weight[several[parent[level]]] = 0
            weight[_pooled((n < self._settings.leaf_floor).astype(float)) > 0] = 1
            up[level] = weight
            share[level] = (1 - weight[:, None]) * mean + weight[:, None] * towards
        return up.astype(np.float32)

    def _chance(self, mean: np.ndarray, towards: np.ndarray, n: np.ndarray) -> np.ndarray:
        """(nodes,) share of each split's squared distance to its parent that chance explains, siblings alike.

        On a line the distance between cumulated shares counts too: a shift moves every share a little and their sums
        a lot. The clearer of the two decides.
        """
        per = np.maximum(n - 1, 1)
        share = _pooled(n * (1 - (mean**2).sum(axis=1)) / per)
        share /= np.maximum(_pooled(n * ((mean - towards) ** 2).sum(axis=1)), 1e-12)
        if not self._target.on_line:
            return np.asarray(share)
        below, below_parent = np.cumsum(mean, axis=1), np.cumsum(towards, axis=1)
        line = _pooled(n * (below * (1 - below)).sum(axis=1) / per)
        line /= np.maximum(_pooled(n * ((below - below_parent) ** 2).sum(axis=1)), 1e-12)
        return np.asarray(np.minimum(share, line))

    def _spans_groups(self, counts: np.ndarray) -> np.ndarray:
        """(nodes,) whether a node holds codes of more than one group."""
        if self._groups is None:
            return np.zeros(len(counts), dtype=bool)
        starts = np.flatnonzero(np.diff(self._groups, prepend=-1))
        several: np.ndarray = (np.add.reduceat(counts, starts, axis=1) > 0).sum(axis=1) > 1
        return several

    def join(self, trees: Sequence[_Tree]) -> Forest:
        """The grown trees as one forest."""
        sizes = np.array([len(t.feature) for t in trees])
        first = np.r_[0, np.cumsum(sizes)[:-1]]
        filled = np.r_[0, np.cumsum([len(t.content) for t in trees])[:-1]]
        lengths = [len(r) for r in trees[0].ranks]
        at = np.r_[0, np.cumsum(lengths)[:-1]] if lengths else np.zeros(0, dtype=np.int64)
        small = np.min_scalar_type(self._target.n_codes)
        none = np.zeros(0, dtype=np.float32)
        return Forest(
            roots=first.astype(np.int32),
            feature=np.concatenate([t.feature for t in trees]).astype(np.int32),
            threshold=np.concatenate([t.threshold for t in trees]),
            right=np.concatenate([t.right + f for t, f in zip(trees, first, strict=True)]).astype(np.int32),
            parent=np.concatenate([t.parent + f for t, f in zip(trees, first, strict=True)]).astype(np.int32),
            up=np.concatenate([t.up for t in trees]),
            start=np.concatenate([t.start + f for t, f in zip(trees, filled, strict=True)]).astype(np.int64),
            size=np.concatenate([t.size for t in trees]).astype(np.int64),
            content=np.concatenate([t.content for t in trees]).astype(small),
            ranks=np.concatenate([r for t in trees for r in t.ranks]) if lengths else none,
            rank_at=(np.arange(len(trees))[:, None] * sum(lengths) + at[None]).astype(np.int64),
        )


def _family(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Parents, ends of subtrees (preorder: a subtree is a range of nodes) and nodes level by level."""
    parent, end = np.zeros(len(left), dtype=np.int64), np.zeros(len(left), dtype=np.int64)
    end[0] = len(left)
    levels = [np.zeros(1, dtype=np.int64)]
    while True:
        inner = levels[-1][left[levels[-1]] >= 0]
        if not len(inner):
            return parent, end, levels
        first, second = left[inner], right[inner]
        parent[first], parent[second] = inner, inner
        end[first], end[second] = second, end[inner]
        levels.append(np.concatenate([first, second]))


def _lacks_by_rule(mean: np.ndarray, towards: np.ndarray, n: np.ndarray) -> np.ndarray:
    """(nodes,) whether a code is missing in a node that its parent's share makes all but certain: what never occurs.

    All but certain: a chance below one in 1,000 for any of the codes.
    """
    expected = np.where(mean > 0, 0.0, towards).max(axis=1) * n
    lacks: np.ndarray = expected > np.log(_LACK_ODDS * mean.shape[1])
    return lacks


def _pooled(values: np.ndarray) -> np.ndarray:
    """Sums over siblings, given once for each: a level of nodes holds all left children, then all right ones."""
    half = len(values) // 2
    return np.tile(values[:half] + values[half:], 2)


def _first_axis(rows: np.ndarray, columns: np.ndarray, n_rows: int, n_columns: int) -> np.ndarray:
    """(n_rows,) scores on the first axis of correspondence analysis (Greenacre 2007, ch. 8), light rows pulled to 0."""
    table = np.bincount(rows * n_columns + columns, minlength=n_rows * n_columns).reshape(n_rows, n_columns)
    table = table[:, table.sum(axis=0) > 0]
    mass = table.sum(axis=0) / table.sum()
    smooth = table + mass[None]  # one pseudo-record with the average profile: unseen rows score 0
    weight = smooth.sum(axis=1) / smooth.sum()
    residual = (smooth / smooth.sum() - np.outer(weight, mass)) / np.sqrt(np.outer(weight, mass))
    axis = np.linalg.svd(residual, full_matrices=False)[0][:, 0]
    return np.asarray(axis / np.sqrt(weight))
