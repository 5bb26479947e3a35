"""`synthloom backends`: other people's synthesizers, each in an interpreter of its own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synthloom.cli import options as opt
from synthloom.cli.output import Answer, stderr_console
from synthloom.wiring import settings

if TYPE_CHECKING:
    from rich.console import Console

    from synthloom.backends.specs import Spec

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None,
    help="Install, list, check and remove backends: SynthCity and SDV, each in an interpreter of its own.",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="synthcity or sdv.")]


@app.command("list", short_help="Backends and how they stand here.")
def list_backends(
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """List the backends: what they are, whether they are installed, what they can do."""
    from synthloom.backends.environments import BACKENDS, catalogue, folder, status

    chosen = settings()
    found = []
    for name, spec in BACKENDS.items():
        stands = status(name, chosen)
        listed = catalogue(name, chosen) if stands.installed else {"plugins": [], "broken": {}}
        found.append(_described(spec) | {
            "installed": stands.installed, "reason": stands.reason, "versions": dict(stands.versions),
            "python": str(stands.python) if stands.python else None, "disk_mb": stands.disk_mb,
            "licence_accepted": stands.licence_accepted, "plugins": [p["name"] for p in listed["plugins"]],
            "broken": listed["broken"],
        })

    def show(console: Console) -> None:
        from rich.text import Text

        for position, item in enumerate(found):
            if position:
                console.print()
            what = f": {item['title']} {item['version']}, {item['licence']}"
            console.print(Text.assemble((item["name"], "bold"), what))
            for line in _lines(item):
                console.print(Text(f"  {line}"))

    return Answer(result={"folder": str(folder(chosen)), "backends": found}, show=show)


def _described(spec: Spec) -> dict[str, Any]:
    return {
        "name": spec.name, "title": spec.title, "version": spec.version, "licence": spec.licence, "terms": spec.terms,
        "download_mb_about": spec.download_mb, "disk_mb_about": spec.disk_mb,
        "python_versions": [f"{major}.{minor}" for major, minor in spec.pythons],
    }


def _lines(item: dict[str, Any]) -> list[str]:
    if not item["installed"]:
        size = f"{item['download_mb_about'] / 1000:.1f} GB to download, {item['disk_mb_about'] / 1000:.1f} GB on disk"
        return [f"Not usable: {item['reason']}", f"About {size}; Python {' or '.join(item['python_versions'])}."]
    versions = ", ".join(f"{name} {version}" for name, version in item["versions"].items())
    lines = [f"Installed: {versions}; {item['disk_mb'] / 1000:.1f} GB.", f"Methods: {', '.join(item['plugins'])}."]
    return lines + [f"Does not load: {name} ({reason})" for name, reason in item["broken"].items()]


@app.command("install", short_help="Make a backend's interpreter.")
def install(
    name: NameArgument,
    python: Annotated[
        str | None,
        typer.Option("--python", metavar="PATH", help="The Python to build with, when the default one does not fit."),
    ] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Agree to the backend's terms without being asked."),
    ] = False,
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """Install a backend: downloads what a lock file names, and lets it learn a tiny table before it counts."""
    from synthloom.backends.environments import STEPS
    from synthloom.backends.environments import install as make
    from synthloom.backends.specs import spec
    from synthloom.cli.progress import make_display
    from synthloom.cli.work import perform

    chosen = settings()
    agreed = accept_licence or _ask(spec(name), asks=not (json or quiet))
    display = make_display(quiet=quiet or json, steps=STEPS, weights=_WEIGHTS)
    stands = perform(
        lambda emit, cancelled: make(
            name, chosen, python=python, accept_licence=agreed, emit=emit, cancelled=cancelled
        ),
        display, grace=20,
    )

    def show(console: Console) -> None:
        versions = ", ".join(f"{package} {version}" for package, version in stands.versions.items())
        console.print(f"{name} is installed: {versions}; {stands.disk_mb / 1000:.1f} GB.")

    result = {
        "name": name, "installed": stands.installed, "python": str(stands.python), "versions": dict(stands.versions),
        "disk_mb": stands.disk_mb, "licence_accepted": stands.licence_accepted,
    }
    return Answer(result=result, show=show)


_WEIGHTS = {"environment": 3.0, "download": 60.0, "install": 60.0, "check": 25.0}


def _ask(spec: Spec, *, asks: bool) -> bool:
    """Whether the person agrees to a backend's terms; only asked on a terminal."""
    if spec.terms is None:
        return True
    if not asks or sys.stdin is None or not sys.stdin.isatty():
        return False
    stderr_console().print(spec.terms)
    return typer.confirm("Do you agree to these terms?", default=False, err=True)


@app.command("check", short_help="Let a backend learn a tiny table.")
def check(
    name: NameArgument,
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """Check an installed backend: lets it learn a tiny table and draw from it, and looks which plugins load."""
    from synthloom.backends.environments import check as look
    from synthloom.cli.progress import make_display
    from synthloom.cli.work import perform

    chosen = settings()
    found = perform(
        lambda emit, cancelled: look(name, chosen, emit, cancelled),
        make_display(quiet=quiet or json, steps=("check",)), grace=2,
    )

    def show(console: Console) -> None:
        console.print(f"{name} works: {found['plugins']} plugins load.")
        for plugin, reason in found["broken"].items():
            console.print(f"  does not load: {plugin} ({reason})")

    return Answer(result={"name": name} | found, show=show)


@app.command("remove", short_help="Remove a backend's interpreter.")
def remove(
    name: NameArgument,
    json: opt.JsonOption = False,
    quiet: opt.QuietOption = False,
    debug: opt.DebugOption = False,
) -> Answer:
    """Remove an installed backend, or what an interrupted installation left."""
    from synthloom.backends.environments import remove as clear

    there = clear(name, settings())

    def show(console: Console) -> None:
        console.print(f"{name} is removed." if there else f"{name} was not installed.")

    return Answer(result={"name": name, "removed": there}, show=show)
