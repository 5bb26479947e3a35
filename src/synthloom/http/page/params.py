"""A method's parameters as fields of a form, made from its `Params`; and back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from synthloom.domain.plan import PrivacyLevel
from synthloom.registry import AnyMethod

FieldKind = Literal["integer", "number", "choice", "switch", "list", "json"]


@dataclass(frozen=True)
class ParamField:
    """One parameter as a field of a form.

    Attributes:
        name: The parameter's.
        label: For people.
        help: What it does.
        kind: How it is typed.
        choices: For choice: what may be chosen.
        default: What an empty field stands for.
        bounds: What may be typed, in words; empty where anything may.
        word: For list: the one word that may stand for a list.
    """

    name: str
    label: str
    help: str
    kind: FieldKind
    choices: tuple[str, ...]
    default: str
    bounds: str
    word: str = ""


def param_fields(method: AnyMethod, level: PrivacyLevel = "default") -> tuple[ParamField, ...]:
    """The fields of a method; defaults as a privacy level sets them."""
    shown = method.privacy_params(level)
    properties: dict[str, dict[str, Any]] = method.Params.model_json_schema().get("properties", {})
    return tuple(_field(name, found, shown) for name, found in properties.items())


def read_params(method: AnyMethod, given: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What was typed as values, and what is wrong with it, by parameter. Empty fields keep their default.

    Args:
        method: Whose parameters they are.
        given: Text by parameter; names that the method does not have are left out.
    """
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for field in param_fields(method):
        text = given.get(field.name, "").strip()
        if text:
            try:
                values[field.name] = _value(field, text)
            except ValueError as error:
                errors[field.name] = str(error)
    try:
        method.Params.model_validate(values)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            name = str(item["loc"][0]) if item["loc"] else ""
            if name in values:
                errors.setdefault(name, sentence(item))
    return values, errors


def sentence(item: Any) -> str:
    """One of pydantic's errors in plain words, with the value where it is short."""
    context, kind = item.get("ctx", {}), item["type"]
    words = {
        "greater_than_equal": "It must be {ge} or more.", "less_than_equal": "It must be {le} or less.",
        "greater_than": "It must be more than {gt}.", "less_than": "It must be less than {lt}.",
        "literal_error": "Choose one of: {expected}.",
        "string_too_long": "It may have at most {max_length} characters.",
    }
    if kind in words:
        return words[kind].format(**{k: f"{v:,}" if isinstance(v, int) else v for k, v in context.items()})
    text = str(item["msg"]).removeprefix("Value error, ")
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def typed(value: Any) -> str:
    """A parameter's value as a person would type it."""
    if isinstance(value, list | tuple):
        return json.dumps(list(value), ensure_ascii=False) if any("," in str(v) for v in value) else ", ".join(
            str(v) for v in value
        )
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def read_number(text: str, *, whole: bool) -> int | float:
    """A number out of what was typed; ValueError says what is wrong."""
    plain = text.replace("_", "").replace(" ", "").replace("\u00a0", "")
    try:
        number = float(plain)
    except ValueError:
        raise ValueError(f"“{text[:40]}” is no number.") from None
    if not math.isfinite(number):
        raise ValueError(f"“{text[:40]}” is no number to calculate with.")
    if not whole:
        return number
    try:
        return int(plain)
    except ValueError:
        if number != int(number):
            raise ValueError(f"“{text[:40]}” is no whole number.") from None
        return int(number)


def _field(name: str, found: dict[str, Any], shown: Mapping[str, Any]) -> ParamField:
    default = shown.get(name, found.get("default"))
    parts = [part for part in found.get("anyOf", [found]) if part.get("type") != "null"]
    part = parts[0] if len(parts) == 1 else {}
    word = next((p["const"] for p in parts if isinstance(p.get("const"), str)), "")
    kinds: dict[str, FieldKind] = {"integer": "integer", "number": "number", "boolean": "switch", "array": "list"}
    kind = kinds.get(str(part.get("type")), "json")
    choices: tuple[str, ...] = ()
    if part.get("enum") and all(isinstance(choice, str) for choice in part["enum"]):
        kind, choices = "choice", tuple(part["enum"])
    elif len(parts) == 2 and word and any(p.get("type") == "array" for p in parts):
        kind = "list"
    elif kind == "switch":
        choices = ("yes", "no")
    return ParamField(
        name, name.replace("_", " "), str(found.get("description", "")), kind, choices, typed(default) or "none",
        _bounds(kind, part), word,
    )


def _bounds(kind: str, part: Mapping[str, Any]) -> str:
    if kind not in ("integer", "number"):
        return ""
    low, above = part.get("minimum"), part.get("exclusiveMinimum")
    high, below = part.get("maximum"), part.get("exclusiveMaximum")
    lower = f"{low:g}" if low is not None else f"above {above:g}" if above is not None else ""
    upper = f"{high:,.0f}" if high is not None and high >= 1000 else f"{high:g}" if high is not None else (
        f"below {below:g}" if below is not None else ""
    )
    if lower and upper:
        return f"{lower} to {upper}"
    return f"from {lower}" if lower else f"up to {upper}" if upper else ""


def _value(field: ParamField, text: str) -> Any:
    if field.kind in ("integer", "number"):
        return read_number(text, whole=field.kind == "integer")
    if field.kind == "switch":
        return text == "yes"
    if field.kind == "list":
        if text == field.word:
            return text
        return _listed(text) if text.startswith("[") else [part.strip() for part in text.split(",") if part.strip()]
    if field.kind == "json":
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            raise ValueError("It must be JSON, such as 1, true or [1, 2].") from None
    return text


def _listed(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        raise ValueError("A list that begins with [ must be JSON.") from None
    if not isinstance(found, list):
        raise ValueError("It must be a list.")
    return found
