"""All backends of this machine together, as settings have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from synthloom.backends.evaluators import synthcity_metrics
from synthloom.backends.sdv import Sdv
from synthloom.backends.specs import BackendSettings
from synthloom.backends.synthcity import SynthCity
from synthloom.domain.errors import UsageError
from synthloom.registry import NATIVE, Backend, Backends

DEFAULT_ORDER = ("synthcity", "native", "sdv")
PRIVATE: Mapping[str, tuple[str, ...] | None] = {
    "any": None, "none": (), "custom": (NATIVE,), "native": (NATIVE,), "synthcity": ("synthcity",),
}
"""Values of DP_BACKEND → who may serve requests for differential privacy; None: whoever can."""


class DeskSettings(BackendSettings, Protocol):
    """What of `settings.Settings` decides who makes a method; a `Settings` is one."""

    @property
    def backends(self) -> str:
        """Names with commas between, the first one asked first."""

    @property
    def synthcity_only(self) -> bool:
        """Whether nothing but SynthCity may make a method."""

    @property
    def synthcity_metrics(self) -> bool:
        """Whether SynthCity's metrics are measured too."""

    @property
    def dp_backend(self) -> Literal["any", "none", "custom", "native", "synthcity"]:
        """Who may serve requests for differential privacy."""

    @property
    def sdv_licensed(self) -> bool:
        """Whether the operator of a service may offer SDV."""


def make_backends(settings: DeskSettings, *, hosted: bool = False) -> Backends:
    """Who may make methods here, in the order in which they are asked. Starts nothing and reads nothing.

    Args:
        settings: The environment's.
        hosted: Whether this is a service for others.

    Raises:
        UsageError: the order names a backend that there is not.
    """
    city = SynthCity(settings)
    others: dict[str, Backend] = {
        "synthcity": city, "sdv": Sdv(settings, hosted=hosted, licensed=settings.sdv_licensed),
    }
    order = tuple(dict.fromkeys(part.strip().lower() for part in settings.backends.split(",") if part.strip()))
    unknown = [name for name in order if name != NATIVE and name not in others]
    if unknown or not order:
        raise UsageError(
            f"{settings.backends!r} cannot be used: {', '.join(unknown) or 'nothing'} is no backend.",
            where="environment variable SYNTHLOOM_BACKENDS", do=f"Name some of: {', '.join((NATIVE, *others))}.",
        )
    return Backends(
        order=order, others=others, only="synthcity" if settings.synthcity_only else None, asked=order != DEFAULT_ORDER,
        metrics=synthcity_metrics(city) if settings.synthcity_metrics else (), private=PRIVATE[settings.dp_backend],
    )
