"""A delivery's child with a stand-in for the engine, so that a thousand deliveries take minutes, not hours.

Pipes, fetching, storing, settlement, limits and dying are the product's; between them stand two short steps instead of
fitting and measuring. A run's name says where its first delivery is to be killed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from synthloom.domain.event import Emit, Progress, StepFinished, StepStarted
from synthloom.domain.records import Claim, Settlement
from synthloom.domain.run import RunStatus
from synthloom.service.execution import prefix_of
from synthloom.service.uploads import fetch
from synthloom.settings import Settings
from synthloom.wiring import stores
from synthloom.worker import child


def note(folder: str, what: str, claim: Claim) -> None:
    """A line in the log of kills and claims."""
    with open(os.path.join(folder, "notes"), "ab") as file:
        file.write(f"{time.monotonic()} {what} {claim.run.run_id} {claim.run.deliveries}\n".encode())


def die(folder: str, point: str, claim: Claim) -> None:
    """Kill this process, if this is the point at which the run's first delivery dies."""
    if claim.run.deliveries == 1 and claim.run.name == point:
        note(folder, f"kill:{point}", claim)
        os.kill(os.getpid(), signal.SIGKILL)


def carry_out(settings: Settings, claim: Claim, folder: Path, emit: Emit) -> Settlement:
    home = str(settings.home)
    datasets, artifacts = stores(settings)
    emit(StepStarted(step="read"))
    die(home, "child:read", claim)
    table = fetch(datasets, claim.dataset, folder)
    emit(StepFinished(step="read"))
    emit(StepStarted(step="fit"))
    for i in range(5):
        emit(Progress(step="fit", fraction=i / 5))
        time.sleep(0.02)
    die(home, "child:fit", claim)
    emit(StepFinished(step="fit"))
    emit(StepStarted(step="store"))
    die(home, "child:store", claim)
    content = table.read_bytes()
    files = {"synthetic.csv": content, "report.json": content * 20, "model.synthloom": content * 50}
    kept = artifacts.put_all({f"{prefix_of(claim.run)}/{name}": data for name, data in files.items()})
    die(home, "child:stored", claim)
    emit(StepFinished(step="store"))
    return Settlement(
        status=RunStatus.SUCCEEDED, outcome="not_judged", method="stand-in", backend="native", artifacts=kept,
    )


def perform(line: child.Line, command: dict[str, Any]) -> None:
    settings = Settings.model_validate(command["settings"])
    claim = Claim.model_validate(command["claim"])
    done = carry_out(settings, claim, Path(command["folder"]), line.event)
    line.say({"settlement": done.model_dump(mode="json")})
    die(str(settings.home), "child:answered", claim)


if __name__ == "__main__":
    child.end_with_parent()
    the_line = child.Line()
    perform(the_line, the_line.commands.get())
    sys.stdout.flush()
    os._exit(0)
