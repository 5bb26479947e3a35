"""A canonical table as other packages can take it, and their rows as canonical cells again.

What goes over is plain: columns `c0`, `c1`, … of whole numbers, decimals and short labels, without a missing cell, and
without names, labels or dates of the table. What comes back is checked cell by cell: a row with
anything in it that did not go over is not used.

============ ================================================== ========================================
kind         goes over as                                       comes back
============ ================================================== ========================================
integer      int64, drawn in to the released range              rounded
decimal      float64, drawn in likewise                         rounded to the column's precision
date, times  int64 steps (days, or the finest fraction spelt)   at the column's precision, in its zone
             since the least moment of the released range
labels       L000, L001, …; missing cells as the label M        the schema's labels
missing      labels M, or a second column `c0_gap` of 0 and 1   missing cells
============ ================================================== ========================================

The disclosure rule holds in what goes over, whatever the backend does with it: a label that fewer than k records hold
goes over as one of the commoner ones, and the ends of a range are means of k records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from synthloom.domain.errors import ContractError, FitError
from synthloom.domain.schema import Column, Kind, Schema
from synthloom.tables.canonical import codes_to_labels, from_float, labels_to_codes, to_float
from synthloom.tables.levels import outer_edge

MISSING = "M"
_TIMES = (Kind.DATE, Kind.TIMESTAMP, Kind.DURATION)
_LARGEST = 2.0**62


@dataclass(frozen=True)
class PlainColumn:
    """How one column goes over.

    Attributes:
        column: The column.
        name: Its name over there.
        gaps: How missing cells go over: `none` (there are none), `label`, or `column` (a second one).
        labels: Positions among its labels that may be released, with (same shape) `counts`, the records behind each.
        counts: See `labels`; on a line the records with a cell.
        low: Least value released, on a line: numbers, or POSIX seconds.
        high: Largest value released.
        unit: What a step stands for: 1 for numbers, seconds for times.
        whole: Whether only whole steps go over.
        binary: Whether its two values go over as 0 and 1: the event of survival data.
        happened: For `binary`: the position of the label that means 1; None: a number above 0.
        required: Whether rows without a cell of it do not go over.
    """

    column: Column
    name: str
    gaps: str = "none"
    labels: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    low: float = 0.0
    high: float = 0.0
    unit: float = 1.0
    whole: bool = False
    binary: bool = False
    happened: int | None = None
    required: bool = False

    @property
    def on_a_line(self) -> bool:
        """Whether numbers go over."""
        return self.column.kind.is_numeric and not self.binary

    @property
    def empty(self) -> bool:
        """Whether no value of it may be released."""
        return not self.counts

    @property
    def fixed(self) -> bool:
        """Whether it has one released value only, which need not go over."""
        if self.binary:
            return False
        return self.low == self.high if self.on_a_line else len(self.labels) == 1 and self.gaps == "none"

    @property
    def origin(self) -> float:
        """What a time's steps are counted from."""
        return self.low if self.column.kind in _TIMES else 0.0

    @property
    def gap_name(self) -> str:
        """The name of the second column, which tells missing cells."""
        return f"{self.name}_gap"


@dataclass(frozen=True)
class Translation:
    """How a table goes over.

    Attributes:
        schema: What the table's columns are.
        columns: How each modelled column goes over.
    """

    schema: Schema
    columns: tuple[PlainColumn, ...]

    @classmethod
    def learn(
        cls, table: pd.DataFrame, schema: Schema, *, support: int, survival: bool = False,
        groups: np.ndarray | None = None,
    ) -> Translation:
        """Learn from the rows that are to go over.

        Args:
            table: Canonical for `schema`, 1 row or more.
            schema: What its columns are.
            support: k, the fewest records behind what is released.
            survival: Whether time and event go over as numbers without gaps, for a method of survival data.
            groups: (n,) int64 what each row belongs to; k of these, not of rows, then stand behind what is released.

        Raises:
            FitError: nothing can go over, or the survival columns cannot be told.
        """
        roles = schema.survival if survival else None
        made = []
        for j, column in enumerate(schema.modelled):
            if roles is not None and column.name == roles.event:
                made.append(_event(column, f"c{j}"))
            else:
                required = roles is not None and column.name == roles.time
                plain = _learn(table[column.name], column, f"c{j}", support, groups)
                made.append(replace(plain, required=True, gaps="none") if required else plain)
        if all(c.empty or (c.fixed and c.gaps != "column") for c in made):
            raise FitError("no column has two values that may be released.", do="Give more rows, or privacy low.")
        return cls(schema, tuple(made))

    @property
    def suppressed(self) -> tuple[str, ...]:
        """Columns of which no value may be released; their cells are left empty."""
        return tuple(c.column.name for c in self.columns if c.empty)

    def name_of(self, column: str | None) -> str | None:
        """What a column is called over there; None where it does not go over."""
        found = next((c for c in self.columns if c.column.name == column), None)
        return None if found is None or found.empty or found.fixed else found.name

    def kinds(self) -> dict[str, dict[str, str]]:
        """What goes over: name → {"kind": number, integer or category}."""
        kinds: dict[str, dict[str, str]] = {}
        for c in self.columns:
            if not c.empty and not c.fixed:
                kinds[c.name] = {"kind": "integer" if c.binary or c.whole else "number" if c.on_a_line else "category"}
            if not c.empty and c.gaps == "column":
                kinds[c.gap_name] = {"kind": "category"}
        return kinds

    def there(self, table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        """Rows as they go over.

        Args:
            table: (n, columns) canonical for the schema.
            rng: Draws what stands in place of missing numbers and of labels that are not released.

        Returns:
            (n, len(kinds())); without rows that a method of survival data cannot use.
        """
        made: dict[str, Any] = {}
        for c in self.columns:
            if not c.empty:
                made |= _there(table[c.column.name], c, rng)
        plain = pd.DataFrame(made, columns=list(self.kinds()), index=pd.RangeIndex(len(table)))
        required = [c.name for c in self.columns if c.required and c.name in plain]
        known = plain[required].notna().all(axis=1).to_numpy() if required else np.ones(len(plain), dtype=bool)
        return _settled(plain[known].reset_index(drop=True), self.kinds())

    def usable(self, plain: pd.DataFrame) -> np.ndarray:
        """(n,) bool: which rows of the backend hold nothing that did not go over; columns as in `kinds()`."""
        self._check(plain)
        fine = np.ones(len(plain), dtype=bool)
        for column in self.columns:
            fine &= _back(plain, column)[1]
        return fine

    def _check(self, plain: pd.DataFrame) -> None:
        wanted = list(self.kinds())
        if sorted(map(str, plain.columns)) != sorted(wanted):
            raise ContractError(
                f"the backend gave {len(plain.columns)} columns ({', '.join(map(str, plain.columns[:8]))}), "
                f"not the {len(wanted)} that it was given.",
            )

    def back(self, plain: pd.DataFrame) -> tuple[dict[str, pd.Series], int]:
        """Rows of the backend as canonical cells.

        Args:
            plain: Columns as in `kinds()`, in any order.

        Returns:
            Canonical series of the modelled columns over the usable rows, and how many rows those are.

        Raises:
            ContractError: its columns are not those that went over.
        """
        self._check(plain)
        codes = {c.column.name: _back(plain, c) for c in self.columns}
        usable = np.ones(len(plain), dtype=bool)
        for _, fine in codes.values():
            usable &= fine
        return {
            c.column.name: _canonical(codes[c.column.name][0][usable], c) for c in self.columns
        }, int(usable.sum())


def _learn(series: pd.Series, column: Column, name: str, k: int, groups: np.ndarray | None) -> PlainColumn:
    gaps = series.isna().to_numpy()
    missing = int(gaps.sum())
    told = (missing if groups is None else len(np.unique(groups[gaps]))) >= k
    if column.kind.is_discrete:
        codes = labels_to_codes(series)
        if groups is not None:
            codes = np.unique(np.column_stack([groups, codes]), axis=0)[:, 1]
        counts = np.bincount(codes[codes >= 0], minlength=len(column.categories))
        kept = np.flatnonzero(counts >= k)
        return PlainColumn(
            column, name, "label" if told else "none", tuple(kept.tolist()), tuple(counts[kept].tolist()),
        )
    values = to_float(series, column.kind)[~gaps]
    least = most = np.sort(values)
    if groups is not None:
        parts = pd.Series(values).groupby(groups[~gaps])
        least, most = np.sort(parts.min().to_numpy()), np.sort(parts.max().to_numpy())
    if len(least) < k:
        return PlainColumn(column, name)
    unit = _unit(column)
    low, high = -outer_edge(-least[::-1], k), outer_edge(most, k)
    if unit is not None:  # ends that a cell can hold
        low, high = float(np.floor(low / unit + 0.5) * unit), float(np.floor(high / unit + 0.5) * unit)
    return PlainColumn(
        column, name, "column" if told else "none", counts=(len(least),), low=low, high=max(low, high),
        unit=unit or 1.0, whole=unit is not None,
    )


def _unit(column: Column) -> float | None:
    """What a whole step stands for; None for decimals."""
    if column.kind is Kind.DECIMAL:
        return None
    if column.kind is Kind.DATE:
        return 86400.0
    return 10.0 ** -min(column.text.fraction_digits, 6) if column.kind in _TIMES else 1.0


def _event(column: Column, name: str) -> PlainColumn:
    yes = {"1", "1.0", "true", "t", "yes", "y", "event", "dead", "died", "deceased", "death", "relapse", "observed"}
    if column.kind.is_discrete:
        if len(column.categories) != 2:
            raise FitError(f"the event column {column.name!r} must have two values: happened or not.")
        says = [label.strip().lower() in yes for label in column.categories]
        happened = 0 if says == [True, False] else 1
        return PlainColumn(column, name, counts=(1, 1), binary=True, required=True, happened=happened)
    return PlainColumn(column, name, counts=(1, 1), binary=True, required=True)


def _there(series: pd.Series, c: PlainColumn, rng: np.random.Generator) -> dict[str, Any]:
    series = series.reset_index(drop=True)
    missing = series.isna().to_numpy()
    if c.binary:
        if c.column.kind.is_discrete:
            values = np.where(missing, np.nan, labels_to_codes(series) == c.happened)
        else:
            values = np.where(missing, np.nan, np.nan_to_num(to_float(series, c.column.kind)) > 0)
        return {c.name: values}
    if not c.on_a_line:
        return {} if c.fixed else {c.name: _labels_there(series, c, missing, rng)}
    made: dict[str, Any] = {c.gap_name: np.where(missing, "1", "0")} if c.gaps == "column" else {}
    if c.fixed:
        return made
    values = np.clip(to_float(series, c.column.kind), c.low, c.high)
    if not c.required and missing.any() and not missing.all():
        values[missing] = rng.choice(values[~missing], int(missing.sum()))
    steps = (values - c.origin) / c.unit
    return made | {c.name: np.rint(steps) if c.whole else steps}


def _labels_there(
    series: pd.Series, c: PlainColumn, missing: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    known = np.full(len(c.column.categories) + 1, -1)
    known[list(c.labels)] = np.arange(len(c.labels))
    at = known[labels_to_codes(series)]
    drawn = at < 0 if c.gaps == "none" else (at < 0) & ~missing
    shares = np.array(c.counts) / sum(c.counts)
    at[drawn] = rng.choice(len(c.labels), int(drawn.sum()), p=shares)
    words = np.array([*map(_token, range(len(c.labels))), MISSING], dtype=object)
    return np.asarray(words[at])  # -1, a missing cell, is the last one


def _token(position: int) -> str:
    return f"L{position:03d}"


def _settled(plain: pd.DataFrame, kinds: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """Columns in the dtypes that were promised."""
    dtypes: dict[str, Any] = {"integer": "int64", "number": "float64", "category": object}
    return plain.astype({name: dtypes[kind["kind"]] for name, kind in kinds.items()})


def _back(plain: pd.DataFrame, c: PlainColumn) -> tuple[np.ndarray, np.ndarray]:
    """Values on a line (NaN where missing), or positions of labels (-1 where missing); and which rows can be used."""
    n = len(plain)
    every = np.ones(n, dtype=bool)
    if c.empty:
        return (np.full(n, np.nan) if c.column.kind.is_numeric else np.full(n, -1)), every
    if c.binary:
        told = pd.to_numeric(plain[c.name], errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
        yes = told > 0.5
        other = 1 - (c.happened or 0)
        return (yes.astype(float) if c.happened is None else np.where(yes, c.happened, other)), np.isfinite(told)
    if not c.on_a_line:
        return _labels_back(plain, c, every)
    gaps = np.zeros(n, dtype=bool)
    if c.gaps == "column":
        marks = plain[c.gap_name].astype(str).to_numpy()
        gaps, every = marks == "1", np.isin(marks, ["0", "1"])
    if c.fixed:
        return np.where(gaps, np.nan, c.low), every
    told = pd.to_numeric(plain[c.name], errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
    fine = every & (gaps | np.isfinite(told))
    steps = np.clip(np.where(fine & ~gaps, told, 0.0), -_LARGEST, np.inf if not c.whole else _LARGEST)
    values = np.clip((np.rint(steps) if c.whole else steps) * c.unit + c.origin, c.low, c.high)
    return np.where(gaps, np.nan, values), fine


def _labels_back(plain: pd.DataFrame, c: PlainColumn, every: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if c.fixed:
        return np.full(len(plain), c.labels[0]), every
    position = {_token(k): label for k, label in enumerate(c.labels)}
    if c.gaps == "label":
        position[MISSING] = -1
    found = plain[c.name].astype(object).map(lambda cell: position.get(cell, -2)).to_numpy(dtype="int64")
    return found, found > -2


def _canonical(cells: np.ndarray, c: PlainColumn) -> pd.Series:
    if c.column.kind.is_discrete:
        return codes_to_labels(cells.astype("int32"), c.column)
    return from_float(cells.astype("float64"), c.column)
