"""A child process with its watcher: started, heard, measured, ended. What it means is `bridge`'s.

Everything that a child has started belongs to its process group, so that all of it can be measured and killed.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

STDERR_KEPT = 64 * 1024
"""Bytes of standard error that are kept, the last ones."""
LINE_LIMIT = 1 << 20
"""Bytes of an answer's line; a longer one is no answer."""
_BIG = 1 << 16
_GRACE = 0.25


class Ended:
    """What comes out of a child's mouth last."""


class Child:
    """A running child.

    It is started from a thread that lives as long as it does: Linux kills a child whose watcher asked for it when the
    thread that started it ends, not when the process does.

    Args:
        command: The program with its arguments; the lifeline's descriptor is put in for each `{lifeline}`.
        folder: Where it runs.
        environment: Its whole environment.
    """

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.answers: queue.SimpleQueue[dict[str, Any] | Ended] = queue.SimpleQueue()
        self.garbage = 0
        self.worker: int | None = None
        self._stderr = bytearray()
        self._lock = threading.Lock()
        self._error: OSError | None = None
        self._started = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline = -1
        self._threads: list[threading.Thread] = []
        self._start_in_thread(list(command), folder, dict(environment))

    def send(self, line: str) -> bool:
        """Say a line; whether somebody was there to hear it."""
        process = self._process
        if process is None or process.stdin is None:
            return False
        try:
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
        except (OSError, ValueError):  # it has ended; what it said last tells why
            return False
        return True

    @property
    def returncode(self) -> int | None:
        """How it ended, as in `subprocess`: negative for a signal; None while it runs."""
        return self._process.poll() if self._process is not None else -signal.SIGKILL

    @property
    def stderr(self) -> str:
        """The end of what it wrote to standard error."""
        with self._lock:
            return bytes(self._stderr).decode("utf-8", errors="replace")

    def memory_mb(self) -> float:
        """Memory that the worker and all it has started use now, in MB."""
        return sum(_memory_of_group(self.worker)) / 1024 if self.worker is not None else 0.0

    def peak_mb(self) -> float:
        """The most memory that the worker alone has used, in MB; 0 where the system does not tell."""
        return _peak_kb(self.worker) / 1024 if self.worker is not None else 0.0

    def kill(self) -> None:
        """End it and all that it has started, at once; nothing happens a second time."""
        process = self._process
        if process is None:
            return
        code = process.poll()
        if self.worker is not None and (code is None or code < 0):  # its watcher, if killed, did not
            _kill_group(self.worker)
        if code is None:
            with suppress(OSError):
                process.terminate()
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                _kill_group(process.pid)
                process.wait()
        for thread in self._threads:
            thread.join(_GRACE)
        self._close()

    def wait_for_end(self, seconds: float) -> None:
        """Give it so long to end by itself, and to be heard to the end."""
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        for thread in self._threads:
            thread.join(seconds)

    # --- threads

    def _start_in_thread(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        pump = threading.Thread(
            target=self._pump, args=(command, folder, environment), name="synthloom-backend", daemon=True
        )
        pump.start()
        self._started.wait()
        if self._error is not None:
            raise self._error
        self._threads.append(pump)

    def _pump(self, command: list[str], folder: Path, environment: dict[str, str]) -> None:
        try:
            process = self._begin(command, folder, environment)
        except OSError as error:
            self._error = error
            return
        finally:
            self._started.set()
        listener = threading.Thread(target=self._hear_stderr, args=(process,), daemon=True)
        listener.start()
        self._threads.append(listener)
        if process.stdout is not None:
            with process.stdout:
                for line in _lines(process.stdout.fileno()):
                    self._take(line)
        process.wait()
        listener.join(_GRACE)
        self.answers.put(Ended())

    def _begin(self, command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        reading, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603  # the interpreter of an installed backend
                [word.replace("{lifeline}", str(reading)) for word in command], cwd=folder, env=environment,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                pass_fds=(reading,),
            )
        finally:
            os.close(reading)
        return self._process

    def _take(self, line: bytes | None) -> None:
        """One line of standard output; what is no event of a host is counted and otherwise ignored."""
        try:
            event = json.loads(line) if line is not None else None
        except ValueError:
            event = None
        if not isinstance(event, dict) or event.get("synthloom") != 1:
            self.garbage += 1
        elif event.get("type") == "ready" and isinstance(event.get("pid"), int):
            self.worker = event["pid"]
        else:
            self.answers.put(event)

    def _hear_stderr(self, process: subprocess.Popen[bytes]) -> None:
        if process.stderr is None:
            return
        with process.stderr:
            while piece := os.read(process.stderr.fileno(), _BIG):
                with self._lock:
                    self._stderr += piece
                    del self._stderr[:-STDERR_KEPT]

    def _close(self) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError):  # a last line that nobody reads any more
                process.stdin.close()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1


def _lines(descriptor: int) -> Iterator[bytes | None]:
    """Lines as they come; None for one that is too long, of which no more is kept than the limit."""
    kept, too_long = bytearray(), False
    while True:
        piece = os.read(descriptor, _BIG)
        if not piece:
            return
        *whole, rest = piece.split(b"\n")
        for part in whole:
            if too_long or len(kept) + len(part) > LINE_LIMIT:
                yield None
            else:
                yield bytes(kept) + part
            kept, too_long = bytearray(), False
        too_long = too_long or len(kept) + len(rest) > LINE_LIMIT
        kept = bytearray() if too_long else kept + rest


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # gone already; macOS says the latter of zombies
        os.killpg(leader, signal.SIGKILL)


def _memory_of_group(leader: int) -> list[int]:
    """Resident KB of every process in a group."""
    if sys.platform.startswith("linux"):
        return [kb for pid in _pids() if (kb := _resident_kb(pid, leader))]
    listed = subprocess.run(
        ["/bin/ps", "-axo", "pgid=,rss="], capture_output=True, text=True, check=False, timeout=10
    ).stdout
    rows = (line.split() for line in listed.splitlines())
    return [int(row[1]) for row in rows if len(row) == 2 and row[0] == str(leader)]


def _pids() -> Iterator[int]:
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit():
                yield int(entry.name)


_PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024 if hasattr(os, "sysconf") else 4


def _resident_kb(pid: int, leader: int) -> int:
    """Resident KB of a process, shared pages left out but for the leader's; 0 where it is of another group."""
    try:
        if os.getpgid(pid) != leader:
            return 0
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:  # it ended in between, or is somebody else's
        return 0
    resident, shared = int(fields[1]), int(fields[2])
    return (resident if pid == leader else max(resident - shared, 0)) * _PAGE_KB


def _peak_kb(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0
