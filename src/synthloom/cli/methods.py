"""`synthloom methods`: which methods there are, and their parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthloom.cli import options as opt
from synthloom.cli.output import Answer
from synthloom.wiring import backends, settings

if TYPE_CHECKING:
    from rich.console import Console


def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Only this method; synthcity:adsgan names the backend too."),
    ] = None,
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """List the methods with their parameters, or one of them; and which backends make which, or why not here."""
    from synthloom.service.catalog import all_methods

    listed = all_methods(backends(settings()), name)
    found, missing, others, known = (listed[key] for key in ("methods", "unavailable", "others", "backends"))

    def show(console: Console) -> None:
        for position, method in enumerate(found):
            if position:
                console.print()
            _show(console, method, missing.get(method["name"]))
        for key in missing.keys() - {method["name"] for method in found}:
            console.print(f"\n{key}: cannot be used here. {missing[key]}")
        for backend in known:
            _show_backend(console, backend, [entry for entry in others if entry["backend"] == backend["name"]])

    return Answer(result=listed, show=show)


def _show_backend(console: Console, backend: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    if not entries:
        return
    console.print(Text.assemble(("\nBackend ", ""), (backend["name"], "bold"), f": {backend['title']}"))
    if backend["reason"] is not None:
        console.print(Text.assemble(("  Not available here: ", "bold yellow"), backend["reason"]))
        console.print(Text(f"  Known methods: {', '.join(entry['name'] for entry in entries)}"))
        return
    grid = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for entry in entries:
        told = entry["summary"] if entry["available"] else f"cannot be used here: {entry['reason']}"
        grid.add_row("", Text(f"{entry['backend']}:{entry['name']}"), Text(told))
    console.print(grid)


def _show(console: Console, method: dict[str, Any], missing: str | None) -> None:
    from rich.table import Table
    from rich.text import Text

    also = f" (also {', '.join(method['aliases'])})" if method["aliases"] else ""
    can = {"differential privacy": "dp", "conditions": "conditional", "imputing": "imputes"}
    marks = [word for word, key in can.items() if method[key]]
    console.print(Text.assemble((method["name"], "bold"), also, f": {method['title']}"))
    console.print(Text(f"  {method['summary']}"))
    if marks:
        console.print(Text(f"  Can do: {', '.join(marks)}."))
    if missing is not None:
        console.print(Text.assemble(("  Not available here: ", "bold yellow"), missing))
    elif method["needs"]:
        console.print(Text(f"  Needs: pip install 'synthloom[{method['needs']}]' (installed)"))
    made_by = [who["backend"] for who in method["backends"] if who["available"]]
    if made_by not in ([], ["native"]):
        console.print(Text(f"  Made by: {', '.join(made_by)}"))
    grid = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for part in method["params"]:
        grid.add_row("", Text(part["name"]), Text(f"{part['default']}"), Text(part["description"]))
    if method["params"]:
        console.print(grid)
