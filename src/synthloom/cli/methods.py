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
    from synthloom.service.catalog import method_list

    found, missing = method_list(name)

    def show(console: Console) -> None:
        for position, method in enumerate(found):
            if position:
                console.print()
            _show(console, method, missing.get(method["name"]))
        for key in missing.keys() - {method["name"] for method in found}:
            console.print(f"\n{key}: cannot be used here. {missing[key]}")

    return Answer(result={"methods": found, "unavailable": missing}, show=show)


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
