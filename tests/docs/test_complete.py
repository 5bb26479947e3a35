"""Nothing a person can use is left out of the documentation."""

from __future__ import annotations

import re
from types import ModuleType
from typing import get_args

import pytest
from docs_for_tests import DOCS, ROOT
from typer.main import get_command

import synthloom
from synthloom.cli.app import COMMANDS, app
from synthloom.domain.artifact import ARTIFACT_NAMES
from synthloom.domain.plan import PrivacyLevel, Refinement
from synthloom.domain.report import Report
from synthloom.domain.schema import ColumnOverride, Kind, SchemaOverrides
from synthloom.planning.heuristics import SMALL
from synthloom.registry import methods, metrics
from synthloom.settings import variables


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", methods())
def test_every_method_has_a_page_that_names_its_parameters(name: str) -> None:
    info, text = methods()[name].info, page(f"methods/{name}.md")
    assert f"(methods/{name}.md)" in page("methods.md")
    assert f"<!-- generated: method {name} -->" in text
    for key in (*methods()[name].Params.model_fields, *info.aliases, *get_args(PrivacyLevel)):
        assert f"`{key}`" in text
    for said in ("**Good at**", "**Costs**", "**How it protects.**"):
        assert said in text


@pytest.mark.parametrize("key", [m.info.key for m in metrics()])
def test_every_metric_is_explained(key: str) -> None:
    assert f"[`{key}`]" in page("metrics.md")
    assert f"### {key}\n" in page("metrics.md")


@pytest.mark.parametrize("name", list(variables()))
def test_every_setting_is_explained(name: str) -> None:
    assert f"| `{name}` |" in page("settings.md")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    section = page("command-line.md").split(f"<!-- generated: command {name} -->")[1].split("<!-- end -->")[0]
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    for member in getattr(command, "commands", {}):
        assert f"`synthloom {name} {member}`" in section
    for part in getattr(command, "commands", {"": command}).values():
        for param in part.params:
            if param.param_type_name == "option" and param.name != "help":
                assert all(f"`{opt}" in section for opt in param.opts), param.name


def test_every_route_is_explained() -> None:
    from synthloom.http.app import ROUTERS

    routes = [(method, route.path_format) for router in ROUTERS for route in router.routes for method in route.methods]
    assert ("POST", "/v1/runs/{run_id}/report/pdf") in routes
    for method, path in routes:
        assert f"| `{method} {path}` |" in page("api.md")


def test_every_error_is_explained(generator: ModuleType) -> None:
    for kind in generator._error_tree():
        assert f"| `{kind.__name__}` | `{kind.code}` | {kind.exit_code} |" in page("command-line.md")


def test_every_notice_is_explained() -> None:
    source = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "src" / "synthloom").rglob("*.py"))
    codes = set(re.findall(r'(?:Notice\(\s*code=|\.notice\(\s*)"(\w+)"', source))
    assert {"free_text", "suppressed", "mixed"} <= codes
    listed = page("command-line.md").split("## Notices")[1].split("## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", listed, re.MULTILINE)) == codes


def test_every_public_name_is_explained() -> None:
    for name in synthloom.__all__:
        assert f"\n### `{name}`\n" in page("python.md")


def test_every_kind_key_step_and_artifact_is_explained() -> None:
    assert all(f"| `{kind.value}` |" in page("reading-tables.md") for kind in Kind)
    for key in (*SchemaOverrides.model_fields, *ColumnOverride.model_fields):
        assert f"| `{key}` |" in page("schema-file.md")
    assert all(f"| `{step}` |" in page("methods.md") for step in get_args(Refinement))
    assert all(f"| `{key}` |" in page("report.md") for key in Report.model_fields)
    assert all(f"`{name}`" in (ROOT / "README.md").read_text(encoding="utf-8") for name in ARTIFACT_NAMES)


def test_the_glossary_knows_the_words() -> None:
    for word in (
        "dataset", "schema", "method", "backend", "synthesizer", "run", "attempt", "plan", "event", "metric", "verdict",
        "guarantee", "artifact", "report",
    ):
        assert f"| **{word}** |" in page("glossary.md")


def test_the_rule_for_small_tables_is_the_planners() -> None:
    assert f"below {SMALL:,} rows" in page("methods.md")


def test_every_decision_is_listed() -> None:
    decisions = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    assert [p.name[:4] for p in decisions] == [f"{k:04d}" for k in range(1, len(decisions) + 1)]
    assert all(f"({p.name})" in page("decisions/README.md") for p in decisions)
