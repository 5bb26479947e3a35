"""Calls in a child process with limits on memory and time: for what reads files of strangers, and for drawing PDFs.

The child gets a bare environment (no address, no key), a limit on addresses, and is weighed while it works; past a
limit it is killed with everything it started.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from synthloom.domain.errors import CancelledError, ResourceError, SynthloomError
from synthloom.domain.event import Cancelled, never
from synthloom.service.processes import (
    Scales,
    bare_environment,
    end_with_parent,
    has_ended,
    how_it_ended,
    kernel_kills,
    kill_group,
    limit_memory,
    spawn,
)
from synthloom.service.traces import crash_text

log = logging.getLogger("synthloom.limited")

_TICK = 0.02
_WEIGH_SECONDS = 0.1
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}


@dataclass(frozen=True)
class Bounds:
    """What one call may use.

    Attributes:
        memory_mb: Memory, in MB.
        seconds: Wall-clock time.
    """

    memory_mb: int = 4096
    seconds: float = 120.0


def call_limited(
    target: str, arguments: Mapping[str, Any], bounds: Bounds, cancelled: Cancelled = never,
) -> Any:
    """Call `package.module:function` with JSON-safe keyword arguments in a child; its JSON-safe answer.

    Raises:
        ResourceError: it used more memory or time than `bounds` allow.
        SynthloomError: whatever of that tree the function raised.
        CancelledError: `cancelled()` turned true meanwhile.
    """
    folder = Path(tempfile.mkdtemp(prefix="synthloom-call-"))
    try:
        request = {"target": target, "arguments": dict(arguments), "memory_mb": bounds.memory_mb}
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        before = kernel_kills()
        environment = bare_environment(_ENVIRONMENT | {"SYNTHLOOM_CALL": str(folder)})
        process = spawn("synthloom.service.limited", environment=environment)
        try:
            _attend(process, bounds, cancelled)
        finally:
            code = kill_group(process)
        return _answer(folder, target, code, kernel_kills() > before, bounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _attend(process: Any, bounds: Bounds, cancelled: Cancelled) -> None:
    began, scales, weighed = time.monotonic(), Scales(process.pid), 0.0
    while not has_ended(process):
        now = time.monotonic()
        if cancelled():
            raise CancelledError("the call was cancelled.")
        if now - began > bounds.seconds:
            raise ResourceError(
                f"it took longer than {bounds.seconds:g} s.", do="Give a smaller table, or ask the operator for more.",
            )
        if now - weighed >= _WEIGH_SECONDS:
            weighed = now
            if scales.resident() > bounds.memory_mb << 20:
                raise _out_of_memory(bounds)
        time.sleep(_TICK)


def _answer(folder: Path, target: str, code: int, kernel: bool, bounds: Bounds) -> Any:
    path = folder / "answer.json"
    if not path.exists():
        if kernel:
            raise _out_of_memory(bounds)
        log.error("limited call ended without an answer", extra={"target": target, "ended": how_it_ended(code)})
        raise SynthloomError(
            f"a helper process ended unexpectedly ({how_it_ended(code)}).", do="Try again, or tell the operator.",
        )
    answer = json.loads(path.read_text(encoding="utf-8"))
    if "error" not in answer:
        return answer["value"]
    if answer["error"]["code"] == ResourceError.code:
        raise _out_of_memory(bounds)
    if "trace" in answer:
        log.error("limited call failed", extra={"target": target, "trace": answer["trace"]})
    raise error_from(answer["error"])


def _out_of_memory(bounds: Bounds) -> ResourceError:
    return ResourceError(
        f"it used more than {bounds.memory_mb:,} MB of memory.",
        do="Give a smaller table, or ask the operator for more.",
    )


def error_from(said: Mapping[str, str | None]) -> SynthloomError:
    """An error out of its `as_dict`: of the class that has its code."""
    classes: list[type[SynthloomError]] = [SynthloomError]
    for known in classes:  # grows while it is walked
        classes += known.__subclasses__()
    code = said.get("code")
    kind = next((c for c in classes if c.code == code), SynthloomError)
    return kind(said.get("what") or "something unexpected went wrong.", where=said.get("where"), do=said.get("do"))


def main() -> NoReturn:
    """The child: read the request, call, write the answer."""
    import os
    import warnings

    end_with_parent(sys.stdin.buffer)
    warnings.simplefilter("ignore")  # they go nowhere, and may quote data
    folder = Path(os.environ["SYNTHLOOM_CALL"])
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    limit_memory(request["memory_mb"])
    answer: dict[str, Any]
    try:
        module, _, name = request["target"].partition(":")
        answer = {"value": getattr(import_module(module), name)(**request["arguments"])}
    except SynthloomError as error:
        answer = {"error": error.as_dict()}
    except MemoryError:
        answer = {"error": ResourceError("out of memory.").as_dict()}
    except Exception as error:  # noqa: BLE001  # told to the parent: kind and places, no message
        kind = type(error).__name__
        failure = SynthloomError(f"something unexpected went wrong ({kind}).", do="Tell the operator.")
        answer = {"error": failure.as_dict(), "trace": crash_text(error)}
    part = folder / "answer.part"
    part.write_text(json.dumps(answer), encoding="utf-8")
    part.replace(folder / "answer.json")
    os._exit(0)


if __name__ == "__main__":
    main()
