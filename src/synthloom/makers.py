"""Who may make methods: a backend as the registry knows it, and all of them in their order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from synthloom.domain.errors import SynthloomError
from synthloom.domain.event import Event
from synthloom.methods.contract import Method

if TYPE_CHECKING:
    from synthloom.metrics.contract import Metric

NATIVE = "native"
"""The backend of the methods of this package and of those that plug into it."""

AnyMethod = type[Method[Any]]


class Backend(ABC):
    """Who makes methods out of another package.

    Attributes:
        name: What it is asked for by.
        title: Its name for people.
    """

    name: str
    title: str

    @abstractmethod
    def unavailable(self) -> SynthloomError | None:
        """Why it cannot be used here (MissingDependencyError: it is not installed); None where it can. Quick."""

    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The methods that it is known to have, installed or not."""

    @abstractmethod
    def method(self, name: str) -> AnyMethod:
        """The method of a name; only asked where it is available.

        Raises:
            UnknownNameError: it has none of that name.
            BackendError: its interpreter does not answer.
        """

    @abstractmethod
    def methods(self) -> dict[str, AnyMethod]:
        """Methods that may be chosen from without being named; only asked where it is available."""

    @abstractmethod
    def listed(self) -> tuple[dict[str, AnyMethod], dict[str, str]]:
        """Every method that can be used here, by name, and why others that it is known to have cannot."""


@dataclass(frozen=True)
class Backends:
    """Who may implement a method, and in which order they are asked.

    Attributes:
        order: Names, first the one asked first.
        others: Backends beside `native`, by name.
        only: The one backend allowed, if there is but one.
        asked: Whether a person has set the order; then a step past a backend that is not installed is a fall.
        metrics: What they measure beside our metrics.
        private: Who alone may serve requests for differential privacy (DP_BACKEND): names, none for nobody; None:
            whoever can.
    """

    order: tuple[str, ...] = ("native",)
    others: Mapping[str, Backend] = field(default_factory=dict)
    only: str | None = None
    asked: bool = False
    metrics: tuple[Metric, ...] = ()
    private: tuple[str, ...] | None = None

    def serves_privacy(self, backend: str) -> bool:
        """Whether a backend may be given requests for differential privacy; whether it can keep them is its methods'
        to say.
        """
        return self.private is None or backend in self.private

    @property
    def names(self) -> tuple[str, ...]:
        """All that can be asked for."""
        return tuple(dict.fromkeys([*self.order, NATIVE, *self.others]))


NATIVE_ONLY = Backends()


@dataclass(frozen=True)
class Choice:
    """Who makes a method.

    Attributes:
        method: The method.
        reason: Why this backend, a clause such as "synthcity is not installed"; empty where nobody else was asked.
        events: What the person should hear of it.
    """

    method: AnyMethod
    reason: str
    events: tuple[Event, ...] = ()
