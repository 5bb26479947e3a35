"""Parameters that every neural method has, and the check that torch is there."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from pydantic import Field

from synthloom.domain.errors import MissingDependencyError
from synthloom.methods.contract import MethodParams

Device = Literal["auto", "cpu", "cuda", "mps"]


class NeuralParams(MethodParams):
    """Base of the neural methods' parameters."""

    min_support: int = Field(15, ge=2, le=1000, description="No released value rests on fewer records (k).")
    epochs: int | None = Field(
        None, ge=1, le=100_000, description="Passes over the training rows at most; none: chosen by their number."
    )
    batch_size: int | None = Field(None, ge=8, le=65_536, description="Rows per step; none: chosen by their number.")
    learning_rate: float | None = Field(None, gt=0, le=1, description="Peak of the learning rate; none: the method's.")
    max_seconds: float | None = Field(
        None, gt=0, le=1e7, description="Seconds that a fit may take; it is planned to end in them. Rows then "
        "depend on the machine's speed and not on the seed alone. None: no limit."
    )
    device: Device = Field("auto", description="Where to train and sample: auto takes a GPU if there is one.")


def require_torch(method: str) -> None:
    """Raise MissingDependencyError, with what to install, when torch is not there."""
    if find_spec("torch") is None:
        raise MissingDependencyError(
            f"the method {method} needs torch, which is not installed.", where=f"method {method}",
            do="Install it with: pip install 'synthloom[neural]'",
        )
