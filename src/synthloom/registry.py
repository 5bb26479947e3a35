"""Who answers to which name: methods and metrics, and synthesizers made from them.

Methods are entry points of the group `synthloom.methods`, so another package can bring its own. Every function takes
`known`, a mapping of names to method classes, to use in their place.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthloom.domain.errors import (
    ContractError,
    MissingDependencyError,
    ParamsError,
    PrivacyError,
    SynthloomError,
    UnknownNameError,
    UsageError,
)
from synthloom.domain.event import Emit, Fallback, ignore
from synthloom.domain.plan import PrivacyLevel
from synthloom.domain.run import DPRequest
from synthloom.methods.contract import Method
from synthloom.synthesizer import Synthesizer

if TYPE_CHECKING:
    from synthloom.metrics.contract import Metric

GROUP = "synthloom.methods"
BACKENDS = ("native",)
"""Backends of this release, in the order in which `auto` prefers them."""

EXTRAS: Mapping[str, str] = {"neural": "torch"}
"""An extra that methods may need → the module that it brings."""

AnyMethod = type[Method[Any]]


@dataclass(frozen=True)
class _Found:
    """Entry points that loaded, and the errors of those that did not."""

    methods: dict[str, AnyMethod]
    broken: dict[str, SynthloomError]


def methods(known: Mapping[str, AnyMethod] | None = None) -> dict[str, AnyMethod]:
    """Every method that loads, by name, sorted; `lacking` says what one still needs, `broken_methods` what broke."""
    return dict(sorted((known if known is not None else _found().methods).items()))


def broken_methods() -> dict[str, SynthloomError]:
    """Methods that an installed package announces but that do not load, by name, with the error that says why."""
    return dict(_found().broken)


def lacking(method: AnyMethod) -> MissingDependencyError | None:
    """What a method needs that is not installed, as an error with how to add it; None where it can be used.

    Looks for the package only and does not import it.
    """
    extra = method.info.needs
    module = EXTRAS.get(extra or "")
    if module is None or find_spec(module) is not None:
        return None
    return MissingDependencyError(
        f"the method {method.info.name} needs {module}, which is not installed.", where=f"method {method.info.name}",
        do=f"Install it with: pip install 'synthloom[{extra}]'",
    )


def resolve_method(name: str, known: Mapping[str, AnyMethod] | None = None) -> AnyMethod:
    """The method that answers to a name or an alias (case and `-` for `_` don't matter).

    Raises:
        UnknownNameError: nobody answers; the closest names are suggested.
        MissingDependencyError, ContractError: the method is announced but its package does not load.
    """
    usable = methods(known)
    names = {_plain(alias): cls for cls in usable.values() for alias in cls.info.aliases}
    names |= {_plain(own): cls for own, cls in usable.items()}
    if _plain(name) in names:
        return names[_plain(name)]
    broken = {} if known is not None else broken_methods()
    for own, error in broken.items():
        if _plain(own) == _plain(name):
            raise error
    hint = f" Not loadable here: {', '.join(sorted(broken))}." if broken else ""
    raise UnknownNameError(
        f"no method is called {name!r}.", do=_suggest(_plain(name), names, sorted(usable), "Methods") + hint
    )


def metrics() -> tuple[Metric, ...]:
    """Every metric, in the order of the report."""
    from synthloom.metrics.catalog import ALL

    return tuple(ALL)


def create_synthesizer(
    method: str | AnyMethod,
    params: Mapping[str, Any] | None = None,
    *,
    backend: str = "auto",
    privacy: PrivacyLevel = "default",
    dp: DPRequest | None = None,
    emit: Emit = ignore,
    known: Mapping[str, AnyMethod] | None = None,
) -> Synthesizer:
    """A synthesizer, not yet fitted.

    Args:
        method: A method's name, alias or class.
        params: The method's parameters; they override what `privacy` stands for.
        backend: Who implements the method; `auto` takes the first available.
        privacy: Where to stand between fidelity and privacy.
        dp: Differential privacy, as asked for.
        emit: Hears of a step down (`Fallback`) when `dp.strict` is false and the method knows no differential privacy.
        known: Methods to choose from in place of the installed ones.

    Raises:
        UnknownNameError: no such method or backend.
        ParamsError: a parameter is unknown or out of bounds.
        PrivacyError: differential privacy was asked for and the method cannot give it.
        MissingDependencyError: the method needs a package that is not installed.
    """
    chosen = method if isinstance(method, type) else resolve_method(method, known)
    if (missing := lacking(chosen)) is not None:
        raise missing
    used_backend = _resolve_backend(backend)
    values = dict(chosen.privacy_params(privacy)) | _dp_params(chosen, dp, emit) | dict(params or {})
    return Synthesizer(chosen(check_params(chosen, values)), backend=used_backend)


def check_params(method: AnyMethod, values: Mapping[str, Any]) -> Any:
    """Validate parameter values for a method; a misspelt name gets a suggestion.

    Raises:
        ParamsError: a name is unknown or a value out of bounds.
    """
    fields = list(method.Params.model_fields)
    for name in values:
        if name not in fields:
            raise ParamsError(
                f"unknown parameter {name!r}.", where=f"method {method.info.name}",
                do=_suggest(name, fields, fields, "Its parameters"),
            )
    return method.make_params(values)


def load_synthesizer(source: str | Path | bytes, known: Mapping[str, AnyMethod] | None = None) -> Synthesizer:
    """A fitted synthesizer out of a model file or its bytes. No code in it is run.

    Raises:
        ModelFileError: foreign, damaged, edited, newer, or its method is not installed.
    """
    if isinstance(source, bytes):
        return Synthesizer.from_bytes(source, lambda name: resolve_method(name, known))
    return Synthesizer.load(source, lambda name: resolve_method(name, known))


def _dp_params(method: AnyMethod, dp: DPRequest | None, emit: Emit) -> dict[str, Any]:
    if dp is None:
        return {}
    if method.info.dp:
        wanted = {"epsilon": dp.epsilon, "delta": dp.delta}
        return {k: v for k, v in wanted.items() if v is not None}
    reason = f"the method {method.info.name} gives no differential privacy"
    if dp.strict:
        raise PrivacyError(
            f"differential privacy (epsilon {dp.epsilon:g}) was asked for, but {reason}.",
            do="Choose a method with differential privacy, or set strict to false to go on without any guarantee.",
        )
    wanted_dp = f"differential privacy, epsilon {dp.epsilon:g}"
    emit(Fallback(wanted=wanted_dp, used="no formal guarantee", reason=f"{reason}."))
    return {}


def _resolve_backend(backend: str) -> str:
    if backend == "auto":
        return BACKENDS[0]
    if backend not in BACKENDS:
        raise UsageError(
            f"the backend {backend!r} is not available in this release.",
            do=f"Choose one of: auto, {', '.join(BACKENDS)}.",
        )
    return backend


@cache
def _found() -> _Found:
    return load_entry_points(entry_points(group=GROUP))


def load_entry_points(points: Iterable[EntryPoint]) -> _Found:
    """Load method entry points; what does not load is kept with its error, so that it stops nobody else."""
    found = _Found({}, {})
    for point in points:
        try:
            cls = _load(point)
        except SynthloomError as error:
            found.broken.setdefault(point.name, error)
            continue
        if point.name in found.methods:
            found.broken[point.name] = ContractError(
                f"two packages bring a method {point.name!r}; the first found is used.", where=_place(point)
            )
        found.methods.setdefault(point.name, cls)
    return found


def _load(point: EntryPoint) -> AnyMethod:
    try:
        cls = point.load()
    except ImportError as error:
        raise MissingDependencyError(
            f"the method {point.name!r} cannot be loaded: {error}.", where=_place(point),
            do="Install what it needs, or uninstall the package that brings it.",
        ) from error
    except Exception as error:  # whatever somebody else's module does on import must not take the others down
        raise ContractError(
            f"the method {point.name!r} cannot be loaded: {type(error).__name__}: {error}.", where=_place(point),
            do="Tell its author, or uninstall the package that brings it.",
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, Method)):
        raise ContractError(f"the method {point.name!r} is no subclass of Method.", where=_place(point))
    if cls.info.name != point.name:
        raise ContractError(f"the method {point.name!r} calls itself {cls.info.name!r}.", where=_place(point))
    return cls


def _place(point: EntryPoint) -> str:
    package = point.dist.name if point.dist is not None else "unknown package"
    return f"entry point {point.name} = {point.value} of {package}"


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def _suggest(name: str, candidates: Iterable[str], listed: list[str], title: str) -> str:
    close = difflib.get_close_matches(name, list(candidates), n=3, cutoff=0.5)
    head = f"Did you mean {' or '.join(close)}? " if close else ""
    return f"{head}{title}: {', '.join(listed) or 'none'}."
