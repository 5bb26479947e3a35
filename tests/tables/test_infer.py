"""What each column is found to be."""

from __future__ import annotations

import pandas as pd
import pytest

from synthloom.domain.event import Event, Notice
from synthloom.domain.schema import Column, ColumnOverride, FileFormat, Kind, SchemaOverrides
from synthloom.tables.infer import infer_schema
from synthloom.tables.raw import RawTable


def text_table(delimiter: str = ",", **columns: list[str]) -> RawTable:
    frame = pd.DataFrame({k: pd.array(v, dtype="string[pyarrow]") for k, v in columns.items()})
    return RawTable(frame, FileFormat(container="csv", delimiter=delimiter), "table.csv", "0" * 64)


def look(cells: list[str], name: str = "x", delimiter: str = ",", **said: object) -> tuple[Column, list[Notice]]:
    events: list[Event] = []
    overrides = SchemaOverrides(columns={name: ColumnOverride.model_validate(said)}, free_text="drop")
    raw = text_table(delimiter, **{name: cells, "other": ["1.5", "2.25"] * (len(cells) // 2) + ["3"] * (len(cells) % 2)})
    schema = infer_schema(raw, overrides, events.append)
    return schema[name], [e for e in events if isinstance(e, Notice)]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2", "30"], Kind.INTEGER),
        (["-1", "+2", "30"], Kind.INTEGER),
        (["1.0", "2.0", "7.0"], Kind.INTEGER),
        (["1.5", "2", "3"], Kind.DECIMAL),
        (["1e-3", "2", "3"], Kind.DECIMAL),
        (["1,5", "2,25", "3"], Kind.DECIMAL),
        (["$1,200.50", "$3.00", "$4.10"], Kind.DECIMAL),
        (["12%", "15%", "3%"], Kind.INTEGER),
        (["0", "1", "1"], Kind.BOOLEAN),
        (["yes", "no", "no"], Kind.BOOLEAN),
        (["Ja", "Nein", "Nein"], Kind.BOOLEAN),
        (["T", "F", "?"], Kind.BOOLEAN),
        (["red", "green", "red"], Kind.CATEGORY),
        (["?", "green", "red", "red"], Kind.CATEGORY),
        (["low", "high", "medium", "low"], Kind.ORDERED),
        (["18-24", "25-34", "65+", "18-24"], Kind.ORDERED),
        (["01067", "99084", "01067"], Kind.CATEGORY),
        (["2020-01-31", "1999-12-01", "2020-02-29"], Kind.DATE),
        (["31.12.2020", "01.02.2021", "01.02.2021"], Kind.DATE),
        (["3 Jan 2020", "12 Feb 2021", "3 Jan 2020"], Kind.DATE),
        (["2020-01-31T12:00:00Z", "2020-01-31T12:00:01Z"], Kind.TIMESTAMP),
        (["2020-01-31 12:00", "2020-01-31 13:30"], Kind.TIMESTAMP),
        (["01:30:00", "26:00:10", "00:00:00"], Kind.DURATION),
        (["P1DT2H", "PT30M", "PT1.5S"], Kind.DURATION),
        (["1 days 02:03:04", "0 days 00:00:00"], Kind.DURATION),
        (["a", "a", "a"], Kind.CONSTANT),
        (["", "NA", "nan"], Kind.EMPTY),
    ],
)
def test_kind_of_text(cells: list[str], kind: Kind) -> None:
    column, _ = look(cells)
    assert column.kind is kind
    assert column.reason
