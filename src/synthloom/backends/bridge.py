"""The bridge to a backend's interpreter: one child process for one attempt, spoken to in JSON and Parquet.

    with Session("synthcity", settings) as session:
        session.call("fit", {"plugin": "ctgan", "params": {"n_iter": 100}, "seed": 1}, {"train": table})
        reply = session.call("sample", {"n": 500, "seed": 2})
        reply.tables["synthetic"]

A fitted foreign model lives in the session and dies with it: no model of a backend is ever written into a file of ours.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import tempfile
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from synthloom.backends.child import Child, Ended
from synthloom.backends.environments import interpreter
from synthloom.backends.specs import HERE, BackendSettings, spec
from synthloom.domain.errors import BackendError, CancelledError, ResourceError
from synthloom.domain.event import Cancelled, Emit, Event, Loss, Notice, Progress, ignore, never

if TYPE_CHECKING:
    import pandas as pd

MAX_CELLS = 500_000_000
"""Most cells of a table that a child may answer with."""
_TICK, _MEMORY_TICK = 0.05, 0.2
_QUOTED_LINES, _QUOTED = 6, 900
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
_PASSED_ON = (*_THREADS, "LANG", "LC_ALL", "LC_CTYPE", "TZ", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER",
              "NVIDIA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


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
    session's time or memory is used up, when the session is closed or forgotten, and when our own process ends, however
    it ends.

    Args:
        name: The backend.
        settings: Where its interpreter is, and the session's limits of memory and of time, which runs while it is
            called.
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
            what the backend gave, at most n, and may be fewer (SynthCity drops duplicates): ask again with another
            seed.
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
        self._spec = spec(name)
        self._settings = settings
        self._base = folder
        self._threads = threads
        self._python = python
        self._host = host or self._spec.host
        self._folder: Path | None = None
        self._child: Child | None = None
        self._left = settings.backend_seconds
        self._calls = 0
        self._peak = 0.0
        self._end: weakref.finalize[..., Session] | None = None

    @property
    def peak_memory_mb(self) -> float:
        """The most memory that its processes have used together, in MB."""
        return self._peak

    def __enter__(self) -> Self:
        if os.name != "posix":
            raise BackendError(
                f"{self._spec.title} runs on Linux and macOS only.", where=f"backend {self.name}",
                do="On Windows, use it under WSL, or choose the backend native.",
            )
        python = self._python or interpreter(self.name, self._settings)
        child: Child | None = None
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="synthloom-", dir=self._base)).resolve()
            for part in ("home", "cache", "tmp", "work"):
                (self._folder / part).mkdir()
            child = Child(self._command(python), self._folder / "work", self._environment(self._folder))
        except OSError as error:
            if self._folder is not None:
                _end(child, self._folder)
            raise AttemptError(
                f"it could not be started: {error.strerror or error}.", where=self._where(), kind="start",
                do=f"See whether it is whole: synthloom backends check {self.name}",
            ) from error
        self._child = child
        self._end = weakref.finalize(self, _end, child, self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child and remove its folder; nothing happens a second time."""
        self._child = None
        if self._end is not None:
            self._end()

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
        child, folder = self._child, self._folder
        if child is None or folder is None:
            raise BackendError("its session has ended.", where=self._where(), do="Begin a new attempt.")
        self._calls += 1
        call = folder / f"call-{self._calls:04d}"
        began = time.monotonic()
        try:
            self._write_request(call, action, payload or {}, tables or {})
            child.send(call.name)
            answer = self._wait(child, action, call.name, emit, cancelled)
            if answer["type"] == "failed":
                raise self._failure(child, action, answer)
            return self._read_answer(child, action, call)
        except AttemptError as error:
            if error.kind not in ("plugin", "params"):
                self.close()
            raise
        except BaseException:  # raised again: after a cancel or a broken talk nobody knows what the child is doing
            self.close()
            raise
        finally:
            self._left -= time.monotonic() - began
            shutil.rmtree(call, ignore_errors=True)

    # --- what goes in

    def _command(self, python: Path) -> list[str]:
        memory = self._settings.backend_memory_mb
        at_once = 2 * memory + 1024 if memory is not None else 0  # what no watch that looks now and then could stop
        shell = HERE / "hosts" / "shell.py"
        return [str(python), "-s", "-u", str(shell), str(self._host), str(self._folder), "{lifeline}", str(at_once)]

    def _environment(self, folder: Path) -> dict[str, str]:
        chosen = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        if self._threads is not None:
            chosen |= dict.fromkeys(_THREADS, str(self._threads))
        home, cache = str(folder / "home"), str(folder / "cache")
        return {"LANG": "C.UTF-8"} | chosen | {
            "PATH": os.defpath, "HOME": home, "XDG_CACHE_HOME": cache, "XDG_CONFIG_HOME": home, "XDG_DATA_HOME": home,
            "MPLCONFIGDIR": cache, "NUMBA_CACHE_DIR": cache, "MPLBACKEND": "Agg", "TMPDIR": str(folder / "tmp"),
            "PYTHONHASHSEED": "0", "PYTHONNOUSERSITE": "1", "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUTF8": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DO_NOT_TRACK": "1",
        }

    def _write_request(
        self, call: Path, action: str, payload: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]
    ) -> None:
        names = {name: f"in-{position}.parquet" for position, name in enumerate(sorted(tables))}
        request = {"action": action, "payload": dict(payload), "tables": names}
        try:
            call.mkdir()
            for name, file in names.items():
                _write_table(tables[name], call / file)
            (call / "request.json").write_text(json.dumps(request, allow_nan=False), encoding="utf-8")
        except OSError as error:
            raise BackendError(
                f"the table cannot be handed over: {error.strerror or error}.", where=self._where(action),
                do="See that the temporary folder has room (TMPDIR names another one).",
            ) from error

    # --- what comes out

    def _wait(self, child: Child, action: str, call: str, emit: Emit, cancelled: Cancelled) -> dict[str, Any]:
        """The call's last answer; the child is measured and judged while it works."""
        measured, deadline = 0.0, time.monotonic() + self._left
        while True:
            now = time.monotonic()
            if cancelled():
                raise CancelledError("the backend was stopped.", where=self._where(action))
            if now >= deadline:
                raise self._too_long(action)
            if now - measured >= _MEMORY_TICK:
                measured = now
                self._check_memory(child, action)
            try:
                answer = child.answers.get(timeout=_TICK)
            except queue.Empty:
                continue
            if isinstance(answer, Ended):
                raise self._died(child, action)
            if answer.get("type") in ("done", "failed") and answer.get("call") == call:
                self._check_memory(child, action)
                return answer
            if (event := _event(answer)) is not None:
                emit(event)

    def _check_memory(self, child: Child, action: str) -> None:
        used, limit = child.memory_mb(), self._settings.backend_memory_mb
        self._peak = max(self._peak, used, child.peak_mb())
        if limit is not None and used > limit:
            raise self._too_much(action, f"{used:,.0f} MB, more than the {limit:,} MB it may")

    def _read_answer(self, child: Child, action: str, call: Path) -> Reply:
        try:
            answer = json.loads((call / "result.json").read_text(encoding="utf-8"))
            result, names = dict(answer["result"]), dict(answer["tables"])
            return Reply(result, {name: _read_table(call, str(file)) for name, file in names.items()})
        except (OSError, ValueError, TypeError, KeyError) as error:  # Arrow's errors are ValueErrors or OSErrors
            raise AttemptError(
                f"its answer cannot be read ({type(error).__name__}: {str(error)[:200]}).{_last_words(child.stderr)}",
                where=self._where(action), kind="garbage", stderr=child.stderr,
                do="This is a defect of the backend or of its installation.",
            ) from error

    # --- errors

    def _where(self, action: str | None = None) -> str:
        return f"backend {self.name}, {action}" if action else f"backend {self.name}"

    def _failure(self, child: Child, action: str, answer: Mapping[str, Any]) -> BackendError | ResourceError:
        kind, error, message = (str(answer.get(key, "")) for key in ("kind", "error", "message"))
        if kind == "memory":
            return self._too_much(action, "more memory than there was for it")
        what = f"{self._spec.title} raised {error}: {' '.join(message.split())[:_QUOTED]}"
        what += "" if what.endswith((".", "!", "?")) else "."
        if kind == "params":
            return AttemptError(
                f"{message}{'' if message.endswith('.') else '.'}", where=self._where(action), kind=kind, error=error,
                stderr=child.stderr, do="`synthloom methods` lists what its methods take.",
            )
        return AttemptError(
            what + _last_words(child.stderr), where=self._where(action), kind="plugin", error=error,
            stderr=child.stderr, do="Change the method's parameters, or choose another method or backend.",
        )

    def _died(self, child: Child, action: str) -> AttemptError:
        child.wait_for_end(1.0)
        return AttemptError(
            f"{self._spec.title}'s process ended without a result ({_how(child.returncode)})."
            f"{_last_words(child.stderr)}", where=self._where(action), kind="crashed", stderr=child.stderr,
            do=f"See whether it is whole: synthloom backends check {self.name}",
        )

    def _too_long(self, action: str) -> ResourceError:
        return ResourceError(
            f"{self._spec.title} took longer than the {self._settings.backend_seconds:g} seconds it may.",
            where=self._where(action), do="Let it learn fewer rows or rounds, or raise SYNTHLOOM_BACKEND_SECONDS.",
        )

    def _too_much(self, action: str, used: str) -> ResourceError:
        return ResourceError(
            f"{self._spec.title} used {used}.", where=self._where(action),
            do="Let it learn fewer rows or columns, or raise SYNTHLOOM_BACKEND_MEMORY_MB.",
        )


def _end(child: Child | None, folder: Path) -> None:
    """End a session's process and remove its folder."""
    if child is not None:
        child.kill()
    shutil.rmtree(folder, ignore_errors=True)  # its watcher may be removing it at the same time


def _event(answer: Mapping[str, Any]) -> Event | None:
    """A host's event as one of ours; None for what is none."""
    shapes: dict[str, type[Progress] | type[Loss] | type[Notice]] = {
        "progress": Progress, "loss": Loss, "notice": Notice,
    }
    shape = shapes.get(str(answer.get("type")))
    if shape is None:
        return None
    try:
        return shape.model_validate({key: value for key, value in answer.items() if key in shape.model_fields})
    except ValueError:  # pydantic's too: not of the shape that a host agreed to, and nothing depends on it
        return None


def _last_words(stderr: str) -> str:
    """The end of standard error as a sentence; empty where nothing was said."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip(" ^~\t")]  # but for marks under code
    quoted = " / ".join(lines[-_QUOTED_LINES:])[-_QUOTED:]
    return f" It last wrote: {quoted}{'' if quoted.endswith('.') else '.'}" if quoted else ""


def _how(returncode: int | None) -> str:
    if returncode is None:
        return "it closed its output"
    if returncode >= 0:
        return f"exit status {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"
    return f"signal {name}" + ("; perhaps the machine ran out of memory" if name == "SIGKILL" else "")


def _write_table(frame: pd.DataFrame, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(table.replace_schema_metadata(None), path)  # pandas' own notes differ from version to version


def _read_table(folder: Path, name: str) -> pd.DataFrame:
    import pyarrow.parquet as pq

    path = folder / name
    if Path(name).name != name or path.is_symlink() or not path.is_file():
        raise ValueError(f"{name!r} is no file of its folder")
    shape = pq.read_metadata(path)
    if shape.num_rows * shape.num_columns > MAX_CELLS:
        raise ValueError(f"a table of {shape.num_rows} x {shape.num_columns} cells is too large")
    frame: pd.DataFrame = pq.read_table(path).to_pandas(ignore_metadata=True)
    return frame
