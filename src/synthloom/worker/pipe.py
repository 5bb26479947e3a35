"""What parent and child say to each other: JSON lines, commands on the child's standard input, answers on its output.

Commands: `{"do": "run", "claim", "folder", "settings", "memory_mb", "model"}`, then perhaps `{"do": "cancel"}`; the end
of the input means that the parent is gone. Answers: `{"at", "event"}` any number of times, then one of
`{"settlement"}`, `{"failed"}`, `{"retry"}`, `{"cancelled"}`. `at` is the machine's monotonic clock, in seconds.
"""

from __future__ import annotations

import json
import logging
import queue
import re
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

from synthloom.service.logs import pass_on
from synthloom.service.processes import bare_environment, spawn

log = logging.getLogger("synthloom.worker")

CHILD = "synthloom.worker.child"

_MORE_ENVIRONMENT = re.compile(
    r"^(OMP_|OPENBLAS_|MKL_|NUMEXPR_|CUDA_|NVIDIA_|PYTORCH_|TORCH|ARROW_|AWS_|SSL_|REQUESTS_|HTTPS?_PROXY$|NO_PROXY$|"
    r"https?_proxy$|no_proxy$|LD_PRELOAD$|FAKETIME)"
)
_CRASH_LINE = re.compile(
    rb"^(Fatal Python error: [\w .:-]+|(Current thread|Thread) 0x[0-9a-f]+.*\(most recent call first\):|"
    rb"  File \"[^\"]+\", line \d+ in \S+|  <no Python frame>|Extension modules: .*)$"
)
"""What Python's fault handler writes when a process dies; any other line might hold data."""


class Child:
    """A child process for one delivery, with what it says.

    It loads what a run needs as soon as it is made; `begin` gives it the run.

    Attributes:
        answers: What it says, in order; None: it will say no more.
        fields: Fields for the lines it logs.
    """

    def __init__(self, module: str = CHILD) -> None:
        import os

        more = {k: v for k, v in os.environ.items() if _MORE_ENVIRONMENT.match(k)}
        self.process: subprocess.Popen[bytes] = spawn(
            module, environment=bare_environment(more), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        self.answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.fields: Mapping[str, Any] = {}
        self._listeners = [
            _start(self._hear, self.process.stdout, "child-answers"),
            _start(self._log, self.process.stderr, "child-log"),
        ]

    def send(self, message: Mapping[str, Any]) -> None:
        """Say something to it; nobody hears where it has ended."""
        stdin = self.process.stdin
        if stdin is None:
            return
        with suppress(BrokenPipeError, ValueError):  # it has ended, or its input is closed: its end tells the rest
            stdin.write(json.dumps(message, ensure_ascii=False).encode() + b"\n")
            stdin.flush()

    def hear_out(self, seconds: float) -> None:
        """Wait until all it has said is heard; it must have ended."""
        for listener in self._listeners:
            listener.join(seconds)

    def _hear(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                try:
                    answer = json.loads(line)
                except ValueError:
                    log.warning("a child wrote a line that is no answer", extra=dict(self.fields))
                    continue
                self.answers.put(answer)
        self.answers.put(None)

    def _log(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                text = line.rstrip(b"\r\n")
                if not pass_on(text, self.fields) and _CRASH_LINE.match(text):
                    log.error(text.decode(errors="replace"), extra=dict(self.fields))


def _start(work: Any, stream: IO[bytes] | None, name: str) -> threading.Thread:
    thread = threading.Thread(target=work, args=(stream,), name=name, daemon=True)
    thread.start()
    return thread
