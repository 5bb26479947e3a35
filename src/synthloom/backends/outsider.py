"""A backend in an interpreter of its own, as the registry asks it for methods."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from synthloom.backends.bridge import Session
from synthloom.backends.domains import DOMAINS, ForeignDomains
from synthloom.backends.environments import catalogue, status
from synthloom.backends.foreign import Foreign, Source, foreign_method
from synthloom.backends.names import PLUGINS, UNSERVED, Plugin, plugin_of
from synthloom.backends.series import SERIES, ForeignSeries
from synthloom.backends.specs import BackendSettings, spec
from synthloom.domain.errors import BackendError, MissingDependencyError, SynthloomError, UnknownNameError
from synthloom.methods.contract import Method
from synthloom.registry import Backend


class Outsider(Backend):
    """One backend.

    Args:
        name: Which.
        settings: Where its interpreter is, and the limits of an attempt.
        refused: Why it may not be used here, whatever is installed; None: it may.
        python: Another interpreter than the installed one.
        host: Another script than its own, which then also says what plugins there are.
    """

    def __init__(
        self, name: str, settings: BackendSettings, *, refused: SynthloomError | None = None,
        python: Path | None = None, host: Path | None = None,
    ) -> None:
        self.name, self.title = name, spec(name).title
        self._settings, self._refused = settings, refused
        self._python, self._host = python, host
        self._made: dict[str, type[Method[Any]]] = {}

    def unavailable(self) -> SynthloomError | None:
        """Why it cannot be used: it may not, it is not installed, or what is installed is not whole."""
        if self._refused is not None or self._python is not None:
            return self._refused
        found = status(self.name, self._settings)
        if found.installed:
            return None
        how = f"Install it with: synthloom backends install {self.name}"
        reason = (found.reason or "").split(" Install it")[0].removeprefix("it ").removeprefix("its ").rstrip(".")
        if reason == "is not installed":
            return MissingDependencyError(f"{self.title} is not installed.", where=f"backend {self.name}", do=how)
        return BackendError(f"{self.title} cannot be used: {found.reason}", where=f"backend {self.name}", do=how)

    def names(self) -> tuple[str, ...]:
        """The methods it is known to have, installed or not."""
        return tuple(PLUGINS[self.name])

    def method(self, name: str) -> type[Method[Any]]:
        """The method of a name: a plugin's, or one that means it.

        Raises:
            UnknownNameError: it has none of that name, or one that cannot learn a table of this package.
            BackendError: the plugin is there but does not load.
        """
        own = plugin_of(self.name, name)
        if own not in self._made:
            self._made[own] = self._make(own, name)
        return self._made[own]

    def methods(self) -> dict[str, type[Method[Any]]]:
        """Plugins that `auto` may choose from."""
        known = PLUGINS[self.name]
        return {name: self.method(name) for name in self.plugins if name in known and known[name].choosable}

    def listed(self) -> tuple[dict[str, type[Method[Any]]], dict[str, str]]:
        """Every plugin that can be used here, by name, and why others cannot."""
        if (error := self.unavailable()) is not None:
            return {}, dict.fromkeys(self.names(), error.text())
        usable: dict[str, type[Method[Any]]] = {}
        others = dict(self._catalogue.get("broken", {}))
        for name, reported in self.plugins.items():
            if reported["kind"] in UNSERVED:
                others[name] = UNSERVED[reported["kind"]]
            else:
                usable[name] = self.method(name)
        return usable, others

    @cached_property
    def plugins(self) -> dict[str, Mapping[str, Any]]:
        """What each plugin says of itself, by name."""
        return {part["name"]: part for part in self._catalogue["plugins"]}

    def session(self) -> Session:
        """A session, not yet begun."""
        return Session(self.name, self._settings, python=self._python, host=self._host)

    @cached_property
    def _catalogue(self) -> dict[str, Any]:
        if self._host is None:
            return catalogue(self.name, self._settings)
        with self.session() as session:
            return session.call("list").result

    def _make(self, own: str, asked: str) -> type[Method[Any]]:
        reported = self.plugins.get(own)
        if reported is None:
            why = self._catalogue.get("broken", {}).get(own)
            if why is not None:
                raise BackendError(
                    f"{self.title}'s {own} does not load: {why}", where=f"backend {self.name}",
                    do="Choose another method or backend.",
                )
            close = difflib.get_close_matches(asked, [*self.plugins, *self.names()], n=2)
            hint = f"Did you mean {' or '.join(dict.fromkeys(close))}? " if close else ""
            raise UnknownNameError(
                f"{self.title} has no method {asked!r}.", do=f"{hint}Its methods: {', '.join(sorted(self.plugins))}.",
            )
        if (why := UNSERVED.get(reported["kind"])) is not None:
            raise UnknownNameError(
                f"{self.title}'s {own} cannot learn this table: {why}.", do="Choose another method.",
            )
        known = PLUGINS[self.name].get(own) or Plugin(own.replace("_", " "), f"{self.title}'s {own}.")
        source = Source(self.name, own, reported["kind"], self.title, self.session)
        base = ForeignSeries if source.kind in SERIES else ForeignDomains if source.kind == DOMAINS else Foreign
        return foreign_method(own, known, reported, source, base)
