"""Child processes that end with their parent, can be weighed, and are killed with everything they started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

_PASSED_ON = (
    "PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "OMP_NUM_THREADS",
)
_PASSED_ON_STARTS = ("LC_", "PYTHON", "XDG_", "FONTCONFIG")
_SCAN_SECONDS = 1.0  # looking for grandchildren reads the whole process table


def bare_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without what a child that reads strangers' files need not know: addresses, keys, settings."""
    kept = {k: v for k, v in os.environ.items() if k in _PASSED_ON or k.startswith(_PASSED_ON_STARTS)}
    return kept | dict(more or {})


def spawn(
    module: str, *, environment: Mapping[str, str], stdout: int = subprocess.DEVNULL, stderr: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start `python -m module` as the leader of a group of its own; its standard input stays open while we live."""
    return subprocess.Popen(  # noqa: S603  # our own interpreter and module
        [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=stdout, stderr=stderr, env=dict(environment),
        start_new_session=True, close_fds=True,
    )


def has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether a child has ended. It is not reaped, so that the number of its group still is its own."""
    if process.returncode is not None:
        return True
    if not hasattr(os, "waitid"):
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def kill_group(process: subprocess.Popen[bytes]) -> int:
    """Kill a child with all its descendants, and reap it; its exit code as `Popen.returncode` has it."""
    if process.returncode is None:
        _signal_tree(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    return process.wait()


def ask_group(process: subprocess.Popen[bytes]) -> None:
    """Ask a child and its descendants to end."""
    if process.returncode is None:
        _signal_tree(process.pid, signal.SIGTERM)


def _signal_tree(pid: int, number: int) -> None:
    import psutil

    strays: list[Any] = []
    with contextlib.suppress(psutil.Error):
        strays = psutil.Process(pid).children(recursive=True)
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS refuses where only a zombie is left
            os.killpg(pid, number)
    else:
        with contextlib.suppress(psutil.Error):
            psutil.Process(pid).send_signal(number)
    for stray in strays:  # descendants that made a group of their own
        with contextlib.suppress(psutil.Error):
            stray.send_signal(number)


class Scales:
    """Weighs a process with its descendants.

    Args:
        pid: The process.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._known: list[Any] = []
        self._scanned = float("-inf")

    def resident(self) -> int:
        """Bytes in memory now; 0 once it has ended."""
        import psutil

        total: int = 0
        try:
            process = psutil.Process(self._pid)
            total = int(process.memory_info().rss)
            if time.monotonic() - self._scanned >= _SCAN_SECONDS:
                self._known = process.children(recursive=True)
                self._scanned = time.monotonic()
        except psutil.Error:
            return total
        for descendant in self._known:
            with contextlib.suppress(psutil.Error):
                total += descendant.memory_info().rss
        return total


def limit_memory(megabytes: int | None) -> None:
    """Refuse this process memory far beyond what it may use, so that one huge demand fails before it is weighed.

    The limit on data (Linux) or addresses is twice as high, and a gigabyte: libraries set aside more than they use.
    """
    if megabytes is None or sys.platform == "win32":
        return
    import resource

    kind = resource.RLIMIT_DATA if sys.platform.startswith("linux") else resource.RLIMIT_AS
    wanted = (2 * megabytes + 1024) << 20
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    with contextlib.suppress(ValueError, OSError):  # macOS knows the limit but refuses to set it; its parent weighs it
        resource.setrlimit(kind, (wanted, hard))


def end_with_parent(pipe: IO[bytes] | None = None) -> None:
    """End this process, with its group, when its parent does.

    Args:
        pipe: The parent's end of it closes when the parent ends; None: somebody else reads it, and calls `vanish`.
    """
    if sys.platform.startswith("linux"):
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
        with contextlib.suppress(OSError):  # the kernel, short of memory, takes us before our parent and neighbours
            Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    if pipe is not None:
        threading.Thread(target=_watch, args=(pipe,), name="parent-watch", daemon=True).start()


def _watch(pipe: IO[bytes]) -> None:
    while pipe.read(1 << 16):
        pass
    vanish()


def vanish() -> None:
    """End this process and its group at once."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def kernel_kills() -> int:
    """How many processes the kernel has killed for want of memory in this container (or machine) so far."""
    for path, word in (("/sys/fs/cgroup/memory.events", "oom_kill"), ("/proc/vmstat", "oom_kill")):
        with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as file:
            for line in file:
                name, _, value = line.partition(" ")
                if name == word:
                    return int(value)
    return 0


def how_it_ended(code: int) -> str:
    """How a process ended, in words, from its exit code."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"

