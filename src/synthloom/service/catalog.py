"""What can be asked for here, for people and programs: methods with their parameters, and backends."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from synthloom.domain.errors import SynthloomError, UnknownNameError

if TYPE_CHECKING:
    from synthloom.registry import Backends


def method_list(name: str | None = None) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Every method (or the one of a name or alias), JSON-safe, and why some cannot be used here, by name.

    Raises:
        UnknownNameError: no method answers to `name`.
    """
    from synthloom.registry import broken_methods, lacking, methods, resolve_method

    chosen = [resolve_method(name)] if name is not None else list(methods().values())
    missing = {method.info.name: error.text() for method in chosen if (error := lacking(method)) is not None}
    found = [describe_method(method) | {"available": method.info.name not in missing} for method in chosen]
    broken = {} if name is not None else {key: error.text() for key, error in broken_methods().items()}
    return found, missing | broken


def all_methods(backends: Backends | None = None, name: str | None = None) -> dict[str, Any]:
    """Every method, ours and backends', JSON-safe; or one.

    Args:
        backends: Who may implement methods beside this package.
        name: A method's name or alias, or backend and name: `synthcity:adsgan`.

    Returns:
        `methods`: ours, or the one asked for, each with `backends`, see `makers`; `unavailable`: name → why it cannot
        be used here; `backends`: see `backend_list`; `others`: see `foreign_list`. The last two are empty for one.

    Raises:
        UnknownNameError: no method answers to `name`.
        MissingDependencyError, BackendError, ForbiddenError: its backend cannot be used.
    """
    from synthloom.registry import choose_method

    try:
        found, missing = method_list(name)
    except UnknownNameError:  # of one name: a backend may have it
        method = choose_method(name or "", backends=backends).method
        made_by = [{"backend": method.backend, "available": True, "reason": None}]
        described = describe_method(method) | {"available": True, "backends": made_by}
        return {"methods": [described], "unavailable": {}, "backends": [], "others": []}
    return {
        "methods": [method | {"backends": makers(method["name"], backends)} for method in found],
        "unavailable": missing, "backends": backend_list(backends) if name is None else [],
        "others": foreign_list(backends) if name is None else [],
    }


def describe_method(method: Any) -> dict[str, Any]:
    """A method's info, parameters and what the privacy levels stand for, JSON-safe."""
    info, schema = method.info, method.Params.model_json_schema()
    return {
        "name": info.name, "aliases": list(info.aliases), "title": info.title, "summary": info.summary,
        "paper": info.paper, "dp": info.dp, "conditional": info.conditional,
        "imputes": info.imputes, "needs": info.needs,
        "params": [
            {"name": name, "default": part.get("default"), "description": part.get("description", ""), "schema": part}
            for name, part in schema.get("properties", {}).items()
        ],
        "privacy_levels": {level: method.privacy_params(level) for level in ("low", "default", "high")},
    }


def makers(name: str, backends: Backends | None = None) -> list[dict[str, Any]]:
    """Who could make a method, in the order of backends, JSON-safe: backend, available, and the reason if it is not."""
    from synthloom.registry import NATIVE_ONLY, choose_method

    known = backends or NATIVE_ONLY
    found = []
    for backend in known.names:
        other = known.others.get(backend)
        try:
            choose_method(name, backend, backends=replace(known, only=None))
        except UnknownNameError:
            continue  # it has no such method
        except SynthloomError as error:
            if other is not None and _plain(name) not in other.names():
                continue
            found.append({"backend": backend, "available": False, "reason": error.text()})
        else:
            found.append({"backend": backend, "available": True, "reason": None})
    return found


def foreign_list(backends: Backends | None = None) -> list[dict[str, Any]]:
    """Every method of every backend but our own, JSON-safe, usable here or not, with the reason."""
    from synthloom.registry import NATIVE_ONLY

    found = []
    for backend, other in (backends or NATIVE_ONLY).others.items():
        usable, unusable = other.listed()
        found += [{"backend": backend, "available": True, "reason": None} | describe_method(m) for m in usable.values()]
        for name, reason in unusable.items():
            found.append({"backend": backend, "available": False, "reason": reason, "name": name})
    return sorted(found, key=lambda entry: (entry["backend"], entry["name"]))


def foreign_names(backends: Backends | None = None) -> list[dict[str, Any]]:
    """Backends beside our own with their methods by name alone, for people to choose from.

    Returns:
        For each `name`, `title`, `reason` (why none of its methods can be used here, or None) and `methods`: `value` to
        ask for it by, `title`, and `reason` where it alone cannot be used.
    """
    from synthloom.registry import NATIVE_ONLY

    found = []
    for name, other in (backends or NATIVE_ONLY).others.items():
        error = other.unavailable()
        usable, unusable = other.listed()
        titles = {key: method.info.title for key, method in usable.items()}
        reasons = {} if error is not None else unusable
        why = None if error is None else " ".join(filter(None, (error.what, error.do)))
        found.append({
            "name": name, "title": other.title, "reason": why,
            "methods": [
                {"value": f"{name}:{key}", "title": titles.get(key, key), "reason": reasons.get(key)}
                for key in sorted({**titles, **unusable})
            ],
        })
    return found


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def backend_list(backends: Backends | None = None) -> list[dict[str, Any]]:
    """Backends in the order in which `auto` looks through them, JSON-safe, and why one cannot be used here."""
    from synthloom.registry import NATIVE_ONLY

    known = backends or NATIVE_ONLY
    found = []
    for name in known.names:
        other = known.others.get(name)
        reason = None if other is None else other.unavailable()
        found.append({
            "name": name, "title": name if other is None else other.title, "in_order": name in known.order,
            "available": reason is None, "reason": None if reason is None else reason.text(),
        })
    return found
