"""The real child of a delivery that halts or dies at a point which its run's name tells, in its first delivery.

`halt:STEP`: when the step begins it notes its process id and waits a little, so that a cancel falls into the step.
`child:read|fit|store|stored|answered`: it is killed there, as in `light_child`, with the real engine in between.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import light_child

from synthloom.domain.event import Event, StepFinished, StepStarted
from synthloom.domain.records import Claim
from synthloom.worker import child

HALT_SECONDS = 0.3
DEATHS = {
    ("read", StepFinished): "child:read", ("fit", StepStarted): "child:fit", ("store", StepStarted): "child:store",
    ("store", StepFinished): "child:stored",
}


class MarkedLine(child.Line):
    """A line that looks at what is told through it."""

    home: str = ""
    claim: Claim | None = None

    def event(self, event: Event) -> None:
        super().event(event)
        if self.claim is None or not isinstance(event, (StepStarted, StepFinished)):
            return
        light_child.die(self.home, DEATHS.get((event.step, type(event)), ""), self.claim)
        note = Path(self.home, f"halted-{self.claim.run.run_id}")
        if isinstance(event, StepStarted) and self.claim.run.name == f"halt:{event.step}" and not note.exists():
            note.write_text(str(os.getpid()))
            time.sleep(HALT_SECONDS)

    def say(self, answer: dict[str, Any]) -> None:
        super().say(answer)
        if self.claim is not None and "settlement" in answer:
            light_child.die(self.home, "child:answered", self.claim)


def perform(line: MarkedLine, command: dict[str, Any]) -> dict[str, Any]:
    """Remember which run it is."""
    line.home, line.claim = command["settings"]["SYNTHLOOM_HOME"], Claim.model_validate(command["claim"])
    return real_perform(line, command)


if __name__ == "__main__":
    real_perform = child.perform
    child.Line, child.perform = MarkedLine, perform  # type: ignore[misc,assignment]
    child.main()
    sys.exit()
