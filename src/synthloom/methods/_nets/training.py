"""What every training needs: a device, seeds, a course through the steps, averaged weights, and weights as arrays."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from synthloom.domain.errors import FitError, ParamsError
from synthloom.domain.event import Cancelled, Emit, Loss, Progress
from synthloom.tables.encode import stop_if

Arrays = dict[str, np.ndarray]
_TELL_EVERY = 0.2
"""Seconds between two progress events."""
_LOOK_EVERY = 0.1
"""Seconds between two looks at `cancelled`, which may ask a database."""
_TRAINED, _LEAST_SECONDS = 0.85, 0.5
"""Share of the time left that goes into training, and the least of it; the rest puts the columns' shares right."""
_CALIBRATED = 800
"""Rows that they are put right with, for each second that a fit may take: about a seventh of it."""
M = TypeVar("M", bound=nn.Module)


def choose_device(wanted: str, method: str) -> torch.device:
    """The device asked for; `auto` takes cuda, then mps, then cpu.

    Raises:
        ParamsError: it is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, usable in there.items() if usable))
    if not there[wanted]:
        raise ParamsError(
            f"device={wanted!r} is not there.", where=f"method {method}",
            do=f"Choose one of: auto, {', '.join(name for name, usable in there.items() if usable)}.",
        )
    return torch.device(wanted)


def time_to_train(
    max_seconds: float | None, began: float, trainings: int = 1, share: float = _TRAINED
) -> float | None:
    """Seconds for a training, so that a fit with what comes before and after takes `max_seconds`; None: no limit.

    Args:
        max_seconds: That the whole fit may take.
        began: When it began (`time.monotonic`).
        trainings: Among how many the time left is shared.
        share: Of the time left that goes into training.
    """
    if max_seconds is None:
        return None
    return max(share * (max_seconds - (time.monotonic() - began)) / trainings, _LEAST_SECONDS)


def calibration_rows(most: int, max_seconds: float | None) -> int:
    """Rows to put the columns' shares right with: `most`, or fewer where the fit may take `max_seconds` only."""
    return most if max_seconds is None else min(most, max(int(_CALIBRATED * max_seconds), 512))


@contextmanager
def seeded(rng: np.random.Generator, device: torch.device) -> Iterator[torch.Generator]:
    """Torch's own randomness (weights, dropout) out of `rng`, put back as it was at the end.

    Yields:
        A generator on `device` for everything that takes one.
    """
    seed = int(rng.integers(2**63))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield torch.Generator(device=device).manual_seed(seed)


@dataclass
class Course:
    """One training's way through its steps: progress, losses as events, cancelling, time, and a loss gone wrong.

    Attributes:
        steps: Steps at most.
        emit, cancelled: The run's.
        max_seconds: Time at most; `fraction` then runs to 1 within it, so that a learning rate that follows `fraction`
            has come down when time is up.
        low, high: Where in the stage's progress the training begins and ends.
    """

    steps: int
    emit: Emit
    cancelled: Cancelled
    max_seconds: float | None = None
    low: float = 0.1
    high: float = 0.97
    fraction: float = 0.0
    step: int = 0
    note: str = ""
    _start: float = field(default_factory=time.monotonic)
    _told: float = -math.inf
    _looked: float = -math.inf
    stopped: bool = False

    def __iter__(self) -> Iterator[int]:
        """Step after step, until all are done, time is up or `stop` was called."""
        for step in range(self.steps):
            self.step = step
            self.look()
            self.fraction = self.step / self.steps
            if self.max_seconds is not None:
                spent = self.seconds / self.max_seconds
                if spent >= 1:
                    return
                self.fraction = max(self.fraction, spent)
            self._tell()
            yield self.step
            if self.stopped:
                return
        self.step = self.steps

    @property
    def seconds(self) -> float:
        """Seconds since the course was made."""
        return time.monotonic() - self._start

    @property
    def out_of_time(self) -> bool:
        """Whether time, and not the number of steps, ended the training."""
        return self.max_seconds is not None and self.step < self.steps and not self.stopped

    def stop(self) -> None:
        """End after the running step: there is nothing more to gain."""
        self.stopped = True

    def look(self) -> None:
        """Raise CancelledError when the run is to stop; for use inside long steps too."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_EVERY:
            self._looked = now
            stop_if(self.cancelled)

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told >= _TELL_EVERY:
            self._told = now
            message = f"step {self.step} of {self.steps}{self.note}"
            self.emit(Progress(step="fit", fraction=self.low + (self.high - self.low) * self.fraction, message=message))

    def loss(self, name: str, value: float, suspect: Callable[[], str | None] = lambda: None) -> None:
        """Tell a loss.

        Args:
            name: Such as "train" or "validation".
            value: The loss.
            suspect: Finds the column that most likely made it infinite or not a number.

        Raises:
            FitError: the loss is infinite or not a number.
        """
        if not math.isfinite(value):
            column = suspect()
            likely = f" The column that most likely causes it is {column!r}." if column else ""
            raise FitError(
                f"training broke down at step {self.step}: the {name} loss is {value}.{likely}",
                do="Lower learning_rate, or look at that column's values." if column else "Lower learning_rate.",
            )
        self.emit(Loss(name=name, iteration=self.step, value=value))


def one_cycle(fraction: float, warm: float = 0.1, end: float = 0.01) -> float:
    """Share of the peak learning rate at a point of the course: up in a line, then down along a cosine.

    Args:
        fraction: 0 to 1.
        warm: Share of the course that goes up.
        end: Share of the peak that is left at the end.
    """
    if fraction < warm:
        return max(end, fraction / warm)
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, (fraction - warm) / (1 - warm))))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate


class Average:
    """Exponential moving average of a module's weights (Polyak & Juditsky 1992), slow to start trusting the past."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay, self._seen = decay, 0
        self._weights = [p.detach().clone() for p in module.parameters()]

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the present weights."""
        self._seen += 1
        weight = 1 - min(self._decay, self._seen / (self._seen + 10))
        torch._foreach_lerp_(self._weights, list(module.parameters()), weight)

    @torch.no_grad()
    def swap(self, module: nn.Module) -> None:
        """Exchange the module's weights with the average's; twice puts all back."""
        for mine, theirs in zip(self._weights, module.parameters(), strict=True):
            kept = theirs.detach().clone()
            theirs.copy_(mine)
            mine.copy_(kept)


@dataclass
class Patience:
    """Early stopping: keeps the best weights by the validation loss.

    Attributes:
        patience: Bad looks in a row before it is over.
    """

    patience: int
    best: float = math.inf
    bad: int = 0
    weights: dict[str, torch.Tensor] = field(default_factory=dict)

    def look(self, loss: float, module: nn.Module) -> bool:
        """Take in a validation loss; True when training is to end."""
        if loss < self.best:
            self.best, self.bad = loss, 0
            self.weights = {k: v.detach().clone() for k, v in module.state_dict().items()}
        else:
            self.bad += 1
        return self.bad >= self.patience

    def restore(self, module: nn.Module) -> None:
        """Put the best weights back; nothing where there was no look."""
        if self.weights:
            module.load_state_dict(self.weights)


def weights_to_arrays(module: nn.Module, prefix: str) -> Arrays:
    """A module's weights and buffers as arrays on the CPU, for a model file."""
    return {prefix + name: value.detach().cpu().numpy().copy() for name, value in module.state_dict().items()}


def arrays_to_weights(module: M, prefix: str, arrays: Arrays) -> M:
    """The inverse of `weights_to_arrays`; a ValueError when they are not this module's."""
    own = {name[len(prefix):]: torch.from_numpy(np.array(a)) for name, a in arrays.items() if name.startswith(prefix)}
    try:
        module.load_state_dict(own)
    except RuntimeError as error:
        raise ValueError("the weights are not this net's.") from error
    return module.eval()
