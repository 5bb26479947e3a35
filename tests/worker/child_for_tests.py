"""The real child process, in an interpreter where a package has brought a method that misbehaves on demand."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Literal

import numpy as np

from methods_for_tests import IndependentMarginals, MarginalsParams
from synthloom import registry
from synthloom.domain.errors import CancelledError
from synthloom.domain.event import Loss, Progress, ignore, never
from synthloom.methods.contract import MethodInfo
from synthloom.worker import child

SECRET = "a-cell-nobody-may-see"


class OddParams(MarginalsParams):
    act: Literal["fine", "slow", "deaf", "hungry", "crash", "broken", "cramped", "chatty"] = "fine"
    seconds: float = 60.0
    note: str = ""


class Odd(IndependentMarginals):
    info = MethodInfo(name="odd", title="Odd", summary="Misbehaves on demand.", paper="none")
    Params = OddParams

    def fit(self, table, schema, rng, emit=ignore, cancelled=never):
        if self.params.note:
            Path(self.params.note).write_text(str(os.getpid()))
        getattr(self, f"_{self.params.act}")(emit, cancelled)
        return super().fit(table, schema, rng, emit, cancelled)

    def _fine(self, emit, cancelled):
        pass

    def _slow(self, emit, cancelled):
        until, pause = time.monotonic() + self.params.seconds, threading.Event()
        while (left := until - time.monotonic()) > 0:
            if cancelled():
                raise CancelledError("cancelled while fitting.")
            emit(Progress(step="fit", fraction=1 - left / self.params.seconds))
            pause.wait(0.02)

    def _deaf(self, emit, cancelled):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with subprocess.Popen(["sleep", "100"]) as helper:
            Path(self.params.note).write_text(f"{os.getpid()} {helper.pid}")
            time.sleep(self.params.seconds)

    def _hungry(self, emit, cancelled):
        self._eaten = []
        for _ in range(200):
            self._eaten.append(np.ones(5_000_000))
            time.sleep(0.02)

    def _crash(self, emit, cancelled):
        os.kill(os.getpid(), signal.SIGSEGV)

    def _broken(self, emit, cancelled):
        raise ValueError(f"could not convert string to float: {SECRET!r}")

    def _cramped(self, emit, cancelled):
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))

    def _chatty(self, emit, cancelled):
        print(SECRET, flush=True)  # noqa: T201
        for i in range(20_000):
            emit(Loss(name="train", iteration=i, value=1.0))
            emit(Progress(step="fit", fraction=i / 20_000))


if __name__ == "__main__":
    registry._found().methods["odd"] = Odd
    child.main()
