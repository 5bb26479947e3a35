"""Schema files: read, written, described."""

from __future__ import annotations

import json
from pathlib import Path

import hypothesis.strategies as st
import jsonschema
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from synthloom.domain.errors import SchemaError
from synthloom.domain.event import Event, Notice
from synthloom.domain.schema import Column, ColumnOverride, FileFormat, Kind, Schema, SchemaOverrides, SurvivalColumns
from synthloom.tables.infer import frame_to_raw, infer_schema
from synthloom.tables.raw import RawTable
from synthloom.tables.schema_file import dump_overrides, load_overrides, schema_file_json_schema

WHOLE = b"""
version: 1
free_text: drop
target: grade
survival: {time: days, event: died}
columns:
  days: {kind: integer, lower: 0, upper: 9999, missing: [-999]}
  grade:
    kind: ordered
    categories: [no, 01, 2020-01-01, "null"]
  born: {kind: date, lower: 1900-01-01, format: "%d/%m/%Y", sensitive: yes}
  seen: {timezone: Europe/Berlin}
  rate: {precision: 2}
  notes: {drop: true}
  died:
"""


def test_everything_that_can_be_said() -> None:
    said = load_overrides(WHOLE)
    assert said.target == "grade"
    assert said.survival == SurvivalColumns(time="days", event="died")
    assert said.free_text == "drop"
    assert said.columns["days"] == ColumnOverride(kind=Kind.INTEGER, lower="0", upper="9999", missing=("-999",))
    assert said.columns["grade"].categories == ("no", "01", "2020-01-01", "null")
    assert said.columns["born"].lower == "1900-01-01"
    assert said.columns["born"].sensitive
    assert said.columns["rate"].precision == 2
    assert said.columns["notes"].drop
    assert said.columns["died"] == ColumnOverride()


def test_json_is_read_too_and_both_from_a_path(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text(json.dumps({"version": 1, "columns": {"a": {"kind": "integer", "drop": False, "lower": 0.5}}}))
    same = b"columns: {a: {kind: integer, lower: 0.5}}"
    assert load_overrides(path) == load_overrides(str(path)) == load_overrides(same)
    assert load_overrides(b"") == SchemaOverrides()
    assert load_overrides("\ufefftarget: a".encode()) == SchemaOverrides(target="a")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"columns: {age: {kindd: integer}}", ["columns.age.kindd", "did you mean 'kind'"]),
        (b"column: {}", ["'column'", "did you mean 'columns'"]),
        (b"columns: {age: {kind: int}}", ["columns.age.kind", "'int'", "integer"]),
        (b"columns: {age: {precision: x}}", ["columns.age.precision", "'x'"]),
        (b"columns: {age: {categories: [a, null]}}", ["columns.age.categories.1", "quotes"]),
        (b"columns: {age: 5}", ["columns.age", "mapping"]),
        (b"columns: 5", ["columns", "mapping"]),
        (b"survival: {time: t}", ["survival.event is missing"]),
        (b"free_text: keep", ["free_text", "'keep'", "refuse"]),
        (b"version: 2", ["version", "1"]),
        (b"- a", ["mapping"]),
        (b"columns:\n  a: {}\n  a: {}", ["line 3", "'a' stands twice"]),
        (b"columns: [", ["line 1"]),
        (b"x: \xff", ["byte 3", "UTF-8"]),
        (b"? [a]\n: b", ["line 1", "name"]),
        (b"x: \x00", ["YAML"]),
        (b"[" * 5000, ["YAML"]),
        (b"x" * 5_000_000, ["4,000,000 bytes"]),
    ],
)
def test_what_is_wrong_is_named(content: bytes, words: list[str]) -> None:
    with pytest.raises(SchemaError) as caught:
        load_overrides(content)
    for word in words:
        assert word in str(caught.value)


def test_a_path_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(SchemaError, match=path.name):
            load_overrides(path)


def test_nothing_in_a_file_runs() -> None:
    with pytest.raises(SchemaError):
        load_overrides(b"!!python/object/apply:os.system ['true']")


def test_the_published_json_schema_holds_for_good_files_and_not_for_bad_ones() -> None:
    schema = schema_file_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    good = {"version": 1, "columns": {"a": {"kind": "ordered", "categories": ["x", 1], "lower": "2020-01-01"}}}
    jsonschema.validate(good, schema)
    for bad in ({"column": {}}, {"columns": {"a": {"kind": "int"}}}, {"columns": {"a": {"precision": -1}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)


def facts(schema: Schema) -> list[dict[str, object]]:
    return [c.model_dump(exclude={"reason"}) for c in schema]


def everything() -> RawTable:
    columns = {
        "whole": ["1", "2", "-7", "NA"],
        "price": ["$1,200.50", "$3.00", "", "$4.25"],
        "yes or no": ["Yes", "No", "No", "?"],
        "size": ["low", "high", "medium", "low"],
        "null": ["a", "b", "?", "a"],
        "day": ["13/02/2020", "01/02/2020", "02/02/2020", ""],
        "doubt": ["03/02/2020", "01/02/2020", "02/02/2020", ""],
        "when": ["2020-01-31 12:00:00+02:00", "2020-01-31 12:00:01+02:00", "", ""],
        "span": ["01:30:00", "26:00:10", "00:00:00", ""],
        "id": ["P001", "P002", "P003", "P004"],
        "same": ["x", "x", "", "x"],
        "none": ["", "", "", ""],
        "code": ["01067", "99084", "01067", ""],
        "Zeit: \"ä\" #1": ["0", "1", "1", "0"],
    }
    frame = pd.DataFrame({k: pd.array(v, dtype="string[pyarrow]") for k, v in columns.items()})
    return RawTable(frame, FileFormat(container="csv"), "t.csv", "0" * 64)


def test_a_dumped_file_given_back_leads_to_the_same_schema_and_no_doubt() -> None:
    raw = everything()
    first = infer_schema(raw, SchemaOverrides(
        target="size", survival=SurvivalColumns(time="whole", event="yes or no"),
        columns={
            "whole": ColumnOverride(lower=-10, upper=99.5, missing=("NA",)), "null": ColumnOverride(sensitive=True),
            "day": ColumnOverride(lower="2020-01-01"), "span": ColumnOverride(upper=1e6),
            "when": ColumnOverride(upper="2021-01-01T00:00:00"), "same": ColumnOverride(drop=True),
        },
    ))
    text = dump_overrides(first)
    events: list[Event] = []
    second = infer_schema(raw, load_overrides(text.encode()), events.append)
    assert facts(second) == facts(first)
    assert (second.target, second.survival, second.dropped) == (first.target, first.survival, first.dropped)
    assert "ambiguous_date" not in [e.code for e in events if isinstance(e, Notice)]
    for column in first:
        assert column.reason in text


def test_a_dumped_file_drops_no_text_that_nobody_spoke_of() -> None:
    said = load_overrides(dump_overrides(infer_schema(everything())).encode())
    assert said.free_text == "refuse"


def test_a_dumped_file_satisfies_the_published_schema() -> None:
    text = dump_overrides(infer_schema(everything()))
    jsonschema.validate(yaml.safe_load(text), schema_file_json_schema())


def test_a_frames_schema_comes_back_too() -> None:
    frame = pd.DataFrame({
        "i": [1, 5, 9], "f": [0.5, None, 1.25], "b": [True, False, True], "s": ["a", "b", "a"],
        "t": pd.date_range("2020-01-01", periods=3, freq="37min", tz="Europe/Berlin"),
        "d": pd.date_range("2020-01-01", periods=3), "g": pd.to_timedelta(["1h", "2h", None]),
        "c": pd.Categorical(["x", "y", "x"], ["y", "x", "w"], ordered=True), "n": [7, 7, 7], "e": [None] * 3,
    })
    raw = frame_to_raw(frame)
    first = infer_schema(raw)
    assert facts(infer_schema(raw, load_overrides(dump_overrides(first).encode()))) == facts(first)


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, st.lists(NAMES, min_size=2, max_size=5, unique=True), min_size=1, max_size=4))
def test_any_name_and_label_survives_the_file(labels: dict[str, list[str]]) -> None:
    columns = tuple(
        Column(name=name, kind=Kind.ORDERED, reason="said", categories=tuple(words)) for name, words in labels.items()
    )
    said = load_overrides(dump_overrides(Schema(columns=columns, target=columns[0].name)).encode())
    assert {name: list(c.categories or ()) for name, c in said.columns.items()} == labels
    assert said.target == columns[0].name


def test_long_lists_of_labels_are_left_to_inference() -> None:
    words = [f"label {i // 2}" for i in range(1000)]
    raw = frame_to_raw(pd.DataFrame({"x": words, "y": [1, 2, 3, 5] * 250}))
    schema = infer_schema(raw)
    text = dump_overrides(schema)
    assert "label 7" not in text
    assert facts(infer_schema(raw, load_overrides(text.encode()))) == facts(schema)
