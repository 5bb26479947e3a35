"""What the tests of deployment share: compose.yaml and the Containerfile, read as a container engine reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OURS = ("web", "worker", "report")
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
PASSWORDS = dict.fromkeys(
    ("POSTGRES_PASSWORD", "STORE_SECRET_KEY", "REPORT_TOKEN", "SESSION_SECRET"), "0123456789abcdef" * 3,
)


def read_compose() -> dict[str, Any]:
    """compose.yaml with its variables filled in from nothing but the passwords."""
    found: dict[str, Any] = _filled(yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8")))
    return found


def read_stages() -> dict[str, list[tuple[str, str]]]:
    """Each stage of the Containerfile with all its instructions, those of the stages it builds on first."""
    found: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    for line in re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines():
        if not line.strip():
            continue
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.split()
            current = found[name] = list(found.get(base, []))
        current.append((word, rest.strip()))
    return found


def last(stage: list[tuple[str, str]], word: str) -> str:
    """What the last instruction of this kind says."""
    return [rest for name, rest in stage if name == word][-1]


def _filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item) for item in value]
    if not isinstance(value, str):
        return value

    def fill(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if name in PASSWORDS:
            assert kind == "?", f"{name} must be asked for"
            return PASSWORDS[name]
        assert kind == "-", f"{name} has no default"
        return str(rest)

    return VARIABLE.sub(fill, value)
