"""The schema file: what a person says about a table, in YAML or JSON."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from synthloom.domain.errors import SchemaError
from synthloom.domain.schema import (
    Column,
    ColumnOverride,
    Kind,
    Schema,
    SchemaOverrides,
    SequenceColumns,
    SurvivalColumns,
)

LARGEST_FILE = 4_000_000
"""Bytes a schema file may have."""
MOST_LISTED = 200
"""Labels that `dump_overrides` lists; longer lists are left to inference."""
_NOTHING = ("", "~", "null", "Null", "NULL")
_YAML_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_PLAIN_WORDS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")


class _Loader(yaml.BaseLoader):
    """YAML in which every scalar is the text it is written as (`yes`, `01`, `2020-01-31` stay), but for null."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a name", key_node.start_mark)
        if key in out:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
        out[key] = loader.construct_object(value_node, deep=True)
    return out


def _scalar(loader: _Loader, node: yaml.ScalarNode) -> str | None:
    if node.style is None and node.value in _NOTHING:
        return None
    return str(loader.construct_scalar(node))


def _any(loader: _Loader, node: yaml.Node) -> Any:
    """BaseLoader gives scalars no tag; read nodes by what they are."""
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.ScalarNode):
        return _scalar(loader, node)
    raise yaml.constructor.ConstructorError(None, None, "this cannot be read", node.start_mark)


_Loader.add_constructor(None, _any)


def load_overrides(source: Path | str | bytes) -> SchemaOverrides:
    """Read a schema file.

    Args:
        source: Path of a YAML or JSON file, or its bytes.

    Raises:
        SchemaError: The file cannot be read, is no YAML or JSON, or a key in it is unknown or has a wrong value; the
            message names the line or the key.
    """
    name, content = _content(source)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SchemaError(f"byte {error.start} is no UTF-8 text.", where=name, do="Save the file as UTF-8.") from None
    try:
        # only text, lists and mappings come out of this loader: it has no constructor for anything else
        data = yaml.load(text, Loader=_Loader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{name}, line {mark.line + 1}" if mark else name
        problem = error.problem or "the text cannot be read"
        raise SchemaError(f"{problem}.", where=place, do="Correct the YAML (or JSON) there.") from None
    except (yaml.YAMLError, RecursionError):
        raise SchemaError("this is no YAML or JSON.", where=name, do="Write a schema file as documented.") from None
    if data is None:
        return SchemaOverrides()
    if not isinstance(data, dict):
        raise SchemaError(
            "a schema file is a mapping.", where=name, do="Begin with `columns:` and name columns under it."
        )
    return _validate(data, name)


def _content(source: Path | str | bytes) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        name, content = "schema file", source
    else:
        name = Path(source).name
        try:
            size = Path(source).stat().st_size
            content = Path(source).read_bytes() if size <= LARGEST_FILE else b" " * (LARGEST_FILE + 1)
        except OSError as error:
            reason = (error.strerror or "it cannot be read").lower()
            raise SchemaError(
                f"the schema file cannot be read: {reason}.", where=str(source),
                do="Give the path of a YAML or JSON file.",
            ) from None
    if len(content) > LARGEST_FILE:
        raise SchemaError(
            f"the schema file has more than {LARGEST_FILE:,} bytes.", where=name,
            do="Give a schema file, not a table; leave long lists of categories out.",
        )
    return name, content


def _validate(data: dict[str, Any], name: str) -> SchemaOverrides:
    if isinstance(data.get("version"), str) and data["version"].isdigit():
        data["version"] = int(data["version"])
    data = {key: value for key, value in data.items() if value is not None}
    if isinstance(data.get("columns"), dict):
        data["columns"] = {column: {} if said is None else said for column, said in data["columns"].items()}
    try:
        return SchemaOverrides.model_validate(data)
    except ValidationError as error:
        problems = [_explain(item) for item in error.errors(include_url=False)]
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        do = "`synthloom inspect TABLE` shows what may be said about each column."
        raise SchemaError(f"{shown}.", where=name, do=do) from None


def _explain(item: Any) -> str:
    """One problem: the key, what is wrong with it, what may stand there."""
    place = [str(p) for p in item["loc"] if p not in ("float", "str")]
    key, given = ".".join(place), item["input"]
    if item["type"] == "extra_forbidden":
        known = _known_keys(place[:-1])
        close = difflib.get_close_matches(place[-1], known, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else f" (the keys here are {', '.join(known)})"
        return f"unknown key {key!r}{hint}"
    if item["type"] == "enum":
        return f"{key} is {given!r}, which is none of {', '.join(Kind)}"
    if item["type"] == "missing":
        return f"{key} is missing"
    if item["type"] == "literal_error":
        return f"{key} is {given!r}, which is not {item['ctx']['expected']}"
    if given is None:
        return f"{key} is empty; put null in quotes if it is a word"
    if item["type"] in ("dict_type", "model_type"):
        return f"{key} is not a mapping of keys to values"
    shown = repr(given) if isinstance(given, (str, int, float, bool)) else f"a {type(given).__name__}"
    return f"{key} is {shown}: {item['msg'][0].lower()}{item['msg'][1:]}"


def _known_keys(place: list[str]) -> list[str]:
    if not place:
        return list(SchemaOverrides.model_fields)
    roles: dict[str, type[BaseModel]] = {"survival": SurvivalColumns, "sequence": SequenceColumns}
    return list(roles.get(place[0], ColumnOverride).model_fields)


def schema_file_json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a schema file, for editors and checks."""
    schema = SchemaOverrides.model_json_schema()
    schema |= {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:synthloom:schema-file:1",
        "title": "Synthloom schema file",
    }
    column = schema["$defs"]["ColumnOverride"]["properties"]
    text = {"type": ["string", "number", "boolean"]}  # a label may be written without quotes
    column["missing"]["items"] = text
    for choice in column["categories"]["anyOf"]:
        if choice.get("type") == "array":
            choice["items"] = text
    return schema


# Writing -------------------------------------------------------------------------------------------------------------


def dump_overrides(schema: Schema) -> str:
    """A schema as a schema file with comments: a person edits it and gives it back.

    Given back unchanged with the same table, it leads to the same schema (but for the reasons).
    """
    lines = [
        "# What each column is. Edit what is wrong and give the file back (--schema FILE).",
        f"# Kinds: {', '.join(Kind)}.",
        "# More keys of a column: lower, upper, categories, precision, timezone, format, missing, sensitive, drop.",
        "version: 1",
    ]
    if schema.target is not None:
        lines.append(f"target: {_quote(schema.target)}")
    if schema.survival is not None:
        lines.append(f"survival: {{time: {_quote(schema.survival.time)}, event: {_quote(schema.survival.event)}}}")
    if schema.sequence is not None:
        order = "" if schema.sequence.order is None else f", order: {_quote(schema.sequence.order)}"
        lines.append(f"sequence: {{key: {_quote(schema.sequence.key)}{order}}}")
    lines.append("columns:")
    for column in schema:
        lines += _column_lines(column)
    for name in schema.dropped:
        lines += [f"  {_quote(name)}:", "    drop: true"]
    return "\n".join(lines) + "\n"


def _column_lines(column: Column) -> list[str]:
    facts = f"{column.n_unique:,} distinct" + (f", {column.missing_rate:.1%} missing" if column.missing_rate else "")
    lines = [f"  {_quote(column.name)}:  # {_comment(column.reason)} ({facts})", f"    kind: {column.kind.value}"]
    if column.kind is Kind.DECIMAL and column.precision is not None:
        lines.append(f"    precision: {column.precision}")
    for key, bound in (("lower", column.lower), ("upper", column.upper)):
        if bound is not None:
            lines.append(f"    {key}: {_bound_text(bound, column)}")
    if column.timezone is not None:
        lines.append(f"    timezone: {_quote(column.timezone)}")
    if column.text.datetime_format is not None:
        lines.append(f"    format: {_quote(column.text.datetime_format)}")
    if column.text.also_missing:
        lines.append(f"    missing: [{', '.join(map(_quote, column.text.also_missing))}]")
    if column.kind.is_discrete:
        if len(column.categories) <= MOST_LISTED:
            lines.append(f"    categories: [{', '.join(map(_quote, column.categories))}]")
        else:
            lines.append(f"    # {len(column.categories):,} categories, not listed: those found in the table")
    if column.sensitive:
        lines.append("    sensitive: true")
    return lines


def _bound_text(bound: float, column: Column) -> str:
    if column.kind in (Kind.DATE, Kind.TIMESTAMP):
        import pandas as pd

        return _quote(pd.Timestamp(bound, unit="s", tz=column.timezone).isoformat())
    return repr(int(bound)) if bound == int(bound) else repr(bound)


def _comment(text: str) -> str:
    return text.replace("\n", " ")


def _quote(text: str) -> str:
    """Text as a YAML scalar, in quotes unless it is a simple name."""
    if text and set(text) <= _PLAIN_WORDS and text.lower() not in _YAML_WORDS:
        return text
    dumped: str = yaml.dump(text, default_style='"', allow_unicode=True, width=2**31 - 1)
    return dumped.strip()
