"""Fixed cells: a person spells them as the table does."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import pytest

from synthloom.domain.errors import UsageError
from synthloom.domain.schema import Schema
from synthloom.tables.codec import read_table
from synthloom.tables.conditions import read_conditions
from synthloom.tables.infer import infer_schema

GERMAN = (
    "preis;anteil;tag;zeit;dauer;wert;raucher;ort\n"
    + "".join(
        f"1.{i:03d},50 €;{i},5%;{i % 28 + 1:02d}.04.2021;{i % 28 + 1:02d}.04.2021 10:{i % 60:02d};{i % 9}:30;"
        f"{'.' if i % 5 == 0 else f'{i},125'};{('ja', 'nein', '-')[i % 3]};{('Köln', 'Ulm')[i % 2]}\n"
        for i in range(1, 61)
    )
).encode()


@pytest.fixture(scope="module")
def schema() -> Schema:
    return infer_schema(read_table(GERMAN))


@pytest.mark.parametrize(
    ("column", "text", "meant"),
    [
        ("preis", "1.000,50 €", 1000.5), ("preis", "1000,5", 1000.5), ("preis", "1.000", 1000.0),
        ("preis", "1000.5", 1000.5), ("anteil", "5,5%", 5.5), ("anteil", "5,5", 5.5), ("anteil", 5.5, 5.5),
        ("tag", "03.04.2021", pd.Timestamp(2021, 4, 3)), ("tag", "2021-04-03", pd.Timestamp(2021, 4, 3)),
        ("tag", dt.date(2021, 4, 3), pd.Timestamp(2021, 4, 3)),
        ("zeit", "03.04.2021 10:30", pd.Timestamp(2021, 4, 3, 10, 30)),
        ("zeit", "2021-04-03T10:30", pd.Timestamp(2021, 4, 3, 10, 30)),
        ("dauer", "2:30", pd.Timedelta(hours=2, minutes=30)), ("dauer", "0 days 02:30:00", pd.Timedelta("2h30min")),
        ("wert", ".", None), ("wert", None, None), ("raucher", "-", None), ("raucher", "ja", "ja"),
    ],
)
def test_text_is_read_as_the_table_spells_it(column: str, text: Any, meant: Any, schema: Schema) -> None:
    found = read_conditions({column: text}, 3, schema)[column]
    assert len(found) == 3
    assert found.isna().all() if meant is None else (found == meant).all()


@pytest.mark.parametrize(
    ("column", "text", "told"),
    [
        ("tag", "04/03/2021", r"%d\.%m\.%Y"), ("tag", "03.04.2021 10:30", "2024-05-31"), ("preis", "viel", "number"),
        ("raucher", "yes", "nein, ja"), ("ort", "-", "Köln, Ulm"), ("dauer", "lang", "timedelta"),
    ],
)
def test_what_it_cannot_be_is_refused_with_what_it_can(column: str, text: str, told: str, schema: Schema) -> None:
    with pytest.raises(UsageError, match="column") as caught:
        read_conditions({column: text}, 1, schema)
    assert pd.Series([caught.value.text()]).str.contains(told).all()
