"""`synthloom methods`: which methods there are, and their parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthloom.cli import options as opt
from synthloom.cli.output import Answer

if TYPE_CHECKING:
    from rich.console import Console


def methods(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Only this method.")] = None,
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """List the methods with their parameters, or one of them."""
    from synthloom.registry import broken_methods, lacking, resolve_method
    from synthloom.registry import methods as installed

    chosen = [resolve_method(name)] if name is not None else list(installed().values())
    missing = {method.info.name: error.text() for method in chosen if (error := lacking(method)) is not None}
    found = [_describe(method) | {"available": method.info.name not in missing} for method in chosen]
    broken = {} if name is not None else {key: error.text() for key, error in broken_methods().items()}

    def show(console: Console) -> None:
        for position, method in enumerate(found):
            if position:
                console.print()
            _show(console, method, missing.get(method["name"]))
        for key, reason in broken.items():
            console.print(f"\n{key}: cannot be used here. {reason}")

    return Answer(result={"methods": found, "unavailable": missing | broken}, show=show)


def _describe(method: Any) -> dict[str, Any]:
    info, schema = method.info, method.Params.model_json_schema()
    return {
        "name": info.name, "aliases": list(info.aliases), "title": info.title, "summary": info.summary,
        "paper": info.paper, "dp": info.dp, "conditional": info.conditional,
        "imputes": info.imputes, "needs": info.needs,
        "params": [
            {"name": name, "default": part.get("default"), "description": part.get("description", ""), "schema": part}
            for name, part in schema.get("properties", {}).items()
        ],
        "privacy_levels": {level: method.privacy_params(level) for level in ("low", "default", "high")},
    }


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
    grid = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for part in method["params"]:
        grid.add_row("", Text(part["name"]), Text(f"{part['default']}"), Text(part["description"]))
    if method["params"]:
        console.print(grid)
