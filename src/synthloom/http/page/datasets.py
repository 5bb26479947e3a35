"""Pages of datasets: give one, see what it is, ask for a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile
from starlette.responses import Response

from synthloom.domain.budget import budget_text
from synthloom.domain.errors import ForbiddenError, InputError, SynthloomError, UnknownNameError, UsageError
from synthloom.domain.plan import Plan, PrivacyLevel
from synthloom.domain.records import DatasetRecord, RunRecord
from synthloom.domain.schema import Kind, Schema, SchemaOverrides
from synthloom.http.auth import CSRF_FIELD, CSRF_HEADER, Caller, check_form
from synthloom.http.page.door import Doer, Fields, ItemId, PageRoute, Seer, check, go, is_htmx
from synthloom.http.page.forms import (
    CHOSEN_KINDS,
    LEVELS,
    RunForm,
    ShownColumn,
    blank,
    labels_to_order,
    of_run,
    read_overrides,
    read_request,
    shown_columns,
)
from synthloom.http.page.look import form_key, render
from synthloom.http.page.params import param_fields
from synthloom.http.parts import home_of, in_child, in_thread, note, service_of
from synthloom.http.routes_datasets import plain_name
from synthloom.registry import Backends, lacking, methods
from synthloom.service.catalog import backend_list, foreign_names

UPLOAD_PATH = "/datasets"
"""Where the page's form sends tables: a body may be large there."""

REFINEMENT_WORDS = {
    "quantile_matching": "Numbers take the training rows' protected quantiles.",
    "jitter": "Nearly continuous values are moved a little, within their range.",
    "categorical_marginals": "As few labels as possible change to match their shares.",
}
LIMIT_WORDS = {
    "KS_MAX": "Difference of single columns.", "CORR_MAX": "Difference of correlations.",
    "MIA_MAX": "Membership attack; 0.5 is a guess.", "DUP_MAX": "Share of copied rows.",
}
_PLACES = {
    "p": "Parameter", "budget": "Time budget", "max_attempts": "Attempts", "holdout": "Holdout share", "name": "Name",
    "dp.epsilon": "ε", "dp.delta": "δ", "dp": "Differential privacy",
}

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True)
class Table:
    """A dataset as its page needs it.

    Attributes:
        record: What is stored.
        found: Its inspection, with free text dropped.
        columns: As the form shows them.
        parent: The run that the form is filled in by, if any.
    """

    record: DatasetRecord
    found: dict[str, Any]
    columns: tuple[ShownColumn, ...]
    parent: RunRecord | None = None

    @property
    def base(self) -> SchemaOverrides | None:
        """What was said about the columns before."""
        return self.parent.overrides if self.parent else None


@router.get("/")
def start(request: Request, caller: Seer) -> Response:
    """Where everything begins."""
    return _start(request, caller)


def _start(request: Request, caller: Caller, *, status: int = 200, error: str = "") -> Response:
    service = service_of(request)
    found = service.ledger.datasets(caller.tenant, limit=8)
    return render(
        request, "start.html.j2", caller, status=status, datasets=found, upload_error=error,
        upload_limit=service.limits.upload_bytes, **recent(request, caller),
    )


def recent(request: Request, caller: Caller) -> dict[str, Any]:
    """The newest runs, and whether any of them may still change."""
    runs = service_of(request).runs(caller.tenant, limit=8).runs
    return {
        "runs": runs, "names": dataset_names(request, caller, runs), "waiting": any(not run.final for run in runs),
    }


@router.get("/recent")
def recent_part(request: Request, caller: Seer) -> Response:
    """The newest runs, for the start page."""
    return render(request, "recent_part.html.j2", caller, **recent(request, caller))


def dataset_names(request: Request, caller: Caller, runs: tuple[RunRecord, ...]) -> dict[str, str]:
    """Filenames of the datasets of runs; those that are gone are left out."""
    wanted, names = {run.dataset_id for run in runs}, {}
    for dataset_id in wanted:
        found = dataset_of(request, caller, dataset_id)
        if found is not None:
            names[dataset_id] = found.filename
    return names


def dataset_of(request: Request, caller: Caller, dataset_id: str) -> DatasetRecord | None:
    """A dataset, or None where it is gone."""
    try:
        return service_of(request).ledger.dataset(caller.tenant, dataset_id)
    except UnknownNameError:
        return None


@router.post(UPLOAD_PATH)
async def upload(request: Request, caller: Doer) -> Response:
    """Take a table."""
    service = service_of(request)
    async with request.form(max_files=1, max_fields=4) as form:
        token = form.get(CSRF_FIELD)
        check_form(request, token if isinstance(token, str) else request.headers.get(CSRF_HEADER))
        part = form.get("file")
        if not isinstance(part, UploadFile) or not part.filename:
            return _refused(request, caller, "Choose a file first.")
        name, kind, file = plain_name(part.filename), part.content_type or "", part.file

        def work() -> DatasetRecord:
            record = service.upload(caller.tenant, file, name, kind)
            note(request, caller, "dataset.create", record.dataset_id, size=record.size)
            return record

        try:
            record = await in_child(request, work)
        except (InputError, UsageError) as error:
            return await in_thread(_refused, request, caller, f"{error.what} {error.do or ''}".strip())
    return go(request, f"/datasets/{record.dataset_id}")


def _refused(request: Request, caller: Caller, told: str) -> Response:
    told = told[:1].upper() + told[1:]
    if is_htmx(request):
        return render(request, "upload_error.html.j2", caller, status=422, upload_error=told)
    return _start(request, caller, status=422, error=told)


@router.post("/datasets/example")
async def example(request: Request, caller: Doer, form: Fields) -> Response:
    """Take the clinical table that comes with a dependency."""
    check(request, form)

    def work() -> DatasetRecord:
        import io

        from lifelines.datasets import load_gbsg2

        content = load_gbsg2().to_csv(index=False).encode()
        record = service_of(request).upload(caller.tenant, io.BytesIO(content), "gbsg2.csv", "text/csv")
        note(request, caller, "dataset.create", record.dataset_id, size=record.size)
        return record

    record = await in_child(request, work)
    return go(request, f"/datasets/{record.dataset_id}")


@router.post("/datasets/{dataset_id}/delete")
def delete(request: Request, caller: Doer, dataset_id: ItemId, form: Fields) -> Response:
    """Forget a dataset."""
    check(request, form)
    service_of(request).delete_dataset(caller.tenant, dataset_id)
    note(request, caller, "dataset.delete", dataset_id)
    return go(request, "/")


@router.get("/datasets/{dataset_id}")
async def dataset(request: Request, caller: Seer, dataset_id: ItemId) -> Response:
    """A dataset; what its columns are is read afterwards, as that may take a while."""
    record = await in_thread(service_of(request).ledger.dataset, caller.tenant, dataset_id)
    if request.query_params.get("now"):
        return await _shown(request, caller, record, "dataset.html.j2")
    runs = await in_thread(service_of(request).runs, caller.tenant, dataset_id=dataset_id, limit=1)
    given = request.query_params.get("from")
    return render(
        request, "dataset.html.j2", caller, dataset=record, runs=runs.runs, form=None, problem=None,
        query=urlencode({"from": given}) if given else "",
    )


@router.get("/datasets/{dataset_id}/form")
async def dataset_form(request: Request, caller: Seer, dataset_id: ItemId) -> Response:
    """The form of a dataset's run."""
    record = await in_thread(service_of(request).ledger.dataset, caller.tenant, dataset_id)
    return await _shown(request, caller, record, "dataset_form_part.html.j2")


async def _shown(request: Request, caller: Caller, record: DatasetRecord, template: str) -> Response:
    try:
        table = await _table(request, caller, record, request.query_params.get("from"))
    except InputError as error:
        return render(
            request, template, caller, dataset=record, problem=error, form=None, runs=(), query="",
        )
    settings = home_of(request).settings
    backends = service_of(request).backends
    form = of_run(table.columns, table.parent, backends) if table.parent else blank(table.columns, settings)
    return render(request, template, caller, **_desk(request, table, form))


async def _table(request: Request, caller: Caller, record: DatasetRecord, parent: str | None) -> Table:
    service = service_of(request)
    run = await in_thread(service.show, caller.tenant, parent) if parent else None
    if run is not None and run.dataset_id != record.dataset_id:
        raise UsageError("that run is of another dataset.", do="Begin with its own.")
    found = await in_child(
        request, service.inspect, caller.tenant, record.dataset_id, SchemaOverrides(free_text="drop")
    )
    return Table(record, found, shown_columns(found), run)


@router.post("/datasets/{dataset_id}/check")
async def checked(request: Request, caller: Seer, dataset_id: ItemId, form: Fields) -> Response:
    """What a run would begin with, by what stands in the form now; nothing is kept."""
    check(request, form)
    service = service_of(request)
    record = await in_thread(service.ledger.dataset, caller.tenant, dataset_id)
    table = await _table(request, caller, record, form.text("parent") or None)
    overrides = read_overrides(form, table.columns, table.base)
    read_request(form, home_of(request).settings, service.backends)
    found = table.found
    if not form.errors:
        try:
            found = await in_child(request, service.inspect, caller.tenant, dataset_id, overrides)
        except SynthloomError as error:
            form.blame(error, table.columns)
    context = _desk(request, table, form, found)
    context["params_shown"] = form.text("shown") == context["shown"]
    return render(request, "checked.html.j2", caller, **context)


@router.post("/datasets/{dataset_id}/runs")
async def submit(request: Request, caller: Doer, dataset_id: ItemId, form: Fields) -> Response:
    """Queue a run; the form comes back with everything typed where something is wrong."""
    service = service_of(request)
    record = await in_thread(service.ledger.dataset, caller.tenant, dataset_id)
    table = await _table(request, caller, record, form.text("parent") or None)
    try:
        check(request, form)
    except ForbiddenError as error:  # such as after a restart: what was typed is not lost for it
        form.errors["form"] = f"{error.what} Look it over and send it again.".capitalize()
        return render(request, "dataset.html.j2", caller, status=403, **_desk(request, table, form))
    overrides = read_overrides(form, table.columns, table.base)
    asked = read_request(form, home_of(request).settings, service.backends)
    name = form.text("name").strip()
    if len(name) > 200:
        form.errors["name"] = "It may have at most 200 characters."
    if asked is not None and not form.errors:
        try:
            await in_child(request, service.inspect, caller.tenant, dataset_id, overrides)  # what it would stumble over
            run = await in_thread(
                service.submit, caller.tenant, dataset_id, asked, name=name, overrides=overrides,
                reuse_model=not form.has("fresh"), parent=form.text("parent") or None,
                idempotency_key=_once(form),
            )
        except SynthloomError as error:
            if error.http_status >= 500 and error.code != "missing_dependency":
                raise
            form.blame(error, table.columns)
        else:
            await in_thread(note, request, caller, "run.create", run.run_id)
            return go(request, f"/runs/{run.run_id}")
    return render(request, "dataset.html.j2", caller, status=422, **_desk(request, table, form))


def _once(form: RunForm) -> str | None:
    """The same form sent twice is one run; the same page sent with something else in it is another."""
    import hashlib

    token = form.text("once")
    if not token:
        return None
    typed = sorted((k, v) for k, v in form.values.items() if k not in (CSRF_FIELD, "once"))
    return f"page-{hashlib.sha256(repr((token, typed)).encode()).hexdigest()[:40]}"


def _desk(request: Request, table: Table, form: RunForm, found: dict[str, Any] | None = None) -> dict[str, Any]:
    """Everything that the form shows."""
    settings = home_of(request).settings
    usable = methods()
    shown = found or table.found
    plan, told = _plan(request, form, shown)
    return {
        "dataset": table.record, "runs": (), "parent": table.parent, "problem": None, "query": "", "form": form,
        "columns": table.columns, "kinds": [k.value for k in Kind], "shown_kinds": [k.value for k in CHOSEN_KINDS],
        "orders": _orders(form, table, shown), "notices": table.found["notices"],
        "places": _places(table.columns), "once": form_key(), "plan": plan, "plan_error": told,
        "rows": table.found["rows"], "methods": {
            name: {"title": m.info.title, "missing": (lacking(m) or _NOTHING).do or ""} for name, m in usable.items()
        },
        "budget_hint": f"{budget_text(settings.budget) if settings.budget else 'no limit'} for automatic",
        "refinements": REFINEMENT_WORDS, "thresholds": settings.thresholds, "limit_help": LIMIT_WORDS,
        "attempts": settings.max_attempts, "holdout": f"{settings.holdout:g}" if settings.holdout else "a fifth",
        "advanced": any(form.error(n) for n in ("max_attempts", "holdout")) or any(
            form.error(f"limit.{t.name}") for t in settings.thresholds
        ) or form.has("fresh"),
        "backends": [b for b in backend_list(service_of(request).backends) if b["available"]],
        "others": foreign_names(service_of(request).backends),
        **_param_view(form, service_of(request).backends),
    }


_NOTHING = SynthloomError("", do="")


def _param_view(form: RunForm, backends: Backends | None) -> dict[str, Any]:
    usable = methods()
    try:
        chosen = form.method(backends)
    except SynthloomError:  # what is wrong with it stands beside it
        chosen = None
    level: PrivacyLevel = next((known for known in LEVELS if known == form.text("privacy")), "default")
    fields = param_fields(chosen, level) if chosen else ()
    backend = form.text("backend") or "auto"
    return {
        "fields": fields, "param_names": [f"p.{f.name}" for f in fields],
        "shown": f"{form.text('method')}/{backend}/{level}",
        "method_info": chosen.info if chosen else None,
        "dp_offered": chosen.info.dp if chosen else any(m.info.dp for m in usable.values()),
    }


def _plan(request: Request, form: RunForm, found: dict[str, Any]) -> tuple[Plan | None, str]:
    """What a run would begin with, or why there is no saying."""
    from synthloom.planning.race import outlook

    quiet = RunForm(form.values)
    asked = read_request(quiet, home_of(request).settings, service_of(request).backends)
    if form.errors or asked is None:
        return None, next(iter((form.errors or quiet.errors).values()), "")
    try:
        return outlook(Schema.model_validate(found["schema"]), found["rows"], asked), ""
    except SynthloomError as error:
        return None, error.text()


def _orders(form: RunForm, table: Table, found: dict[str, Any]) -> dict[int, tuple[str, ...]]:
    """Labels to put in order, of columns that a person has said are ordered and that were not by themselves."""
    schema = Schema.model_validate(found["schema"])
    return {
        c.index: labels for c in table.columns
        if form.text(f"c{c.index}.kind") == Kind.ORDERED and not c.labels and c.name in schema.names
        and (labels := labels_to_order(schema[c.name], found["rows"]))
    }


def _places(columns: tuple[ShownColumn, ...]) -> dict[str, str]:
    """What fields are called in the summary of errors."""
    return _PLACES | {f"c{c.index}": c.name for c in columns}
