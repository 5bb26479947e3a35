"""The page about the command line leaves nothing out."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthloom.cli.app import COMMANDS, app
from synthloom.domain import errors
from synthloom.settings import Settings, variables

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")


def error_classes(root: type[errors.SynthloomError] = errors.SynthloomError) -> list[type[errors.SynthloomError]]:
    return [root, *(found for child in root.__subclasses__() for found in error_classes(child))]


def test_every_command_is_described() -> None:
    registered = (*app.registered_commands, *app.registered_groups)
    assert {command.name for command in registered} == set(COMMANDS)
    for command in COMMANDS:
        assert f"`synthloom {command}" in PAGE
        assert f"| `{command}`" in PAGE, f"the JSON keys of {command}"


@pytest.mark.parametrize("kind", error_classes(), ids=lambda kind: kind.__name__)
def test_every_error_and_exit_code_is_described(kind: type[errors.SynthloomError]) -> None:
    if kind.__module__ == errors.__name__:
        assert f"`{kind.code}`" in PAGE
        assert f"\n| {kind.exit_code} |" in PAGE


@pytest.mark.parametrize("name", list(variables()))
def test_every_variable_is_described_with_its_default(name: str) -> None:
    field = next(f for f in Settings.model_fields.values() if f.alias == name)
    default = "" if field.default is None else f"{field.default:.2f}" if name.endswith("_MAX") else f"{field.default}"
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}`"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[2] == field.description
    assert cells[1] == default
