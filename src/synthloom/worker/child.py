"""The child process of a delivery, `python -m synthloom.worker.child`; `worker/pipe.py` says what it hears and says."""

from __future__ import annotations

import errno
import faulthandler
import json
import logging
import os
import queue
import sys
import threading
import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NoReturn

from synthloom.domain.errors import (
    CancelledError,
    OutputError,
    StorageUnavailableError,
    SynthloomError,
)
from synthloom.domain.event import Event, Loss, Progress
from synthloom.service import logs
from synthloom.service.processes import end_with_parent, limit_memory, vanish
from synthloom.worker.errors import out_of_memory

log = logging.getLogger("synthloom.run")

_PRELOAD = (
    "synthloom.service.execution", "synthloom.engine", "synthloom.metrics.catalog", "synthloom.tables.codec_text",
    "synthloom.tables.codec_write", "synthloom.tables.encode", "synthloom.reports.render", "synthloom.wiring",
    "pyarrow.parquet", "sklearn.ensemble",
)
_PROGRESS_SECONDS = 0.5
_LOSS_SECONDS, _LOSSES_PER_STRETCH = 0.5, 400


class Thinned:
    """Tells events at a pace that a page and a database can follow; a report keeps all losses anyway.

    Progress comes at most twice a second. Losses of a name come at most twice a second too, and twice as seldom after
    every 400 of them.

    Args:
        tell: Hears what is left.
    """

    def __init__(self, tell: Any) -> None:
        self._tell = tell
        self._step: str | None = None
        self._progress = float("-inf")
        self._losses: dict[str, tuple[float, int]] = {}

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        if isinstance(event, Progress):
            if event.step == self._step and now - self._progress < _PROGRESS_SECONDS:
                return
            self._step, self._progress = event.step, now
        elif isinstance(event, Loss):
            last, told = self._losses.get(event.name, (float("-inf"), 0))
            if now - last < _LOSS_SECONDS * 2 ** (told // _LOSSES_PER_STRETCH):
                return
            self._losses[event.name] = (now, told + 1)
        self._tell(event)


class Line:
    """The child's end of the pipes."""

    def __init__(self) -> None:
        self._out: IO[bytes] = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # whatever a library prints must not be taken for an answer
        self._lock = threading.Lock()
        self.cancelled = threading.Event()
        self.commands: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="parent", daemon=True).start()

    def say(self, answer: dict[str, Any]) -> None:
        """Tell the parent; without one there is nobody to work for."""
        data = json.dumps(answer, ensure_ascii=False).encode() + b"\n"
        try:
            with self._lock:
                self._out.write(data)
                self._out.flush()
        except OSError:
            vanish()

    def event(self, event: Event) -> None:
        """Tell of an event."""
        self.say({"at": time.monotonic(), "event": event.model_dump(mode="json")})

    def _listen(self) -> None:
        for line in sys.stdin.buffer:
            command = json.loads(line)
            if command["do"] == "cancel":
                self.cancelled.set()
            else:
                self.commands.put(command)
        vanish()


def perform(line: Line, command: dict[str, Any]) -> dict[str, Any]:
    """Do one run; the answer that ends it."""
    from synthloom.domain.records import Claim
    from synthloom.service.execution import carry_out
    from synthloom.service.model_cache import ModelOffer
    from synthloom.settings import Settings
    from synthloom.wiring import backends, stores

    limit_memory(command["memory_mb"])
    try:
        settings = Settings.model_validate(command["settings"])
        claim = Claim.model_validate(command["claim"])
        offer = ModelOffer.model_validate(command["model"]) if command["model"] is not None else None
        datasets, artifacts = stores(settings)
        settlement = carry_out(
            datasets, artifacts, claim, Path(command["folder"]), emit=Thinned(line.event),
            cancelled=line.cancelled.is_set, pdf=settings.run_pdf, offer=offer,
            backends=backends(settings, hosted=True),
        )
        return {"settlement": settlement.model_dump(mode="json")}
    except CancelledError:
        return {"cancelled": True}
    except StorageUnavailableError as error:
        return {"retry": error.as_dict()}
    except SynthloomError as error:
        return {"failed": error.as_dict()}
    except MemoryError:
        return {"failed": out_of_memory(command["memory_mb"]).as_dict()}
    except Exception as error:  # noqa: BLE001  # a run that breaks is failed with the kind of what broke, never its text
        return {"failed": _unexpected(error).as_dict()}


def _unexpected(error: Exception) -> SynthloomError:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return OutputError(
            f"a file cannot be written ({os.strerror(error.errno)}).", where="temporary folder of the worker",
            do="The operator has to free some space there; then run it again.",
        )
    log.error("run broke", exc_info=error)
    return SynthloomError(
        f"something unexpected went wrong ({type(error).__name__}): a defect in Synthloom, not in your table.",
        do="The operator finds the place in the worker's log, under this run's id.",
    )


def main() -> NoReturn:
    """Load, wait for a run, do it, end."""
    end_with_parent()
    faulthandler.enable()
    line = Line()
    logs.configure("debug")  # the parent chooses what is kept, and how it is written
    warnings.simplefilter("ignore")  # a library's warning may quote data
    for module in _PRELOAD:
        try:
            import_module(module)
        except (ImportError, OSError) as error:  # no Pango, say: the run itself tells whoever needs it
            log.debug("not loaded beforehand", extra={"module": module, "kind": type(error).__name__})
    line.say(perform(line, line.commands.get()))
    os._exit(0)  # no clearing up by libraries: what had to be written is written


if __name__ == "__main__":
    main()
