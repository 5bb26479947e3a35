"""`synthloom schema`: the JSON Schemas of the schema file and of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthloom.cli import options as opt
from synthloom.cli.output import Answer
from synthloom.domain.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

_WHICH = ("file", "report")


def schema(
    which: Annotated[
        str, typer.Argument(metavar="file|report", help="The schema file given to --schema, or report.json."),
    ] = "file",
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """Print the JSON Schema of a schema file or of report.json."""
    if which not in _WHICH:
        raise UsageError(f"there is no schema called {which!r}.", do=f"Choose one of: {', '.join(_WHICH)}.")
    document = _load(which)

    def show(console: Console) -> None:
        import json as codec

        console.out(codec.dumps(document, indent=2, ensure_ascii=False), highlight=False)

    return Answer(result={"which": which, "json_schema": document}, show=show)


def _load(which: str) -> dict[str, Any]:
    if which == "report":
        from synthloom.reports.render import report_json_schema

        return report_json_schema()
    from synthloom.tables.schema_file import schema_file_json_schema

    return schema_file_json_schema()
