"""The bridge to a backend's interpreter: one child process for one attempt, spoken to in JSON and Parquet.

    with Session("synthcity", settings) as session:
        session.call("fit", {"plugin": "ctgan", "params": {"n_iter": 100}, "seed": 1}, {"train": table}, emit, cancelled)
        reply = session.call("sample", {"n": 500, "seed": 2}, {}, emit, cancelled)
        reply.tables["synthetic"]

A fitted foreign model lives in the session and dies with it: no model of a backend is ever written into a file of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pandas as pd

from synthloom.backends.specs import BackendSettings
from synthloom.domain.errors import BackendError
from synthloom.domain.event import Cancelled, Emit, ignore, never


class AttemptError(BackendError):
    """A backend's attempt ended without a result.

    Attributes:
        kind: `plugin` (the backend raised an error), `params` (it refused a parameter), `crashed` (its process ended),
            `garbage` (its answer cannot be read), `start` (it did not begin).
        error: The backend's own error class, such as `ValueError`; None where there is none.
        stderr: The last 64 KB of what it wrote to standard error.
    """

    def __init__(
        self, what: str, *, where: str | None = None, do: str | None = None, kind: str = "crashed",
        error: str | None = None, stderr: str = "",
    ) -> None:
        super().__init__(what, where=where, do=do)
        self.kind = kind
        self.error = error
        self.stderr = stderr


@dataclass(frozen=True)
class Reply:
    """What an action gave.

    Attributes:
        result: JSON.
        tables: Tables by name, as plain pandas frames with a fresh index.
    """

    result: dict[str, Any]
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)


class Session:
    """A child process in a backend's interpreter, for one attempt. A context manager; not for several threads at once.

    The child sees a private folder (its home, caches, temporary files and working directory), a minimal environment,
    and nothing of ours. It and all it has started are gone within a second when `cancelled` turns true, when the
    session's time or memory is used up, when the session is closed, and when our own process ends, however it ends.

    Args:
        name: The backend.
        settings: Where its interpreter is, and the session's limits of time and memory. Time runs from `__enter__`.
        folder: A folder in which the private one is made; None: the system's temporary folder.
        threads: Threads that the backend's libraries may use; None: as in this process.
        python: Another interpreter than the installed one.
        host: Another script than the backend's own: a file with a dict `ACTIONS` of functions (see `hosts/shell.py`).

    Actions of every host:
        `list`: {} → what `environments.catalogue` describes.
        `check`: {} → {"versions": {...}, "seconds": …}; learns a tiny table and draws from it.

    Actions of `synthcity` and `sdv`, on tables with columns of float64, int64 and strings (no missing cells for
    synthcity; sdv takes them):
        `fit`: {"plugin", "params": {...}, "seed": int, "columns": {name: {"kind": "number|integer|category"}},
            "target": name | None, "sensitive": [names], "time": name | None, "event": name | None, "sequence": name |
            None, "order": name | None, "device": "auto|cpu|cuda"}, table `train` → {"seconds", "plugin", "params"
            (as used, defaults included)}. A session holds one fitted plugin; another `fit` replaces it.
        `sample`: {"n": int, "seed": int} → {"rows": int}, table `synthetic` with the columns of `train`. The rows are
            what the backend gave, at most n, and may be fewer (SynthCity drops duplicates): ask again with another seed.
        `evaluate` (synthcity): {"metrics": {"stats": ["ks_test", …], …} | None for all, "target", "sensitive", "task":
            "classification|regression|survival_analysis", "time", "event", "seed"}, tables `train`, `holdout`,
            `synthetic` → {"metrics": {"stats.ks_test.marginal": 0.9, …}, "directions": {key: "minimize|maximize"},
            "undefined": {key: reason}, "seconds"}.
    """

    def __init__(
        self, name: str, settings: BackendSettings, *, folder: Path | None = None, threads: int | None = None,
        python: Path | None = None, host: Path | None = None,
    ) -> None:
        self.name = name

    @property
    def peak_memory_mb(self) -> float:
        """The most memory that its processes have used together, in MB."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """End the child and remove its folder; nothing happens a second time."""
        raise NotImplementedError

    def call(
        self, action: str, payload: Mapping[str, Any] | None = None, tables: Mapping[str, pd.DataFrame] | None = None,
        emit: Emit = ignore, cancelled: Cancelled = never,
    ) -> Reply:
        """Let the child do something and wait for it.

        Args:
            action: What, such as `fit`.
            payload: JSON-safe values.
            tables: Tables by name; their index is left out.
            emit: Hears of `Progress`, `Loss` and `Notice` events that the host sends.
            cancelled: Asked 20 times a second.

        Raises:
            AttemptError: the backend raised, ended or answered nonsense; its words are quoted. After an error that the
                backend raised the session goes on; after anything else it has ended.
            BackendError: not installed, or the session has ended.
            ResourceError: its time or memory is used up; the session has ended.
            CancelledError: cancelled; the session has ended.
        """
        raise NotImplementedError
