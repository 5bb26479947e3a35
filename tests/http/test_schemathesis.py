"""The server keeps to its own description: Schemathesis looks for a request that proves otherwise."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from http_for_tests import Server

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what it imports warns of what itself imports
    import schemathesis.engine
    import schemathesis.openapi
    from schemathesis.config import SchemathesisConfig

CHILDREN = ["upload_dataset", "inspect_dataset", "draw_pdf"]
"""Operations that start a process on each request: a few are enough."""


@pytest.fixture
def described(guarded: Callable[..., Server]) -> tuple[Server, dict[str, str]]:
    """A server with a run of the tenant, and a key to everything."""
    server = guarded(rate_limit=10**9)
    headers = server.key("read", "write", "admin", "metrics")
    server.queue(headers=headers)
    server.settle({"synthetic.csv": b"age\n1\n", "report.json": b"{}\n"})
    return server, headers


@pytest.mark.parametrize(("children", "examples"), [(False, 4), (True, 2)], ids=["quick", "with a child"])
def test_no_request_proves_the_description_wrong(
    described: tuple[Server, dict[str, str]], children: bool, examples: int
) -> None:
    server, headers = described
    schema = schemathesis.openapi.from_url(f"{server.address}/openapi.json", config=config(headers, examples, children))
    chosen = schema.include(operation_id=CHILDREN) if children else schema.exclude(operation_id=CHILDREN)
    failures = look(chosen)
    assert not failures, "\n".join(failures)


def config(headers: dict[str, str], examples: int, children: bool) -> SchemathesisConfig:
    made = SchemathesisConfig(seed=1)
    project = made.projects.default
    project.update(headers=headers)
    project.generation.update(max_examples=examples, deterministic=True, database="none")
    # what fits the description may still name a column that is not there, or be no table
    project.checks.update()
    project.checks.positive_data_acceptance.expected_statuses = ["2xx", "3xx", "4xx"]
    project.phases.stateful.enabled = not children
    project.phases.coverage.enabled = not children
    return made


def look(schema: Any) -> list[str]:
    """What was found, once each."""
    found: dict[str, None] = {}
    for event in schemathesis.engine.from_schema(schema).execute():
        kind = type(event).__name__
        if kind.endswith("Error"):
            found[f"{kind}: {event}"] = None
        if kind != "ScenarioFinished":
            continue
        for case_id, checks in event.recorder.checks.items():
            for check in checks:
                if check.failure_info is not None:
                    case, failure = event.recorder.cases[case_id].value, check.failure_info.failure
                    found[f"{case.method} {case.formatted_path} {case.query}: {failure.title} {failure.message}"] = None
    return list(found)
