"""Plugins that learn sequences: how a table's rows go over as sequences, and come back as whole ones.

A row goes over with a number for its sequence in place of the key. Rows of a sequence stand together, in order. What
does not change within any sequence is told to the plugin, and goes over the same in all its rows. The disclosure rule
is one of sequences here: k sequences stand behind a label and behind the ends of a range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from synthloom.backends.foreign import Foreign
from synthloom.backends.translate import Translation
from synthloom.domain.errors import ContractError, FitError
from synthloom.domain.schema import Schema
from synthloom.tables.identifiers import fresh
from synthloom.tables.rng import child
from synthloom.tables.sequences import sequence_codes

SERIES = ("time_series", "sequential")
"""Kinds of plugins that learn sequences."""
KEY = "s"
"""What the number of the sequence is called over there."""
_MOST_AGAIN = 10.0


@dataclass(frozen=True)
class Sequences:
    """How a table of sequences goes over.

    Attributes:
        way: How its cells go over.
        order: What the order is called over there; None: rows are in order as they stand.
        static: Names over there of what does not change within a sequence.
        apart: Whether no two rows of a sequence have the same order.
    """

    way: Translation
    order: str | None
    static: tuple[str, ...]
    apart: bool

    @classmethod
    def learn(cls, table: pd.DataFrame, schema: Schema, *, support: int) -> Sequences:
        """Learn from the rows that are to go over; the schema names a sequence key.

        Args:
            table: Canonical for `schema`, 1 row or more.
            schema: What its columns are.
            support: k, the fewest sequences behind what is released.

        Raises:
            FitError: nothing can go over, or nothing changes within a sequence.
        """
        codes, roles = sequence_codes(table, schema), schema.sequence
        way = Translation.learn(table, schema, support=support, groups=codes)
        order = way.name_of(roles.order) if roles is not None else None
        still = {c.column.name for c in way.columns if _still(table[c.column.name], codes)}
        static = tuple(
            name for c in way.columns if c.column.name in still and c.name != order
            for name in (c.name, c.gap_name) if name in way.kinds()
        )
        if not set(way.kinds()) - {order, *static}:
            raise FitError(
                "nothing but the order changes within its sequences.",
                do="Choose a method that learns rows, or another sequence key.",
            )
        apart = order is not None and roles is not None and not pd.DataFrame(
            {"code": codes, "order": table[roles.order].to_numpy()}
        ).duplicated().any()
        return cls(way, order, static, bool(apart))

    @property
    def schema(self) -> Schema:
        """What the table's columns are."""
        return self.way.schema

    @property
    def suppressed(self) -> tuple[str, ...]:
        """Columns of which no value may be released; their cells are left empty."""
        return self.way.suppressed

    def name_of(self, column: str | None) -> str | None:
        """What a column is called over there; None where it does not go over."""
        return self.way.name_of(column)

    def kinds(self) -> dict[str, dict[str, str]]:
        """What goes over: name → {"kind": number, integer or category}."""
        return {KEY: {"kind": "integer"}, **self.way.kinds()}

    def there(self, table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        """Rows as they go over, sequence by sequence, each in its order; see `Translation.there`."""
        codes = sequence_codes(table, self.schema)
        plain = self.way.there(table, rng)
        _, first = np.unique(codes, return_index=True)
        for name in self.static:  # what stands in place of a cell is drawn once for a sequence
            plain[name] = plain[name].to_numpy()[first[codes]]
        plain.insert(0, KEY, codes)
        role = self.schema.sequence.order if self.schema.sequence is not None else None
        place = np.arange(len(table)) if role is None else table[role].to_numpy()
        by = pd.DataFrame({"code": codes, "place": place}).sort_values(["code", "place"], kind="stable").index
        return plain.iloc[by].reset_index(drop=True)

    def back(self, plain: pd.DataFrame) -> tuple[dict[str, pd.Series], int]:
        """Sequences of the backend as canonical cells; one with a row that cannot be used is left out whole.

        Args:
            plain: Columns as in `kinds()`, in any order.

        Returns:
            Canonical series of the modelled columns, and under the key's name the number of each row's sequence (int64,
            counted from 0); and how many rows those are.

        Raises:
            ContractError: its columns are not those that went over.
        """
        if KEY not in plain.columns:
            raise ContractError("the backend gave rows without the number of their sequence.")
        codes, _ = pd.factorize(plain[KEY])
        known = codes >= 0
        plain, codes = plain.drop(columns=KEY)[known].reset_index(drop=True), codes[known]
        whole = np.ones(len(np.unique(codes)), dtype=bool)
        whole[codes[~self.way.usable(plain)]] = False
        kept = whole[codes]
        plain, codes = plain[kept].reset_index(drop=True), codes[kept]
        if self.order is not None:
            place = pd.to_numeric(plain[self.order]).to_numpy(dtype="float64")
            by = np.lexsort((place, codes))
            plain, codes = plain.iloc[by].reset_index(drop=True), codes[by]
            plain[self.order] = self._spread(place[by], codes)
        else:
            by = np.argsort(codes, kind="stable")
            plain, codes = plain.iloc[by].reset_index(drop=True), codes[by]
        cells, usable = self.way.back(plain)
        key = self.schema.sequence.key if self.schema.sequence is not None else KEY
        return cells | {key: pd.Series(pd.factorize(codes)[0].astype("int64"))}, usable

    def _spread(self, place: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """The order of rows, sorted within their sequences, inside its range.

        Ties are moved apart by single steps where the table has none.
        """
        column = next(c for c in self.way.columns if c.name == self.order)
        low, high = (column.low - column.origin) / column.unit, (column.high - column.origin) / column.unit
        place = np.clip(place, low, high)
        if not (self.apart and column.whole):
            return place
        rows = pd.Series(np.rint(place)).groupby(codes)
        number, length = rows.cumcount().to_numpy(), rows.transform("size").to_numpy()
        upward = (pd.Series(np.rint(place)) - number).groupby(codes).cummax().to_numpy()
        return np.asarray(np.maximum(np.minimum(upward, high - (length - 1)) + number, low))


def _still(series: pd.Series, codes: np.ndarray) -> bool:
    """Whether a column is the same in all rows of each sequence, missing cells too."""
    values, _ = pd.factorize(series, use_na_sentinel=False)
    pairs = np.unique(np.column_stack([codes, values]), axis=0)
    return len(pairs) == len(np.unique(codes))


class ForeignSeries(Foreign):
    """A plugin that learns sequences.

    It draws whole sequences until there are as many rows as asked for, and the last one is cut there.
    """

    sequences = True
    unit = "sequences"

    def _check(self, schema: Schema) -> None:
        if schema.sequence is None:
            raise FitError(
                "it learns sequences, and no sequence key is named.", where=f"method {self.info.name}",
                do="Name the column that says which sequence a row belongs to, and the one they are in order of: "
                "--sequence KEY,ORDER, or `sequence: {key: KEY, order: ORDER}` in the schema file.",
            )

    def _learn_way(self, table: pd.DataFrame, schema: Schema) -> Sequences:
        if len(np.unique(sequence_codes(table, schema))) == len(table):
            raise FitError("no sequence has two rows.", do="Choose the column that rows of a sequence share.")
        return Sequences.learn(table, schema, support=self.label_support)

    def _request(self, way: Any, schema: Schema, rng: np.random.Generator) -> dict[str, Any]:
        told = super()._request(way, schema, rng)
        return told | {"sequence": KEY, "order": way.order, "static": list(way.static)}

    def _again(self, lack: int, asked: int, have: int) -> int:
        # a plugin whose sequences come out short gives fewer rows than it is asked for, every time
        short = min(max(asked / max(have, 1), 1.0), _MOST_AGAIN)
        return int(super()._again(lack, asked, have) * short)

    def _rules(self) -> tuple[str, ...]:
        return (*super()._rules(), "How long sequences are goes over as it is.")

    @staticmethod
    def _joined(
        parts: list[dict[str, pd.Series]], n: int, schema: Schema, rng: np.random.Generator
    ) -> pd.DataFrame:
        table = Foreign._joined(parts, n, schema, rng)
        key = schema.sequence.key if schema.sequence is not None else KEY
        numbers, before = [np.empty(0, dtype="int64")], 0
        for part in parts:
            own = part[key].to_numpy()
            numbers.append(own + before)
            before += len(np.unique(own))
        codes = np.concatenate(numbers)[:n]
        pattern = schema[key].identifier
        if pattern is not None:
            keys = fresh(pattern, len(np.unique(codes)), child(int(rng.integers(2**31)), "key"))
            table[key] = pd.Series(keys[codes], index=table.index, dtype=object)
        return table
