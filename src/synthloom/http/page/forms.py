"""The form that begins a run: what was typed, as a request and overrides of the schema; and back.

Columns are fields by their position (`c0.kind`), not by their name: a name may hold anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import ValidationError

from synthloom.domain.budget import budget_text
from synthloom.domain.errors import SynthloomError, UsageError
from synthloom.domain.plan import PrivacyLevel, Refinement
from synthloom.domain.records import RunRecord
from synthloom.domain.run import DPRequest, RunRequest
from synthloom.domain.schema import (
    Column,
    ColumnOverride,
    Kind,
    Schema,
    SchemaOverrides,
    SequenceColumns,
    SurvivalColumns,
)
from synthloom.http.page.params import read_number, read_params, sentence, typed
from synthloom.methods.synonyms import own_values
from synthloom.registry import AnyMethod, Backends, choose_method
from synthloom.service.requests import choose_budget
from synthloom.settings import Settings

LEVELS: tuple[PrivacyLevel, ...] = get_args(PrivacyLevel)
REFINEMENTS: tuple[Refinement, ...] = get_args(Refinement)
CHOSEN_KINDS = tuple(kind for kind in Kind if kind not in (Kind.CONSTANT, Kind.EMPTY))
"""Kinds a person may choose; a column is constant or empty by what stands in it."""
_ORDER_LABELS = 30
_ORDER_SUPPORT = 10


@dataclass(frozen=True)
class ShownColumn:
    """A column as the form shows it: no cell of it but labels that may be put in order.

    Attributes:
        index: Its position; the fields are `c{index}.…`.
        name: Its name.
        kind: As inferred.
        reason: Why.
        distinct: Distinct values; None where nobody counted (free text).
        missing: Share of missing cells.
        sensitive: As inferred.
        labels: Labels to be put in order; empty where there are none or too many, or they may be rare.
    """

    index: int
    name: str
    kind: Kind
    reason: str
    distinct: int | None = None
    missing: float = 0.0
    sensitive: bool = False
    labels: tuple[str, ...] = ()


def shown_columns(found: Mapping[str, Any]) -> tuple[ShownColumn, ...]:
    """The columns of an inspection that dropped free text: what was kept, then the free text."""
    schema = Schema.model_validate(found["schema"])
    why = {n.get("column"): str(n["message"]).removeprefix("dropped as free text: ") for n in found["notices"]}
    kept = [
        ShownColumn(
            i, c.name, c.kind, c.reason, c.n_unique, c.missing_rate, c.sensitive, labels_to_order(c, found["rows"]),
        )
        for i, c in enumerate(schema)
    ]
    texts = [
        ShownColumn(len(kept) + i, name, Kind.TEXT, why.get(name, "free text")) for i, name in enumerate(schema.dropped)
    ]
    return (*kept, *texts)


def labels_to_order(column: Column, rows: int) -> tuple[str, ...]:
    """The labels of a column that may be shown: few, of many records each on average, on one line each."""
    labels = column.categories
    few = column.kind in (Kind.CATEGORY, Kind.ORDERED) and 2 <= len(labels) <= _ORDER_LABELS
    plain = all(label == " ".join(label.split()) and label for label in labels)
    return labels if few and plain and rows * (1 - column.missing_rate) >= _ORDER_SUPPORT * len(labels) else ()


@dataclass
class RunForm:
    """What stands in the form's fields, and what is wrong with it.

    Attributes:
        values: What was typed, by field; several for groups of boxes.
        errors: What is wrong, by field; under `form` what concerns none.
    """

    values: dict[str, list[str]]
    errors: dict[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """A field's text; empty where nothing was typed."""
        return (self.values.get(name) or [""])[0]

    def has(self, name: str, value: str = "on") -> bool:
        """Whether a box is ticked, or a choice made."""
        return value in self.values.get(name, [])

    def error(self, name: str) -> str:
        """What is wrong with a field; empty where nothing is."""
        return self.errors.get(name, "")

    def params(self) -> dict[str, str]:
        """What was typed for the method's parameters."""
        return {name.removeprefix("p."): self.text(name) for name in self.values if name.startswith("p.")}

    def method(self, backends: Backends | None) -> AnyMethod | None:
        """The method chosen, of the backend that is chosen or comes first; None for auto."""
        name, backend = self.text("method"), self.text("backend") or "auto"
        return None if name in ("", "auto") else choose_method(name, backend, backends=backends).method

    def blame(self, error: SynthloomError, columns: Sequence[ShownColumn]) -> None:
        """Put an error beside the field that it speaks of."""
        told = " ".join(part for part in (error.what, error.do) if part).replace("`", "")
        told = told[:1].upper() + told[1:]
        for column in columns:
            if error.where and f"column {column.name!r}" in error.where:
                self.errors.setdefault(f"c{column.index}", told)
                return
        known = {"budget": "budget", "survival": "survival", "sequence": "sequence", "target": "target"}
        spot = next((name for start, name in known.items() if error.what.startswith(start)), "form")
        if error.code in ("missing_dependency", "unknown_name") and error.where and "method" in error.where:
            spot = "method"
        self.errors.setdefault("dp" if error.code == "privacy" else spot, told)


def blank(columns: Sequence[ShownColumn], settings: Settings) -> RunForm:
    """The form before anybody typed anything."""
    return filled(columns, RunRequest(privacy=settings.privacy), None)


def of_run(columns: Sequence[ShownColumn], run: RunRecord, backends: Backends | None = None) -> RunForm:
    """The form as it stood when a run was made; parameters go by the method's own names."""
    form = filled(columns, run.request, run.overrides)
    try:
        method = form.method(backends)
    except SynthloomError:  # gone since; the form will say so
        method = None
    if method is not None:
        own = own_values(run.request.params, method.Params.model_fields, method.meanings, f"method {method.info.name}")
        kept = {name: value for name, value in form.values.items() if not name.startswith("p.")}
        form.values = kept | {f"p.{name}": [typed(value)] for name, value in own.items()}
    form.values["name"] = [run.name]
    if not run.reuse_model:
        form.values["fresh"] = ["on"]
    return form


def filled(columns: Sequence[ShownColumn], request: RunRequest, overrides: SchemaOverrides | None) -> RunForm:
    """The form that stands for a request and overrides."""
    said = overrides or SchemaOverrides()
    values: dict[str, list[str]] = {
        "method": [request.method], "backend": [request.backend], "privacy": [request.privacy],
        "rows": [typed(request.rows)], "seed": [typed(request.seed)], "holdout": [typed(request.holdout)],
        "budget": [budget_text(request.budget) if request.budget else ""],
        "refinements": list(request.refinements), "target": [_place(columns, said.target)],
    }
    if request != RunRequest():
        values["max_attempts"] = [typed(request.max_attempts)]
        values |= {f"limit.{t.name}": [typed(t.limit)] for t in request.thresholds}
    values |= {f"p.{name}": [typed(value)] for name, value in request.params.items()}
    if request.dp is not None:
        values |= {"dp": ["on"], "dp.epsilon": [typed(request.dp.epsilon)], "dp.delta": [typed(request.dp.delta)]}
        values["dp.strict"] = ["on"] if request.dp.strict else []
    else:
        values["dp.strict"] = ["on"]
    if said.survival is not None:
        values |= {"time": [_place(columns, said.survival.time)], "event": [_place(columns, said.survival.event)]}
    if said.sequence is not None:
        values |= {"key": [_place(columns, said.sequence.key)], "order": [_place(columns, said.sequence.order)]}
    for column in columns:
        values |= _column_values(column, said.columns.get(column.name, ColumnOverride()))
    return RunForm(values)


def _column_values(column: ShownColumn, said: ColumnOverride) -> dict[str, list[str]]:
    field = f"c{column.index}"
    sensitive = column.sensitive if said.sensitive is None else said.sensitive
    values = {f"{field}.kind": [(said.kind or column.kind).value]}
    if sensitive:
        values[f"{field}.sensitive"] = ["on"]
    if said.drop or (column.kind is Kind.TEXT and said.kind is None):
        values[f"{field}.drop"] = ["on"]
    if said.categories and said.kind in (None, Kind.ORDERED):
        values[f"{field}.order"] = ["\n".join(said.categories)]
    return values


def _place(columns: Iterable[ShownColumn], name: str | None) -> str:
    return next((str(c.index) for c in columns if c.name == name), "")


# what was typed, as words of the domain


def read_overrides(form: RunForm, columns: Sequence[ShownColumn], base: SchemaOverrides | None) -> SchemaOverrides:
    """What the form says about the columns; what it does not show (bounds, formats) stays as in `base`.

    Errors go into the form; the answer is then what was understood.
    """
    before = base or SchemaOverrides()
    said: dict[str, ColumnOverride] = {}
    for column in columns:
        override = _read_column(form, column, before.columns.get(column.name, ColumnOverride()))
        if override != ColumnOverride():
            said[column.name] = override
    time, event = (_column(form, name, columns) for name in ("time", "event"))
    if (time is None) != (event is None):
        form.errors["survival"] = "A survival table has both: a column of times and one of events."
    key, order = (_column(form, name, columns) for name in ("key", "order"))
    if order is not None and key is None:
        form.errors["sequence"] = "An order needs a sequence key: the column that says which sequence a row belongs to."
    target = _column(form, "target", columns)
    if target is not None and form.has(f"c{target.index}.drop"):
        form.errors["target"] = "The target is a column that is left out. Keep it, or choose another target."
    survival = SurvivalColumns(time=time.name, event=event.name) if time and event else None
    sequence = SequenceColumns(key=key.name, order=order.name if order else None) if key else None
    return SchemaOverrides(
        columns=said, target=target.name if target else None, survival=survival, sequence=sequence, free_text="drop",
    )


def _read_column(form: RunForm, column: ShownColumn, before: ColumnOverride) -> ColumnOverride:
    spot = f"c{column.index}"
    text = form.text(f"{spot}.kind")
    kind = next((k for k in Kind if k.value == text), column.kind)
    drop = form.has(f"{spot}.drop")
    changes: dict[str, Any] = {"drop": drop, "kind": None if kind is column.kind else kind}
    if before.kind is not None and before.kind is kind:
        changes["kind"] = kind
    ticked = form.has(f"{spot}.sensitive")
    changes["sensitive"] = None if ticked == column.sensitive else ticked
    if kind is Kind.ORDERED and form.text(f"{spot}.order").strip():
        lines = [line.strip() for line in form.text(f"{spot}.order").splitlines() if line.strip()]
        changes["categories"] = tuple(lines) if tuple(lines) != column.labels or kind is not column.kind else None
    elif kind is not (before.kind or column.kind):  # what was said about another kind says nothing about this one
        changes |= {"categories": None, "lower": None, "upper": None, "precision": None, "format": None}
    if kind is Kind.TEXT and not drop:
        form.errors[spot] = (
            "Free text cannot be learnt. Leave the column out, or choose category to keep its cells as labels, or "
            "identifier to make fresh ones."
        )
    return before.model_copy(update=changes)


def _column(form: RunForm, name: str, columns: Sequence[ShownColumn]) -> ShownColumn | None:
    text = form.text(name)
    if not text:
        return None
    if text.isdecimal() and int(text) < len(columns):
        return columns[int(text)]
    form.errors[name] = "Choose one of the columns."
    return None


def read_request(form: RunForm, settings: Settings, backends: Backends | None = None) -> RunRequest | None:
    """What the form asks for; None where it cannot be understood, and the form says why.

    Args:
        form: What was typed.
        settings: Stand in for what was left empty.
        backends: Who may implement methods.
    """
    values: dict[str, Any] = {
        "privacy": form.text("privacy") or settings.privacy, "refinements": tuple(form.values.get("refinements", [])),
        "rows": _number(form, "rows", whole=True), "seed": _number(form, "seed", whole=True),
        "holdout": _number(form, "holdout", whole=False, default=settings.holdout),
        "max_attempts": _number(form, "max_attempts", whole=True, default=settings.max_attempts),
        "budget": _budget(form, settings), "method": form.text("method") or "auto",
        "backend": form.text("backend") or "auto", "dp": _dp(form),
        "thresholds": tuple(
            t.model_copy(update={"limit": _number(form, f"limit.{t.name}", whole=False, default=t.limit)})
            for t in settings.thresholds
        ),
    }
    try:
        method = form.method(backends)
    except SynthloomError as error:
        told = f"{error.what} {error.do or ''}".strip().replace("`", "")
        form.errors["backend" if form.text("backend") not in ("", "auto") else "method"] = told[:1].upper() + told[1:]
        method = None
    if method is not None:
        values["params"], wrong = read_params(method, form.params())
        form.errors |= {f"p.{name}": told for name, told in wrong.items()}
    try:
        request = RunRequest.model_validate({k: v for k, v in values.items() if v is not None})
    except ValidationError as error:
        for item in error.errors(include_url=False):
            form.errors.setdefault(".".join(str(part) for part in item["loc"][:2]) or "form", sentence(item))
        return None
    return None if form.errors else request


def _number(form: RunForm, name: str, *, whole: bool, default: float | None = None) -> float | int | None:
    text = form.text(name).strip()
    if not text:
        return default
    try:
        return read_number(text.replace(",", "") if whole else text, whole=whole)
    except ValueError as error:
        form.errors[name] = str(error)
        return default


def _budget(form: RunForm, settings: Settings) -> float | None:
    text = form.text("budget").strip()
    try:
        return choose_budget(text or None, form.text("method") or "auto", settings.budget)
    except UsageError as error:
        form.errors["budget"] = f"“{text[:40]}” is no time. {error.do or ''}".strip().replace("`", "")
        return None


def _dp(form: RunForm) -> DPRequest | None:
    if not form.has("dp"):
        return None
    epsilon, delta = (_number(form, f"dp.{name}", whole=False) for name in ("epsilon", "delta"))
    if epsilon is None:
        form.errors.setdefault("dp.epsilon", "Differential privacy needs an ε, such as 1.")
        return None
    try:
        return DPRequest(epsilon=epsilon, delta=delta, strict=form.has("dp.strict"))
    except ValidationError as error:
        for item in error.errors(include_url=False):
            form.errors[f"dp.{item['loc'][0]}"] = sentence(item)
        return None
