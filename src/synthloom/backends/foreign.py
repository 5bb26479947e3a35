"""A backend's plugin as a method: its parameters as it reports them, its rows by way of a session.

The fitted model lives in the session, that is in the other interpreter, and ends with it. It cannot be saved: what the
other packages could give is a pickle.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NoReturn, Protocol, Self

import numpy as np
import pandas as pd
from pydantic import ConfigDict, Field, create_model

from synthloom.backends.bridge import AttemptError, Session
from synthloom.backends.names import ASKED_OTHERWISE, OURS, Plugin
from synthloom.backends.translate import Translation
from synthloom.domain.errors import BackendError, ContractError, FitError, ParamsError, UsageError
from synthloom.domain.event import Cancelled, Emit, Notice, Progress, ignore, never
from synthloom.domain.guarantee import NoGuarantee
from synthloom.domain.plan import PrivacyLevel
from synthloom.domain.schema import Schema
from synthloom.methods.contract import Arrays, Conditions, Method, MethodInfo, MethodParams
from synthloom.tables.canonical import canonical_dtype
from synthloom.tables.encode import assemble, stop_if
from synthloom.tables.rng import child

TRIES = 12
"""How often a plugin is asked for rows before it is said that it gives too few."""
_AGAIN = 1.1  # more rows than are lacking, as some of them may be unusable again
_LEAST_AGAIN = 20
_JSON_TYPES: Mapping[str, Any] = {
    "integer": int, "number": float, "boolean": bool, "string": str, "array": list[Any], "object": dict[str, Any],
}


class ForeignParams(MethodParams):
    """Base of the parameters of backends' plugins: what this package does before and after."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    min_shared: int = Field(
        10, ge=2, le=1000, description="Labels that fewer records share are not handed over, and the ends of a column "
        "of numbers are means of so many."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where it trains: auto takes a GPU if there is one."
    )


@dataclass(frozen=True)
class Source:
    """Where a plugin's methods come from.

    Attributes:
        backend: The backend's name.
        plugin: The plugin's name there.
        kind: What kind of tables it learns: `survival_analysis` wants a time and an event column.
        title: The backend's name for people.
        open: Begins a session.
    """

    backend: str
    plugin: str
    kind: str
    title: str
    open: Callable[[], Session]


class Way(Protocol):
    """How a table goes over and comes back; a `Translation` is one."""

    @property
    def schema(self) -> Schema:
        """What the table's columns are."""

    @property
    def suppressed(self) -> tuple[str, ...]:
        """Columns of which no value may be released."""

    def name_of(self, column: str | None) -> str | None:
        """What a column is called over there; None where it does not go over."""

    def kinds(self) -> dict[str, dict[str, str]]:
        """What goes over: name → {"kind": number, integer or category}."""

    def there(self, table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        """Rows as they go over."""

    def back(self, plain: pd.DataFrame) -> tuple[dict[str, pd.Series], int]:
        """Canonical cells of the rows that can be used, and how many those are."""


class Foreign(Method[Any]):
    """A plugin of a backend, as a method; `foreign_method` makes one class for each."""

    savable = False
    source: ClassVar[Source]
    base_params: ClassVar[type[ForeignParams]] = ForeignParams
    unit: ClassVar[str] = "records"
    """What its disclosure rule counts."""

    def __init__(self, params: Any) -> None:
        super().__init__(params)
        self._session: Session | None = None
        self._way: Way | None = None
        self._end: Callable[[], object] = lambda: None

    @classmethod
    def privacy_params(cls, level: PrivacyLevel) -> dict[str, Any]:
        """How many records must share a label that is handed over."""
        return {"min_shared": {"low": 5, "default": 10, "high": 25}[level]}

    @classmethod
    def device_params(cls, device: str) -> dict[str, Any]:
        """The device, where the backend knows it."""
        return {"device": device} if device in ("cpu", "cuda") else {}

    @property
    def peak_memory_mb(self) -> float | None:
        """Most memory that its session's processes have used together; None before `fit` and after `close`."""
        return None if self._session is None else self._session.peak_memory_mb

    @property
    def label_support(self) -> int:
        """Fewest records behind a label that goes over."""
        return int(self.params.min_shared)

    def fit(
        self, table: pd.DataFrame, schema: Schema, rng: np.random.Generator,
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> Self:
        """Learn from a canonical table, in the other interpreter.

        Raises:
            FitError: the table has nothing that the plugin could learn, or lacks the columns it needs.
            AttemptError: the plugin raised an error, or its process ended.
            ResourceError: its limits of time or memory.
            CancelledError: cancelled; its process is gone.
        """
        self._check(schema)
        if not len(table):
            raise FitError("the table has no rows.", do="Give at least one row.")
        way = self._learn_way(table, schema)
        for name in way.suppressed:
            emit(Notice(
                code="suppressed", column=name, message=f"No value of {name!r} is shared by {self.label_support} "
                f"{self.unit}; its cells are left empty.",
            ))
        plain = way.there(table, rng)
        stop_if(cancelled)
        self._begin()
        try:
            self._call("fit", self._request(way, schema, rng), {"train": plain}, emit, cancelled)
        except BaseException:  # raised again: a child that has not learnt is of no use to anybody
            self.close()
            raise
        self._way = way
        return self

    @property
    def _survival(self) -> bool:
        return self.source.kind == "survival_analysis"

    def _check(self, schema: Schema) -> None:
        """FitError where the schema lacks the roles that the plugin needs."""
        if self._survival and schema.survival is None:
            raise FitError(
                "it learns survival data, and no time and event column are named.", where=f"method {self.info.name}",
                do="Name them: --survival TIME,EVENT, or in the schema file.",
            )

    def _learn_way(self, table: pd.DataFrame, schema: Schema) -> Way:
        return Translation.learn(table, schema, support=self.label_support, survival=self._survival)

    def _begin(self) -> None:
        self.close()
        session = self.source.open().__enter__()
        self._session = session
        self._end = weakref.finalize(self, session.close)

    def _request(self, way: Any, schema: Schema, rng: np.random.Generator) -> dict[str, Any]:
        roles = schema.survival if self._survival else None
        ours = self.base_params.model_fields
        # what a person has not set stays the plugin's own default
        own = {k: v for k, v in self.params.model_dump(mode="json", exclude_unset=True).items() if k not in ours}
        return {
            "plugin": self.source.plugin, "params": own, "seed": int(rng.integers(2**31)), "columns": way.kinds(),
            "target": way.name_of(schema.target),
            "sensitive": [n for c in schema if c.sensitive and (n := way.name_of(c.name)) is not None],
            "time": way.name_of(roles.time) if roles else None, "event": way.name_of(roles.event) if roles else None,
            "sequence": None, "order": None, "device": self.params.device,
        }

    def _call(
        self, action: str, payload: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], emit: Emit,
        cancelled: Cancelled,
    ) -> dict[str, pd.DataFrame]:
        if self._session is None:
            raise UsageError(
                "its session has ended, and the model with it.", where=f"method {self.info.name}", do="Fit it again.",
            )
        try:
            return self._session.call(action, payload, tables, emit, cancelled).tables
        except AttemptError as error:
            if error.kind == "params" and action == "fit":
                raise ParamsError(error.what, where=f"method {self.info.name} of {self.source.backend}") from error
            raise

    def sample(
        self, n: int, rng: np.random.Generator, conditions: Conditions | None = None,
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> pd.DataFrame:
        """Draw `n` rows, asking again for those that the plugin left out or that cannot be used.

        Raises:
            UsageError: conditions, which backends are not asked for; or the session has ended.
            BackendError: after `TRIES` tries there are still too few rows.
        """
        if conditions is not None:
            raise UsageError("it cannot sample under conditions.", where=f"method {self.info.name}")
        way = self._fitted()
        parts: list[dict[str, pd.Series]] = []
        have = tries = asked = 0
        while have < n:
            if tries == TRIES:
                self._too_few(have, n)
            tries += 1
            ask = n - have if tries == 1 else self._again(n - have, asked, have)
            asked += ask
            payload = {"n": ask, "seed": int(rng.integers(2**31))}
            drawn = self._call("sample", payload, {}, self._told(emit, have / n, n), cancelled)
            if "synthetic" not in drawn:
                raise ContractError("the backend gave no table.", where=f"method {self.info.name}")
            cells, usable = way.back(drawn["synthetic"])
            parts.append(cells)
            have += usable
        emit(Progress(step="sample", fraction=1.0))
        return self._joined(parts, n, way.schema, rng)

    def _again(self, lack: int, asked: int, have: int) -> int:  # noqa: ARG002  # what a kind of plugin gives may tell
        """How many rows to ask for where `lack` are lacking and `have` have come of those `asked`."""
        return max(int(lack * _AGAIN), _LEAST_AGAIN)

    def _fitted(self) -> Way:
        if self._way is None:
            raise UsageError("this is not fitted yet.", where=f"method {self.info.name}", do="Call fit first.")
        return self._way

    def _told(self, emit: Emit, done: float, n: int) -> Emit:
        def tell(event: Any) -> None:
            if isinstance(event, Progress):
                event = Progress(step="sample", fraction=done + (1 - done) * event.fraction, message=event.message)
            emit(event)

        tell(Progress(step="sample", fraction=0.0, message=f"{self.source.title} draws {n:,} rows"))
        return tell

    def _too_few(self, have: int, n: int) -> NoReturn:
        raise BackendError(
            f"{self.source.title} gave {have:,} usable rows of {n:,} in {TRIES} tries.",
            where=f"method {self.info.name} of {self.source.backend}",
            do="Let it learn more rows or rounds, ask for fewer rows, or choose another method.",
        )

    @staticmethod
    def _joined(
        parts: list[dict[str, pd.Series]], n: int, schema: Schema, rng: np.random.Generator
    ) -> pd.DataFrame:
        made = {}
        for column in schema.modelled:
            pieces = [part[column.name] for part in parts if len(part[column.name])]
            empty = pd.Series([], dtype=canonical_dtype(column))
            made[column.name] = pd.concat(pieces, ignore_index=True).iloc[:n] if pieces else empty
        return assemble(made, schema, n, child(int(rng.integers(2**31)), "unmodelled"))

    def guarantee(self) -> NoGuarantee:
        """No formal promise, whatever epsilon the plugin's maker states."""
        stated = getattr(self.params, "epsilon", None) if self.info.claim else None
        return NoGuarantee(
            rules=self._rules(), stated_epsilon=stated, why=self.info.claim,
        )

    def _rules(self) -> tuple[str, ...]:
        k, ends = self.label_support, "" if self.unit == "records" else f", one of each of its {self.unit}"
        return (
            f"Labels that fewer than {k} {self.unit} hold are not handed to {self.source.title}: they go over as "
            "commoner ones.",
            f"Numbers go over drawn in to the means of the {k} smallest and the {k} largest{ends}, and come back "
            "inside.",
            f"What {self.source.title} otherwise remembers of single {self.unit} is not bounded.",
        )

    def close(self) -> None:
        """End the session, and the model with it."""
        session, self._session = self._session, None
        if session is not None:
            self._end()

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Nothing: what was learnt lives in the other interpreter.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"a model of the backend {self.source.backend} cannot be saved.", where=f"method {self.info.name}",
        )

    @classmethod
    def from_state(cls, params: Any, schema: Schema, arrays: Arrays, meta: dict[str, Any]) -> Self:  # noqa: ARG003
        """There is no state to come back from.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"a model of the backend {cls.source.backend} cannot be read.", where=f"method {cls.info.name}",
        )


def foreign_method(
    name: str, known: Plugin, reported: Mapping[str, Any], source: Source, base: type[Foreign] = Foreign
) -> type[Method[Any]]:
    """A plugin as a method.

    Args:
        name: The method's name.
        known: What this package knows of the plugin.
        reported: What the plugin says of itself: `params`, see `environments.catalogue`.
        source: Where it runs.
        base: What makes a table of it, and rows of what it draws.
    """
    fields = dict(_field(part) for part in reported["params"] if part["name"] not in OURS)
    params = create_model(f"{name.title().replace('_', '')}Params", __base__=base.base_params, **fields)
    params.__doc__ = f"Parameters of {source.title}'s {source.plugin}."
    info = MethodInfo(
        name=name, title=f"{known.title} of {source.title}", summary=known.summary, paper=source.title,
        aliases=known.aliases, claim=known.claim,
    )
    return type(f"Foreign_{source.backend}_{name}", (base,), {
        "__doc__": f"{source.title}'s {source.plugin}.", "info": info, "Params": params, "backend": source.backend,
        "source": source, "meanings": known.meanings, "lacks": dict(ASKED_OTHERWISE) | dict(known.lacks),
    })


def _field(part: Mapping[str, Any]) -> tuple[str, Any]:
    """A plugin's parameter as a field: of its type, and None where that is its default."""
    kind = _JSON_TYPES.get(str(part.get("type")), Any)
    default = part.get("default")
    hints = []
    if part.get("low") is not None and part.get("high") is not None:
        hints.append(f"Proposed: {part['low']:g} to {part['high']:g}.")
    if part.get("choices"):
        hints.append(f"Proposed: {', '.join(map(str, part['choices']))}.")
    text = " ".join([f"The plugin's own {part['name']}.", *hints])
    annotation = kind if kind is Any or (default is not None) else kind | None
    return part["name"], (annotation, Field(default, description=text))
