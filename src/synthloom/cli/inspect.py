"""`synthloom inspect`: what a table's columns are, why, and what a run would do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthloom.cli import options as opt
from synthloom.cli.output import Answer, printable
from synthloom.cli.progress import make_display
from synthloom.cli.work import perform
from synthloom.domain.event import Cancelled, Emit
from synthloom.domain.schema import roles_of
from synthloom.wiring import backends, local_home, settings

if TYPE_CHECKING:
    from rich.console import Console

    from synthloom.domain.schema import Column, Schema
    from synthloom.service import Inspection

_STEPS = ("read", "infer", "plan")


def inspect(
    table: opt.TableArgument,
    target: opt.TargetOption = None,
    survival: opt.SurvivalOption = None,
    sequence: opt.SequenceOption = None,
    schema: opt.SchemaOption = None,
    method: opt.MethodOption = "auto",
    backend: opt.BackendOption = "auto",
    privacy: opt.PrivacyOption = None,
    budget: opt.BudgetOption = None,
    drop_text: opt.DropTextOption = False,
    write_schema: Annotated[
        Path | None,
        typer.Option("--write-schema", metavar="FILE", help="Write a schema file to edit and give to --schema."),
    ] = None,
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """Show what each column is and why, what is missing, and the plan a run would begin with."""
    from synthloom.service import choose_budget, make_request
    from synthloom.service import inspect as look

    environment = settings()
    request = make_request(
        method=method, backend=backend, privacy=environment.privacy if privacy is None else privacy,
        thresholds=environment.thresholds,
        budget=choose_budget(budget, method, environment.budget, "--budget"),
    )
    opt.survival_pair(survival)
    opt.sequence_pair(sequence)
    source = opt.table_source(table)
    schema_target = opt.output_file(write_schema) if write_schema else None

    home = local_home(schema_target.parent) if schema_target else None

    def job(emit: Emit, cancelled: Cancelled) -> Inspection:
        overrides = opt.schema_overrides(
            schema, target=target, survival=survival, sequence=sequence, drop_text=drop_text,
        )
        found = look(
            source, request, name=opt.table_name(table), overrides=overrides, backends=backends(environment),
            emit=emit, cancelled=cancelled,
        )
        if home is not None and schema_target is not None:
            from synthloom.tables.schema_file import dump_overrides

            home.store.put(f"{home.run_id}/{schema_target.name}", dump_overrides(found.dataset.schema).encode())
        return found

    found = perform(job, make_display(quiet=quiet, steps=_STEPS), home.close if home else lambda: None)
    result = found.as_dict()
    if schema_target is not None:
        result["schema_file"] = str(schema_target)
    return Answer(result=result, show=lambda console: _show(console, found, schema_target), notices=found.notices)


def _show(console: Console, found: Inspection, schema_file: Path | None) -> None:
    from rich.table import Table

    dataset = found.dataset
    console.print(f"{dataset.name}: {len(dataset.frame):,} rows, {len(dataset.schema)} columns")
    console.print()
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for title, justify in (("column", "left"), ("kind", "left"), ("missing", "right"), ("distinct", "right"),
                           ("why", "left")):
        grid.add_column(title, justify=justify, overflow="fold")  # type: ignore[arg-type]  # rich's own literal
    for column in dataset.schema:
        grid.add_row(*_row(column, dataset.schema))
    console.print(grid)
    if dataset.schema.dropped:
        console.print(f"left out: {', '.join(dataset.schema.dropped)}")
    console.print()
    plan = found.plan
    console.print(f"A run would begin with {plan.method}: {plan.reason}")
    for name, value in plan.params.items():
        console.print(f"  {name} = {value}")
    if schema_file is not None:
        console.print(f"Schema file written: {schema_file}")


_WORDS = {
    "target": "target", "survival.time": "time", "survival.event": "event", "sequence.key": "sequence key",
    "sequence.order": "order",
}


def _row(column: Column, schema: Schema) -> tuple[str, str, str, str, str]:
    named = roles_of(schema.target, schema.survival, schema.sequence)
    roles = [_WORDS[role] for role, name in named.items() if name == column.name]
    roles[1 if column.name == schema.target else 0:0] = ["sensitive"] if column.sensitive else []
    kind = f"{column.kind} ({', '.join(roles)})" if roles else str(column.kind)
    missing = f"{column.missing_rate:.1%}" if column.missing_rate else "-"
    return printable(column.name), kind, missing, f"{column.n_unique:,}", printable(column.reason)
