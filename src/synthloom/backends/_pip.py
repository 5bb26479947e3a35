"""pip in an interpreter of a backend: run, listened to, stopped."""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from synthloom.domain.errors import BackendError, CancelledError
from synthloom.domain.event import Cancelled

_TICK = 0.2
_KEPT = 60
_PIN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*==", re.MULTILINE)
_NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ConnectionError|Temporary failure in name resolution|"
    r"Max retries exceeded|ProxyError|ReadTimeout|No matching distribution found"
)
_NO_ROOM = re.compile(r"No space left on device|Disk quota exceeded")

Heard = Callable[[str | None], None]
"""Hears every line of output, and None now and then while there is none."""


def pins(lock: Path) -> int:
    """How many requirements a lock has, those of other platforms and versions included."""
    return len(_PIN.findall(lock.read_text(encoding="utf-8")))


def talkative(python: Path) -> list[str]:
    """Options that let pip tell of bytes and go on with a broken download; none for a pip that is too old for them."""
    script = "import pip; print(*pip.__version__.split('.')[:2])"
    said = subprocess.run(  # noqa: S603  # the interpreter being installed
        [python, "-I", "-c", script], capture_output=True, text=True, check=False, timeout=120
    ).stdout.split()
    new = len(said) == 2 and all(part.isdigit() for part in said) and tuple(map(int, said)) >= (25, 1)
    return ["--progress-bar", "raw", "--resume-retries", "5"] if new else []


def run(
    command: Sequence[str | Path], heard: Heard, cancelled: Cancelled, *, where: str,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a command to its end, in a process group of its own.

    Raises:
        BackendError: it failed; what it said last is quoted.
        CancelledError: cancelled; the group was killed.
    """
    try:
        process = subprocess.Popen(  # noqa: S603  # the interpreter being installed
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, encoding="utf-8", errors="replace", start_new_session=True,
            env=_environment() | dict(environment or {}),
        )
    except OSError as error:
        raise BackendError(f"{command[0]} cannot be started: {error.strerror or error}.", where=where) from error
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(process, lines), daemon=True).start()
    last: deque[str] = deque(maxlen=_KEPT)
    try:
        _follow(lines, last, heard, cancelled)
        code = process.wait()
    except BaseException:  # raised again: whatever ends us, a cancel or Ctrl-C too, ends pip and its children
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if code != 0:
        raise _failed(code, last, where)


def _environment() -> dict[str, str]:
    """Our environment, for mirrors and proxies, without what would lead pip into another Python's packages."""
    misleading = {"PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV",
                  "PIP_CONSTRAINT", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    ours = {"PYTHONUNBUFFERED": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return {k: v for k, v in os.environ.items() if k not in misleading} | ours


def _listen(process: subprocess.Popen[str], lines: queue.SimpleQueue[str | None]) -> None:
    if process.stdout is not None:
        with process.stdout:
            for line in process.stdout:
                lines.put(line.rstrip())
    lines.put(None)


def _follow(
    lines: queue.SimpleQueue[str | None], last: deque[str], heard: Heard, cancelled: Cancelled
) -> None:
    while True:
        if cancelled():
            raise CancelledError("the installation was stopped.")
        try:
            line = lines.get(timeout=_TICK)
        except queue.Empty:
            heard(None)
            continue
        if line is None:
            return
        if line and not line.startswith("Progress "):
            last.append(line)
        heard(line)


def _failed(code: int, last: deque[str], where: str) -> BackendError:
    text = "\n".join(last)
    if _NO_ROOM.search(text):
        return BackendError("the disk is full.", where=where, do="Make room and install again.")
    errors = [line for line in last if line.lstrip().upper().startswith("ERROR")] or list(last)
    quoted = " / ".join(line.strip() for line in errors[-4:])[-900:]
    do = "Install again: what was downloaded is kept."
    if _NO_NETWORK.search(text):
        do = "See that this machine reaches the package index (pip's settings for mirrors and proxies hold), and " + (
            "install again: what was downloaded is kept.")
    return BackendError(f"pip ended with status {code}: {quoted or 'it said nothing'}.", where=where, do=do)


class Downloads:
    """What pip downloads for one backend, kept on the disk that the backend goes to until it is unpacked.

    pip's own cache would keep gigabytes for ever that nothing else needs, and the system's folder for temporary files
    is often small.

    Attributes:
        environment: Variables that tell pip so. A cache that the person named for pip stays pip's.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._own = not {"PIP_CACHE_DIR", "PIP_NO_CACHE_DIR"} & set(os.environ)
        self.environment = {"TMPDIR": str(place / "tmp")}
        if self._own:
            self.environment["PIP_CACHE_DIR"] = str(place / "cache")

    def unpacked(self) -> None:
        """pip has all it needs and puts it into its place: a second copy of it would only fill the disk."""
        if self._own:
            for part in (self._place / "cache").glob("http*"):  # wheels that were built are still needed
                shutil.rmtree(part, ignore_errors=True)


@contextmanager
def downloads(place: Path) -> Iterator[Downloads]:
    """A folder for downloads. What failed or was stopped leaves there what it had, for the next time.

    Raises:
        BackendError: it cannot be made.
    """
    shutil.rmtree(place / "tmp", ignore_errors=True)
    try:
        (place / "tmp").mkdir(parents=True)
    except OSError as error:
        raise BackendError(
            f"the folder cannot be made: {error.strerror or error}.", where=str(place), do="Make room there.",
        ) from error
    try:
        yield Downloads(place)
    finally:
        shutil.rmtree(place / "tmp", ignore_errors=True)
    shutil.rmtree(place, ignore_errors=True)


class Watch:
    """Turns pip's output into how far downloading and installing are.

    Args:
        total: Requirements, about.
        site: Folder in which installed packages appear.
        tell: Hears (step, fraction, message); steps are `download` and `install`.
    """

    def __init__(self, total: int, site: Path, tell: Callable[[str, float, str], None]) -> None:
        self._total = max(total, 1)
        self._site = site
        self._tell = tell
        self._seen = 0
        self._what = ""
        self._installing = False

    def __call__(self, line: str | None) -> None:
        """Hear a line of pip's, or None for a pause."""
        if line is None:
            if self._installing:
                self._count()
        elif line.startswith(("Collecting ", "Processing ")):
            self._seen += 1
            self._what = re.split(r"==|-[0-9]", line.split()[1].rsplit("/", 1)[-1])[0]
            self._tell("download", self._fraction(), self._what)
        elif line.startswith("Progress "):
            self._part(line)
        elif line.startswith("Installing collected packages"):
            self._installing = True
            self._total = line.count(",") + 1
            self._tell("download", 1.0, f"{self._total} packages")
            self._tell("install", 0.0, f"{self._total} packages")

    def _fraction(self, part: float = 0.0) -> float:
        return min((max(self._seen - 1, 0) + part) / self._total, 0.99)

    def _part(self, line: str) -> None:
        words = line.split()
        if len(words) == 4 and words[1].isdigit() and words[3].isdigit() and int(words[3]):
            done, whole = int(words[1]), int(words[3])
            message = f"{self._what}, {done / 1e6:,.0f} of {whole / 1e6:,.0f} MB" if whole > 5e6 else self._what
            self._tell("download", self._fraction(done / whole), message)

    def _count(self) -> None:
        there = sum(1 for _ in self._site.glob("*.dist-info"))
        self._tell("install", min(there / self._total, 0.99), f"{there} of {self._total} packages")
