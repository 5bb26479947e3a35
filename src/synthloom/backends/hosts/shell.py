"""What every host runs in: started by the bridge as `python -s shell.py HOST_SCRIPT FOLDER LIFELINE DATA_LIMIT_MB`.

Nothing but the standard library, so that any interpreter from Python 3.8 on can run it; pandas and pyarrow are imported
where a table crosses over.

Two processes. The watcher does nothing but watch: when the lifeline (a pipe held open by the process that started us)
closes, when it is told to end, or when the worker ends, it kills the worker with everything that the worker has
started, removes the private folder where nobody else will, and ends. The worker reads the names of calls from standard
input, one a line, and for each: reads CALL/request.json, runs an action of the host script, writes CALL/result.json
and one line to standard output. Whatever else is printed goes to standard error.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import select
import shutil
import signal
import sys
import time
import traceback
from contextlib import suppress
from typing import Any, Callable, Dict, Iterator  # noqa: UP035  # this file must run under Python 3.8

MESSAGE = 2000  # characters of an error's text that cross over
_PR_SET_PDEATHSIG = 1


Say = Callable[[Dict[str, Any]], None]  # noqa: UP006


class Refusal(Exception):  # noqa: N818  # not an error of ours, but an answer
    """A parameter or a request that the backend does not take."""


class Context:
    """What an action has at hand: the call's folder and tables, what earlier actions left, and a voice."""

    refuse = Refusal

    def __init__(self, say: Say, state: dict[str, Any]) -> None:
        self.state = state  # lives as long as the process
        self.folder = ""
        self.tables: dict[str, str] = {}
        self._say = say
        self._last = 0.0

    def table(self, name: str) -> Any:
        """A table that came with the call, as a pandas frame."""
        import pyarrow.parquet as pq

        if name not in self.tables:
            raise Refusal(f"no table {name!r} came with the request")
        return pq.read_table(os.path.join(self.folder, self.tables[name])).to_pandas(ignore_metadata=True)

    def progress(self, step: str, fraction: float, message: str = "") -> None:
        """How far a step is, 0 to 1; at most ten times a second."""
        now = time.monotonic()
        if fraction >= 1 or now - self._last >= 0.1:
            self._last = now
            self._say({"type": "progress", "step": step, "fraction": min(max(fraction, 0.0), 1.0),
                       "message": str(message)[:200]})

    def loss(self, name: str, iteration: int, value: float) -> None:
        """A training loss."""
        if value == value and abs(value) != float("inf"):  # noqa: PLR0124  # NaN is unequal to itself
            self._say({"type": "loss", "name": str(name)[:40], "iteration": int(iteration), "value": float(value)})

    def notice(self, code: str, message: str) -> None:
        """Something the person should know."""
        self._say({"type": "notice", "code": str(code)[:40], "message": str(message)[:MESSAGE]})

    def listen_to_loops(self, step: str) -> None:
        """Let the outermost loop that is shown with tqdm tell how far `step` is, and losses; call before importing."""
        _LOOP.update(context=self, step=step, depth=0)
        _listen_to_loops()


_LOOP: Dict[str, Any] = {"context": None, "step": "fit", "depth": 0, "listening": False}  # noqa: UP006
_SHOWN_LOSS = re.compile(r"([A-Za-z]+)[^A-Za-z0-9-]*(-?[0-9]+\.[0-9]+)")


def _listen_to_loops() -> None:
    import tqdm

    if _LOOP["listening"]:
        return

    class Listening(tqdm.std.tqdm):  # type: ignore[misc]
        """A tqdm without a bar."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs["disable"] = True
            super().__init__(*args, **kwargs)
            self._items: Any = args[0] if args else kwargs.get("iterable")
            self._at = 0

        def __iter__(self) -> Iterator[Any]:
            total = len(self._items) if hasattr(self._items, "__len__") else 0
            _LOOP["depth"] += 1
            try:
                for at, item in enumerate(self._items):
                    self._at = at
                    if _LOOP["depth"] == 1 and total:
                        _LOOP["context"].progress(_LOOP["step"], at / total, f"{at} of {total}")
                    yield item
            finally:
                _LOOP["depth"] -= 1

        def set_postfix(self, ordered_dict: Any = None, *_: Any, **values: Any) -> None:
            """What is shown beside a bar."""
            for name, value in {**(ordered_dict or {}), **values}.items():
                if "loss" in str(name).lower() and isinstance(value, float):
                    _LOOP["context"].loss("train", self._at, value)

        def set_description(self, desc: Any = None, *_: Any, **__: Any) -> None:
            """What is shown before a bar; numbers in it are losses by name."""
            for name, value in _SHOWN_LOSS.findall(desc or ""):
                _LOOP["context"].loss(name.lower(), self._at, float(value))

    def listening_range(*args: int, **kwargs: Any) -> Any:
        return Listening(range(*args), **kwargs)

    tqdm.tqdm, tqdm.trange = Listening, listening_range
    _LOOP["listening"] = True


def main(arguments: list[str]) -> int:
    """Fork into watcher and worker."""
    script, folder, lifeline, data_limit = arguments[0], arguments[1], int(arguments[2]), int(arguments[3])
    parent = os.getppid()
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [p for p in sys.path if p and os.path.abspath(p) != here]
    _limit(data_limit)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    worker = os.fork()
    if worker == 0:
        for fd in (lifeline, wake_read, wake_write):
            os.close(fd)
        os.setpgid(0, 0)
        _die_with_parent(signal.SIGKILL)
        _work(script, folder)
        return 0
    with suppress(OSError):  # it has done so itself, or is gone already
        os.setpgid(worker, worker)
    return _watch(worker, folder, lifeline, (wake_read, wake_write), parent)


def _limit(data_limit_mb: int) -> None:
    """No core files, which would hold the table; and an end to what the process may allocate at one go."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    gpu = os.path.exists("/dev/nvidiactl")  # its driver reserves far more than it uses
    if data_limit_mb > 0 and sys.platform.startswith("linux") and not gpu:
        size = data_limit_mb * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def _die_with_parent(number: int) -> None:
    """Linux: let the kernel send us a signal when our parent ends. Elsewhere the lifeline alone must do."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


# --- the watcher -----------------------------------------------------------------------------------------------------


def _watch(worker: int, folder: str, lifeline: int, wake: tuple[int, int], parent: int) -> int:
    wake_read, wake_write = wake
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    told: list[bool] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: told.append(True))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _die_with_parent(signal.SIGTERM)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    while True:
        ended, code = os.waitpid(worker, os.WNOHANG)
        if ended:
            _kill_group(worker)
            return _mirror(code)
        if told or os.getppid() != parent:
            break
        ready, _, _ = select.select([lifeline, wake_read], [], [])
        if wake_read in ready:
            os.read(wake_read, 512)
        if lifeline in ready and not os.read(lifeline, 512):
            break
    _kill_group(worker)
    shutil.rmtree(folder, ignore_errors=True)
    return 1


def _kill_group(worker: int) -> None:
    """Kill the worker and all that it started."""
    with suppress(OSError):  # all are gone already
        os.killpg(worker, signal.SIGKILL)


def _mirror(status: int) -> int:
    """End as the worker ended."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1


# --- the worker ------------------------------------------------------------------------------------------------------


def _work(script: str, folder: str) -> None:
    commands = os.fdopen(os.dup(0), "r", encoding="utf-8")
    voice = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)  # what libraries print is no answer

    def say(event: dict[str, Any]) -> None:
        voice.write(json.dumps(dict(event, synthloom=1), allow_nan=False) + "\n")
        voice.flush()

    say({"type": "ready", "pid": os.getpid()})
    context = Context(say, {})
    actions: dict[str, Any] = {}
    for line in commands:
        call = os.path.basename(line.strip())
        try:
            if not actions:
                actions = runpy.run_path(script)["ACTIONS"]
            _answer(context, actions, os.path.join(folder, call))
        except BaseException as error:  # noqa: BLE001  # whatever a foreign library raises is an answer
            traceback.print_exc()
            sys.stderr.flush()
            say({"type": "failed", "call": call, "kind": _kind(error), "error": type(error).__name__,
                 "message": str(error)[:MESSAGE]})
        else:
            say({"type": "done", "call": call})


def _answer(context: Context, actions: dict[str, Any], folder: str) -> None:
    with open(os.path.join(folder, "request.json"), encoding="utf-8") as file:
        request = json.load(file)
    if request["action"] not in actions:
        raise Refusal("this host has no action " + repr(request["action"]))
    context.folder, context.tables = folder, request["tables"]
    result, tables = actions[request["action"]](context, request["payload"])
    names = {}
    for position, (name, frame) in enumerate(sorted(tables.items())):
        names[name] = f"out-{position}.parquet"
        _write_table(frame, os.path.join(folder, names[name]))
    path = os.path.join(folder, "result.json")
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump({"result": result, "tables": names}, file, allow_nan=False)
    os.replace(path + ".new", path)


def _write_table(frame: Any, path: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None), path)


def _kind(error: BaseException) -> str:
    if isinstance(error, Refusal):
        return "params"
    text = str(error).lower()
    if isinstance(error, MemoryError) or "can't allocate memory" in text or "out of memory" in text:
        return "memory"
    return "plugin"


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
