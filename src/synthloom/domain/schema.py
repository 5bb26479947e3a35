"""What each column is, and why we think so."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from synthloom.domain.errors import SchemaError, UnknownNameError


class Kind(StrEnum):
    """What a column is. The dtype of each in a canonical table stands in `tables/canonical.py`."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    CATEGORY = "category"
    ORDERED = "ordered"  # categories with an order
    DATE = "date"
    TIMESTAMP = "timestamp"
    DURATION = "duration"
    IDENTIFIER = "identifier"  # unique per row: regenerated, never copied
    TEXT = "text"  # free text: refused or dropped, by choice
    CONSTANT = "constant"  # one value in every filled cell
    EMPTY = "empty"  # no filled cell at all

    @property
    def is_numeric(self) -> bool:
        """Whether values live on a line (numbers, times), so that distance and order mean something."""
        return self in NUMERIC_KINDS

    @property
    def is_discrete(self) -> bool:
        """Whether values are labels out of a list."""
        return self in DISCRETE_KINDS

    @property
    def is_modelled(self) -> bool:
        """Whether a method learns this column (the others are regenerated, repeated or left empty)."""
        return self in NUMERIC_KINDS or self in DISCRETE_KINDS


NUMERIC_KINDS = frozenset({Kind.INTEGER, Kind.DECIMAL, Kind.DATE, Kind.TIMESTAMP, Kind.DURATION})
DISCRETE_KINDS = frozenset({Kind.BOOLEAN, Kind.CATEGORY, Kind.ORDERED})


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TextFormat(_Frozen):
    """How a column's cells were spelt in a text file, so that the synthetic file spells them the same way."""

    missing: str = Field("", description="How a missing cell is spelt (the most frequent spelling).")
    also_missing: tuple[str, ...] = Field((), description="Further spellings a person declared to mean missing.")
    decimals: int | None = Field(
        None, description="Digits always shown after the decimal mark; None: as many as needed."
    )
    exponent: bool = Field(False, description="Very small and large numbers are written like 1e-07.")
    exponent_mark: Literal["e", "E"] = "e"
    mantissa: int | None = Field(
        None, ge=0, le=17, description="Every number has an exponent, and so many digits after the mark."
    )
    decimal_mark: Literal[".", ","] = "."
    thousands_mark: Literal["", ",", ".", " ", "'", "\u00a0", "\u202f"] = ""
    prefix: str = Field("", description="Text before every number, such as a currency sign.")
    suffix: str = Field("", description="Text after every number, such as a percent sign.")
    zero_pad: int | None = Field(None, description="Total digits an integer is padded to with zeros.")
    true_word: str = "True"
    false_word: str = "False"
    datetime_format: str | None = Field(None, description="strftime pattern; %f stands for `fraction_digits` digits.")
    fraction_digits: int = Field(0, ge=0, le=9, description="Digits of a second's fraction.")
    duration_style: Literal["clock", "clock_minutes", "days_clock", "iso8601"] = "clock"
    duration_units: str = Field(
        "", pattern="^D?H?M?S?$", description="Units that an ISO 8601 duration is written with even when they are zero."
    )


class IdentifierPattern(_Frozen):
    """How to make fresh identifiers: never one that was in the table."""

    style: Literal["sequence", "uuid", "pattern"] = "sequence"
    template: str = Field(
        "", description="For pattern: literal text, with 9 for a digit, A and a for letters, \\ to escape."
    )
    start: int = Field(1, description="For sequence: the first number.")
    width: int = Field(0, description="For sequence: zero-padded to this many digits.")
    prefix: str = ""


class Column(_Frozen):
    """One column: its kind, what may stand in it, and how it was written."""

    name: str
    kind: Kind
    reason: str = Field(description="Why this kind, in one plain sentence.")
    missing_rate: float = Field(0.0, ge=0, le=1, description="Share of missing cells.")
    n_unique: int = Field(0, ge=0, description="Distinct filled values.")
    precision: int | None = Field(None, description="Decimal places a decimal is rounded to; None: full precision.")
    lower: float | None = Field(None, description="Declared lower bound; times as POSIX seconds. None: learnt.")
    upper: float | None = Field(None, description="Declared upper bound, likewise.")
    categories: tuple[str, ...] = Field(
        (), description="Labels of a boolean (false, true), category, ordered or constant column."
    )
    label_type: Literal["string", "integer", "decimal", "boolean"] = Field(
        "string", description="What a label was in the source."
    )
    timezone: str | None = Field(None, description="IANA zone or ±HH:MM of a timestamp column; None: no zone.")
    sensitive: bool = Field(False, description="Marked as sensitive: watched by privacy and fairness metrics.")
    dtype: str | None = Field(None, description="pandas dtype of the source column when it came as a frame.")
    text: TextFormat = TextFormat()
    identifier: IdentifierPattern | None = None

    @model_validator(mode="after")
    def _check(self) -> Column:
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise SchemaError(
                f"lower bound {self.lower} is above upper bound {self.upper}.",
                where=f"column {self.name!r}", do="Swap them or drop one.",
            )
        if self.kind is Kind.IDENTIFIER and self.identifier is None:
            raise SchemaError("an identifier column needs an identifier pattern.", where=f"column {self.name!r}")
        return self


class SurvivalColumns(_Frozen):
    """The two columns that make a table a survival table."""

    time: str
    event: str


class SequenceColumns(_Frozen):
    """What makes rows belong together as one sequence, and in which order they stand there."""

    key: str = Field(description="The column that says which sequence a row belongs to; its cells are made afresh.")
    order: str | None = Field(
        None, description="The number or time that rows of a sequence are in order of; none: as they stand."
    )


def roles_of(
    target: str | None, survival: SurvivalColumns | None, sequence: SequenceColumns | None
) -> dict[str, str]:
    """The columns that have a role in a table, by role: `target`, `survival.time`, … → name."""
    roles = {"target": target}
    if survival is not None:
        roles |= {"survival.time": survival.time, "survival.event": survival.event}
    if sequence is not None:
        roles |= {"sequence.key": sequence.key, "sequence.order": sequence.order}
    return {role: name for role, name in roles.items() if name is not None}


class FileFormat(_Frozen):
    """How the file around the cells was written."""

    container: Literal["csv", "parquet", "excel", "frame"] = "frame"
    delimiter: str = ","
    quote: str = '"'
    quote_all: bool = False
    encoding: str = "utf-8"
    byte_order_mark: bool = False
    line_end: Literal["\n", "\r\n", "\r"] = "\n"
    compression: Literal["none", "gzip"] = "none"


class Schema(_Frozen):
    """All columns of a dataset in their order, and what the table is for."""

    version: Literal[1] = 1
    columns: tuple[Column, ...]
    dropped: tuple[str, ...] = Field((), description="Columns of the source that are left out, by choice.")
    target: str | None = Field(None, description="The column a model would predict.")
    survival: SurvivalColumns | None = None
    sequence: SequenceColumns | None = None
    file: FileFormat = FileFormat()

    @model_validator(mode="after")
    def _check(self) -> Schema:
        names = self.names
        if len(set(names)) != len(names):
            twice = sorted({n for n in names if names.count(n) > 1})
            raise SchemaError(f"column names stand twice: {', '.join(twice)}.", do="Give every column its own name.")
        roles = roles_of(self.target, self.survival, self.sequence)
        for role, name in roles.items():
            if name not in names:
                raise UnknownNameError(
                    f"{role} names the column {name!r}, which the table does not have.",
                    do=f"Choose one of: {', '.join(names[:20])}.",
                )
        if self.sequence is not None:
            key = self.sequence.key
            other = next((role for role, name in roles.items() if name == key and role != "sequence.key"), None)
            if other is not None:
                raise SchemaError(
                    f"sequence.key and {other} are the same column, {key!r}.",
                    do="Choose another one: the key's cells are made afresh and mean nothing.",
                )
        return self

    def __iter__(self) -> Iterator[Column]:  # type: ignore[override]  # iterating a schema means its columns
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise UnknownNameError(f"no column is called {name!r}.", do=f"Choose one of: {', '.join(self.names[:20])}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(c.name for c in self.columns)

    @property
    def modelled(self) -> tuple[Column, ...]:
        """The columns that a method learns."""
        return tuple(c for c in self.columns if c.kind.is_modelled)


class ColumnOverride(_Frozen):
    """What a person says about one column; it overrides anything inferred."""

    kind: Kind | None = None
    lower: float | str | None = Field(None, description="Lower bound; a date or timestamp as ISO 8601 text.")
    upper: float | str | None = Field(None, description="Upper bound, likewise.")
    categories: tuple[str, ...] | None = Field(None, description="The labels that may occur, in order for `ordered`.")
    precision: int | None = Field(None, ge=0, le=15)
    timezone: str | None = None
    format: str | None = Field(None, description="strftime pattern of a date or timestamp written as text.")
    missing: tuple[str, ...] = Field((), description="Further spellings that mean a missing cell, such as -999.")
    sensitive: bool | None = None
    drop: bool = False


class SchemaOverrides(_Frozen):
    """The content of a schema file (YAML or JSON)."""

    version: Literal[1] = 1
    columns: dict[str, ColumnOverride] = Field(default_factory=dict)
    target: str | None = None
    survival: SurvivalColumns | None = None
    sequence: SequenceColumns | None = None
    free_text: Annotated[
        Literal["refuse", "drop"], Field(description="What to do with columns of free text.")
    ] = "refuse"
