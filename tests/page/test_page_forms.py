"""The form of a run: what is typed becomes a request and overrides, and comes back as it was."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from synthloom.domain.errors import SchemaError, UnknownNameError
from synthloom.domain.records import RunRecord
from synthloom.domain.run import DPRequest, RunRequest
from synthloom.domain.schema import ColumnOverride, Kind, SchemaOverrides, SequenceColumns, SurvivalColumns
from synthloom.http.page.forms import (
    RunForm,
    ShownColumn,
    blank,
    filled,
    of_run,
    read_overrides,
    read_request,
    shown_columns,
)
from synthloom.http.page.params import param_fields, read_params, typed
from synthloom.registry import methods
from synthloom.service import inspect
from synthloom.settings import Settings

SETTINGS = Settings()
TABLE = "age,grade,city,note,when\n" + "".join(
    f"{20 + i % 50},{['low', 'medium', 'high'][i % 3]},{'AB'[i % 2]},"
    f"{' '.join(['the patient number', str(i), 'was seen again today and felt', 'fine' * (i % 7 + 1)])},"
    f"2024-01-{i % 28 + 1:02}\n"
    for i in range(200)
)


@pytest.fixture(scope="module")
def columns() -> tuple[ShownColumn, ...]:
    found = inspect(TABLE.encode(), RunRequest(), name="t.csv", overrides=SchemaOverrides(free_text="drop"))
    return shown_columns(found.as_dict())


def test_free_text_is_shown_last_as_left_out_with_its_reason(columns: tuple[ShownColumn, ...]) -> None:
    assert [c.name for c in columns] == ["age", "grade", "city", "when", "note"]
    assert columns[-1].kind is Kind.TEXT
    assert columns[-1].reason
    assert "dropped" not in columns[-1].reason
    assert blank(columns, SETTINGS).has("c4.drop")


def test_labels_are_shown_only_where_they_can_be_put_in_order_and_are_not_rare(
    columns: tuple[ShownColumn, ...]
) -> None:
    assert columns[1].labels == ("low", "medium", "high")
    assert columns[0].labels == () == columns[4].labels
    few = inspect(b"a,b\n" + b"".join(b"%d,x%d\n" % (i, i % 5) for i in range(30)), RunRequest()).as_dict()
    assert shown_columns(few)[1].labels == (), "six records each: such a label may be somebody's"


def test_an_untouched_form_overrides_nothing(columns: tuple[ShownColumn, ...]) -> None:
    form = blank(columns, SETTINGS)
    overrides = read_overrides(form, columns, None)
    assert overrides == SchemaOverrides(columns={"note": ColumnOverride(drop=True)}, free_text="drop")
    asked = read_request(form, SETTINGS)
    assert form.errors == {}
    assert asked == RunRequest(thresholds=SETTINGS.thresholds, budget=SETTINGS.budget)


SAID = SchemaOverrides(
    columns={
        "age": ColumnOverride(kind=Kind.DECIMAL, lower=0, sensitive=True),
        "grade": ColumnOverride(categories=("high", "medium", "low")),
        "city": ColumnOverride(kind=Kind.ORDERED, categories=("B", "A")),
        "when": ColumnOverride(drop=True), "note": ColumnOverride(kind=Kind.IDENTIFIER),
    },
    target="age", survival=SurvivalColumns(time="age", event="city"),
    sequence=SequenceColumns(key="note", order="age"), free_text="drop",
)
ASKED = RunRequest(
    method="cart", params={"trees": 3, "shrinkage": 0.25, "order": ["age", "city"]}, rows=50, seed=7, privacy="high",
    refinements=("jitter",), holdout=0.25, max_attempts=2, budget=90, dp=DPRequest(epsilon=0.5, strict=False),
    thresholds=tuple(t.model_copy(update={"limit": 0.3}) for t in SETTINGS.thresholds),
)


def test_what_a_run_was_asked_comes_back_into_the_form_and_out_again(columns: tuple[ShownColumn, ...]) -> None:
    now = datetime.now(UTC)
    run = RunRecord(
        dataset_id="d", run_id="r", request=ASKED, overrides=SAID, created_at=now, not_before=now, name="mine",
        reuse_model=False,
    )
    form = of_run(columns, run)
    assert form.text("name") == "mine"
    assert form.has("fresh")
    assert read_overrides(form, columns, SAID) == SAID
    assert read_request(form, SETTINGS) == ASKED
    assert form.errors == {}


def test_parameters_by_other_names_come_back_under_the_methods_own(columns: tuple[ShownColumn, ...]) -> None:
    now = datetime.now(UTC)
    request = RunRequest(method="ctgan", params={"n_iter": 12, "batch": 64})
    run = RunRecord(dataset_id="d", run_id="r", request=request, created_at=now, not_before=now)
    assert of_run(columns, run).params() == {"epochs": "12", "batch_size": "64"}


def test_bounds_that_the_form_does_not_show_are_kept_until_the_kind_changes(columns: tuple[ShownColumn, ...]) -> None:
    form = filled(columns, ASKED, SAID)
    assert read_overrides(form, columns, SAID).columns["age"].lower == 0
    form.values["c0.kind"] = ["category"]
    changed = read_overrides(form, columns, SAID).columns["age"]
    assert (changed.kind, changed.lower, changed.sensitive) == (Kind.CATEGORY, None, True)


@pytest.mark.parametrize(("field", "text", "told"), [
    ("rows", "0", "1 or more"), ("rows", "many", "no number"), ("rows", "2.5", "no whole number"),
    ("seed", "-1", "0 or more"), ("seed", "nan", "no number to calculate with"), ("holdout", "0.9", "less than 0.9"),
    ("max_attempts", "21", "20 or less"), ("budget", "soon", "no time"), ("privacy", "none", "Choose one of"),
    ("method", "ctgna", "Did you mean ctgan"), ("limit.KS_MAX", "x", "no number"), ("refinements", "polish", "Choose"),
    ("target", "99", "Choose one of the columns"), ("p.trees", "0", "1 or more"), ("p.shrinkage", "1e999", "calculate"),
])
def test_what_is_wrong_is_said_of_its_field(
    columns: tuple[ShownColumn, ...], field: str, text: str, told: str
) -> None:
    form = filled(columns, RunRequest(method="cart"), None)
    form.values[field] = [text]
    read_overrides(form, columns, None)
    assert read_request(form, SETTINGS) is None
    found = {name.split(".0")[0]: said for name, said in form.errors.items()}
    assert told in found[field]
    assert form.text(field) == text


def test_thousands_may_be_typed_as_people_do(columns: tuple[ShownColumn, ...]) -> None:
    form = blank(columns, SETTINGS)
    form.values["rows"] = ["1,250"]
    asked = read_request(form, SETTINGS)
    assert asked is not None
    assert asked.rows == 1250


def test_half_a_survival_table_and_a_target_left_out_are_refused(columns: tuple[ShownColumn, ...]) -> None:
    form = blank(columns, SETTINGS)
    form.values |= {"time": ["0"], "order": ["0"], "target": ["1"], "c1.drop": ["on"], "c4.drop": []}
    read_overrides(form, columns, None)
    assert set(form.errors) == {"survival", "sequence", "target", "c4"}


@pytest.mark.parametrize(("error", "field"), [
    (SchemaError("it is no date.", where="t.csv, column 'grade', line 3"), "c1"),
    (SchemaError("no column is left.", where="t.csv"), "form"),
    (SchemaError("survival.event must be a boolean.", where="somewhere"), "survival"),
    (SchemaError("sequence.order must be a number or a time.", where="somewhere"), "sequence"),
    (UnknownNameError("no method is called 'x'.", where="method x"), "method"),
])
def test_an_error_stands_beside_what_it_speaks_of(
    columns: tuple[ShownColumn, ...], error: SchemaError | UnknownNameError, field: str
) -> None:
    form = RunForm({})
    form.blame(error, columns)
    assert set(form.errors) == {field}


@pytest.mark.parametrize("name", methods())
def test_every_parameter_of_every_method_has_a_field_that_says_what_it_does(name: str) -> None:
    method = methods()[name]
    fields = param_fields(method, "high")
    assert [f.name for f in fields] == list(method.Params.model_fields)
    for field in fields:
        assert field.help
        assert field.kind != "json", "a person should not have to write JSON"
        assert field.kind in ("choice", "list", "switch") or field.bounds
        assert field.default
    high: dict[str, Any] = method.privacy_params("high")
    assert {f.name: f.default for f in fields if f.name in high} == {k: typed(v) for k, v in high.items()}
    defaults = {f.name: f.default for f in fields if f.default != "none"}
    values, wrong = read_params(method, defaults)
    assert wrong == {}
    assert method.make_params(values)
