"""Who answers to which name: methods, metrics and backends, and synthesizers made from them.

Methods are entry points of the group `synthloom.methods`, so another package can bring its own. Every function takes
`known`, a mapping of names to method classes, to use in their place. Backends, which make methods out of other
packages, are handed down by whoever knows the settings (`Backends`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
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
from synthloom.domain.event import Emit, Event, Fallback, Notice, ignore
from synthloom.domain.plan import PrivacyLevel
from synthloom.domain.run import DPRequest
from synthloom.makers import NATIVE, NATIVE_ONLY, AnyMethod, Backend, Backends, Choice
from synthloom.methods.contract import Method
from synthloom.methods.synonyms import all_names
from synthloom.synthesizer import Synthesizer

if TYPE_CHECKING:
    from synthloom.metrics.contract import Metric

__all__ = [
    "EXTRAS", "GROUP", "NATIVE", "NATIVE_ONLY", "AnyMethod", "Backend", "Backends", "Choice", "backend_methods",
    "backend_order", "broken_methods", "check_params", "choose_method", "create_synthesizer", "lacking",
    "load_entry_points", "load_synthesizer", "methods", "metrics", "no_privacy", "resolve_method",
]

GROUP = "synthloom.methods"

EXTRAS: Mapping[str, str] = {"neural": "torch"}
"""An extra that methods may need → the module that it brings."""

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


def choose_method(
    name: str, backend: str = "auto", *, known: Mapping[str, AnyMethod] | None = None,
    backends: Backends | None = None, dp: DPRequest | None = None,
    failed: Mapping[str, SynthloomError] | None = None,
) -> Choice:
    """The method of a name, from the first backend that has it and may be used.

    Who cannot give differential privacy is passed over where it is asked for, and taken last without `dp.strict`.

    Args:
        name: A method's name or alias, or backend and name: `synthcity:adsgan`.
        backend: A backend's name, several with commas between, or `auto`.
        known: Methods in place of the installed ones.
        backends: Who else may be asked; None: nobody.
        dp: Differential privacy, as asked for.
        failed: Backends that have tried and could not, with their errors; they are not asked again.

    Raises:
        UnknownNameError, UsageError: no such backend or method, or a backend that is not allowed.
        PrivacyError, MissingDependencyError, BackendError: why nobody can make it.
    """
    desk = backends or NATIVE_ONLY
    head, mark, rest = name.partition(":")
    if mark and _plain(head) in desk.names:
        if backend not in ("auto", _plain(head)):
            raise UsageError(
                f"the method {name!r} names the backend {head}, and {backend} was asked for too.", do="Name one.",
            )
        name, backend = rest, _plain(head)
    order = backend_order(backend, desk)
    passed = dict(failed or {})
    for formal in (True, False) if dp is not None and not dp.strict else (dp is not None,):
        for who in (w for w in order if w not in (failed or {})):
            try:
                method = _from_backend(name, who, desk, known)
                if dp is not None and method.info.dp and not desk.serves_privacy(who):
                    raise PrivacyError(_not_served(who, desk))
                if formal and not method.info.dp:
                    raise PrivacyError(f"{no_privacy(method)}.")
            except SynthloomError as error:
                passed[who] = error
                continue
            asked = order if desk.asked or backend != "auto" else tuple(failed or ())
            errors = {w: passed[w] for w in order if w in passed and w != who}
            why = "as asked for" if len(order) == 1 else "first in the order"
            return _chosen(name, method, errors, desk, asked, why)
    raise _nobody(name, {w: passed[w] for w in order}, desk, known, dp)


def backend_order(backend: str, backends: Backends) -> tuple[str, ...]:
    """Names of the backends to ask, first one first.

    Raises:
        UnknownNameError: there is none of that name.
        UsageError: it is not the one that is allowed.
    """
    if backend == "auto":
        return (backends.only,) if backends.only else backends.order
    order = tuple(dict.fromkeys(_plain(part) for part in backend.split(",") if part.strip()))
    for who in order or ("",):
        if who not in backends.names:
            listed = ["auto", *backends.names]
            raise UnknownNameError(
                f"no backend is called {who!r}.", do=_suggest(who, backends.names, listed, "Backends")
            )
        if backends.only and who != backends.only:
            raise UsageError(
                f"the backend {who} was asked for, but nothing except {backends.only} may be used.",
                where="USE_SYNTHCITY_ONLY", do=f"Ask for {backends.only}, or unset that variable.",
            )
    return order


def backend_methods(
    backend: str, *, known: Mapping[str, AnyMethod] | None = None, backends: Backends | None = None,
    dp: DPRequest | None = None,
) -> dict[str, AnyMethod]:
    """Methods that a choice among methods may take: native ones, unless a backend was named or is the only one allowed.

    Those that would keep differential privacy but may not serve it are left out where it is asked for.

    Raises:
        UnknownNameError, UsageError: as in `backend_order`.
        MissingDependencyError, BackendError: why none of those named can be used.
        PrivacyError: differential privacy is asked for, and those who could keep it may not.
    """
    desk = backends or NATIVE_ONLY
    errors = []
    for who in (NATIVE,) if backend == "auto" and desk.only is None else backend_order(backend, desk):
        if who != NATIVE and (error := desk.others[who].unavailable()) is not None:
            errors.append(error)
            continue
        found = methods(known) if who == NATIVE else desk.others[who].methods()
        if dp is None or desk.serves_privacy(who):
            return found
        rest = {name: method for name, method in found.items() if not method.info.dp}
        if dp.strict:
            raise PrivacyError(
                f"differential privacy (epsilon {dp.epsilon:g}) was asked for, but {_not_served(who, desk)}",
                do="Ask the operator, or set strict to false to go on without any guarantee.",
            )
        return rest
    raise errors[0]


def _not_served(backend: str, desk: Backends) -> str:
    """Why a backend is not given requests for differential privacy, as a clause with its full stop."""
    if not desk.private:
        return "nobody may serve such requests here (DP_BACKEND)."
    return f"only {' or '.join(desk.private)} may serve such requests here (DP_BACKEND), not {backend}."


def no_privacy(method: AnyMethod) -> str:
    """Why a method gives no differential privacy, as a clause."""
    said = f": {method.info.claim.rstrip('.')}" if method.info.claim else ""
    by = "" if method.backend == NATIVE else f" of {method.backend}"
    return f"the method {method.info.name}{by} gives no differential privacy{said}"


def _from_backend(
    name: str, backend: str, desk: Backends, known: Mapping[str, AnyMethod] | None
) -> AnyMethod:
    """A method that can be used, from one backend; raises why there is none."""
    try:
        found = resolve_method(name, known)
    except UnknownNameError:
        if backend == NATIVE:
            raise
        found = None
    if found is not None and found.backend == backend:
        if (missing := lacking(found)) is not None:
            raise missing
        return found
    if backend == NATIVE:  # `known` holds another backend's method under this name
        raise UnknownNameError(f"no method is called {name!r} among the native ones.")
    other = desk.others[backend]
    if (unavailable := other.unavailable()) is not None:
        raise unavailable
    return other.method(found.info.name if found is not None else _plain(name))


def _chosen(  # noqa: PLR0917
    name: str, method: AnyMethod, passed: Mapping[str, SynthloomError], desk: Backends, asked: Sequence[str], why: str
) -> Choice:
    reasons: list[str] = []
    events: list[Event] = []
    for who, error in passed.items():
        absent = isinstance(error, MissingDependencyError) and who != NATIVE
        if who in asked or not absent or {_plain(name), method.info.name} & set(desk.others[who].names()):
            reasons.append(error.what.rstrip("."))  # that it lacks what it never had is no reason
        if who in asked or not absent:  # nobody misses a backend that was never installed
            events.append(Fallback(
                wanted=f"{name} by {who}", used=f"{method.info.name} by {method.backend}", reason=error.text(),
            ))
    reason = "; ".join(reasons)
    if method.backend != NATIVE:
        maker = desk.others[method.backend].title if method.backend in desk.others else method.backend
        because = f"as {reason}" if reason else why
        events.append(Notice(code="backend", message=f"{method.info.name} is made by {maker}, {because}."))
    return Choice(method, reason, tuple(events))


def _nobody(
    name: str, passed: Mapping[str, SynthloomError], desk: Backends, known: Mapping[str, AnyMethod] | None,
    dp: DPRequest | None,
) -> SynthloomError:
    """The error when nobody can make a method: of the first who knows it, or that nobody does."""
    private = [error.what.rstrip(".") for error in passed.values() if isinstance(error, PrivacyError)]
    if dp is not None and private:
        return PrivacyError(
            f"differential privacy (epsilon {dp.epsilon:g}) was asked for, but {'; '.join(private)}.",
            do="Choose a method with differential privacy, or set strict to false to go on without any guarantee.",
        )
    if len(passed) == 1:
        return next(iter(passed.values()))
    others = {who: other.names() for who, other in desk.others.items()}
    for who, error in passed.items():
        if not isinstance(error, UnknownNameError) and _plain(name) in others.get(who, (_plain(name),)):
            return error
    native = sorted(methods(known))
    every = [*native, *(n for names in others.values() for n in names)]
    return UnknownNameError(f"no method is called {name!r}.", do=_suggest(_plain(name), every, native, "Methods"))


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
    backends: Backends | None = None,
) -> Synthesizer:
    """A synthesizer, not yet fitted.

    Args:
        method: A method's name, alias or class; `synthcity:adsgan` names the backend too.
        params: The method's parameters; they override what `privacy` stands for.
        backend: Who implements the method: a name, several with commas between, or `auto` for the order of `backends`.
        privacy: Where to stand between fidelity and privacy.
        dp: Differential privacy, as asked for.
        emit: Hears who was chosen (Notice `backend`), and of steps down (`Fallback`): to another backend, or to no
            differential privacy.
        known: Methods to choose from in place of the installed ones.
        backends: Who else may implement methods, and in which order they are asked; None: nobody.

    Raises:
        UnknownNameError: no such method or backend.
        ParamsError: a parameter is unknown or out of bounds.
        PrivacyError: differential privacy was asked for and nobody who was asked can give it.
        MissingDependencyError: the method, or the backend, needs something that is not installed.
    """
    if isinstance(method, type):
        chosen = method
        if backend not in ("auto", chosen.backend):
            raise UsageError(f"the method {chosen.info.name} is made by {chosen.backend}, not by {backend}.")
        if (missing := lacking(chosen)) is not None:
            raise missing
    else:
        choice = choose_method(method, backend, known=known, backends=backends, dp=dp)
        for event in choice.events:
            emit(event)
        chosen = choice.method
    values = dict(chosen.privacy_params(privacy)) | _dp_params(chosen, dp, emit) | chosen.own_values(params or {})
    return Synthesizer(chosen(check_params(chosen, values)))


def check_params(method: AnyMethod, values: Mapping[str, Any]) -> Any:
    """Validate parameter values for a method, under its own names or known others; a misspelt name gets a suggestion.

    Raises:
        ParamsError: a name is unknown or a value out of bounds.
    """
    fields = list(method.Params.model_fields)
    values = method.own_values(values)
    for name in values:
        if name not in fields:
            by = "" if method.backend == NATIVE else f" of {method.backend}"
            why = f": {method.lacks[name]}" if name in method.lacks else ""
            raise ParamsError(
                f"unknown parameter {name!r}{why}.", where=f"method {method.info.name}{by}",
                do=_suggest(name, all_names(fields, method.meanings), fields, "Its parameters"),
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
    wanted = {"epsilon": dp.epsilon, "delta": dp.delta}
    values = {k: v for k, v in wanted.items() if v is not None and k in method.Params.model_fields}
    if method.info.dp:
        return values
    reason = no_privacy(method)
    if dp.strict:
        raise PrivacyError(
            f"differential privacy (epsilon {dp.epsilon:g}) was asked for, but {reason}.",
            do="Choose a method with differential privacy, or set strict to false to go on without any guarantee.",
        )
    wanted_dp = f"differential privacy, epsilon {dp.epsilon:g}"
    emit(Fallback(wanted=wanted_dp, used="no formal guarantee", reason=f"{reason}."))
    return values


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
