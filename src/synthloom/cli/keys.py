"""`synthloom keys`: who may use the server's API and page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthloom.cli import options as opt
from synthloom.cli.output import Answer
from synthloom.cli.serve import need_web
from synthloom.domain.records import LOCAL_TENANT
from synthloom.wiring import server_home, settings

if TYPE_CHECKING:
    from rich.console import Console

    from synthloom.domain.records import ApiKey

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make, list and revoke API keys.")

TenantOption = Annotated[str, typer.Option("--tenant", metavar="NAME", help="Whose rows a key opens.")]


@app.command("create", short_help="Make a key; it is shown this once.")
def create(
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="Whose it is, what it is for.")],
    scopes: Annotated[
        str, typer.Option("--scopes", metavar="LIST", help="What it opens: read, write, admin, metrics; with commas."),
    ] = "read,write",
    tenant: TenantOption = LOCAL_TENANT,
    days: Annotated[
        int | None, typer.Option("--days", metavar="N", min=1, max=3660, help="Days until it expires; else never."),
    ] = None,
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """Make an API key. The secret is printed this once and kept nowhere."""
    need_web()
    from synthloom.http.auth import create_key

    home = server_home(settings())
    try:
        expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
        wanted = [part.strip() for part in scopes.split(",") if part.strip()]
        key, secret = create_key(home.access, tenant, name, wanted, expires_at)
        home.access.note(tenant, "operator", "key.create", key.key_id, {"scopes": list(key.scopes)})
    finally:
        home.close()

    def show(console: Console) -> None:
        console.print(secret)

    return Answer(result={"key": key.model_dump(mode="json"), "secret": secret}, show=show)


@app.command("list", short_help="The keys of a tenant.")
def list_keys(
    tenant: TenantOption = LOCAL_TENANT,
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """List a tenant's keys, without their secrets."""
    home = server_home(settings())
    try:
        found = home.access.keys(tenant)
    finally:
        home.close()

    def show(console: Console) -> None:
        from rich.table import Table
        from rich.text import Text

        grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for head in ("id", "name", "begins with", "scopes", "state", "last used"):
            grid.add_column(head)
        for key in found:
            used = key.last_used_at.isoformat(timespec="minutes") if key.last_used_at else "never"
            words = (key.key_id, key.name, key.prefix, ",".join(key.scopes), _state(key), used)
            grid.add_row(*(Text(word) for word in words))
        console.print(grid if found else "no keys.")

    return Answer(result={"keys": [key.model_dump(mode="json") for key in found]}, show=show)


@app.command("revoke", short_help="Revoke a key.")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `synthloom keys list` shows it.")],
    tenant: TenantOption = LOCAL_TENANT,
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """Revoke a key: from now on it opens nothing."""
    home = server_home(settings())
    try:
        key = home.access.revoke_key(tenant, key_id)
        home.access.note(tenant, "operator", "key.revoke", key_id)
    finally:
        home.close()
    answer: dict[str, Any] = {"key": key.model_dump(mode="json")}
    return Answer(result=answer, show=lambda console: console.print(f"revoked {key.name} ({key.prefix}…)"))


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is None:
        return "valid"
    word = "expired" if key.expires_at <= datetime.now(UTC) else "valid until"
    return f"{word} {key.expires_at.date().isoformat()}"
