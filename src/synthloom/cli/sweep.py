"""`synthloom sweep`: what stands in the stores and nothing in the database points to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from synthloom.cli import options as opt
from synthloom.cli.output import Answer
from synthloom.domain.records import LOCAL_TENANT
from synthloom.wiring import server_home, settings

if TYPE_CHECKING:
    from rich.console import Console


def sweep(
    hours: Annotated[
        float, typer.Option("--hours", metavar="N", min=1.0, help="How old a file must be to be looked at."),
    ] = 24.0,
    delete: Annotated[bool, typer.Option("--delete", help="Remove what is found; without it nothing changes.")] = False,
    even_all: Annotated[
        bool, typer.Option("--even-all", help="Remove even where the database points to none of the old files."),
    ] = False,
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """List (with --delete: remove) files in the stores that no dataset and no run of the database points to.

    A worker that was killed, or lost its run to another one, may leave such files, and so may an upload cut short.
    Files of runs that are not over are left alone. The stores must belong to this database alone.
    """
    from synthloom.service.orphans import sweep_stores

    home = server_home(settings(), migrate=False)
    try:
        stores = {"datasets": home.service.datasets, "artifacts": home.service.artifacts}
        found = sweep_stores(home.ledger, stores, seconds=hours * 3600, remove=delete, even_all=even_all)
        count = sum(map(len, found.values()))
        if delete and count:
            numbers = {name: len(keys) for name, keys in found.items()}
            home.access.note(LOCAL_TENANT, "operator", "store.sweep", "", numbers)
    finally:
        home.close()

    def show(console: Console) -> None:
        for name, keys in found.items():
            for key in keys:
                console.print(f"{name} {key}", markup=False, highlight=False, soft_wrap=True)
        files = f"{count or 'no'} {'file' if count == 1 else 'files'} that nothing points to"
        console.print(f"removed {files}." if delete else f"{files}; nothing was removed.")

    return Answer(result={"deleted": delete, **{name: list(keys) for name, keys in found.items()}}, show=show)
