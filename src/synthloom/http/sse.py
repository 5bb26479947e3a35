"""A run's events as Server-Sent Events: goes on where it broke off, says that it is alive, ends with the run."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import anyio
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from synthloom.domain.errors import RateLimitError, UnknownNameError, UsageError
from synthloom.domain.records import RunRecord, StampedEvent
from synthloom.http.auth import Caller
from synthloom.http.parts import in_thread
from synthloom.http.shapes import RunView
from synthloom.service.runs import RunService

EVENT_STREAM = "text/event-stream"

_SHORTEST, _LONGEST = 0.25, 1.0  # seconds between two looks at the ledger
_HEARTBEAT = 15.0
_LIFETIME = 900.0  # then the client comes again, and is asked again who it is
_MOST_STREAMS = 32  # of one caller
_LAST_ID = re.compile(r"([0-9]{1,15})(\.end)?")


def parse_last_id(text: str | None) -> tuple[int, bool] | None:
    """Number of the last event a client has, and whether it has heard of the end; UsageError for a foreign id."""
    if not text:
        return None
    found = _LAST_ID.fullmatch(text)
    if not found:
        raise UsageError("it is no id of an event.", where="header Last-Event-ID", do="Send the last `id` received.")
    return int(found[1]), found[2] is not None


async def run_stream(
    request: Request, service: RunService, caller: Caller, run_id: str, told: tuple[int, bool]
) -> Response:
    """The stream of a run's events after number `told[0]`; 204 where everything has been told.

    Raises:
        UnknownNameError: no such run. RateLimitError: the caller has too many streams open.
    """
    run = await in_thread(service.show, caller.tenant, run_id)
    after, ended = told
    if run.final and ended:
        return Response(status_code=204)
    open_streams: Counter[Caller] = request.app.state.streams
    if open_streams[caller] >= _MOST_STREAMS:
        raise RateLimitError(f"more than {_MOST_STREAMS} event streams are open.", do="Close some.")
    stream = _Stream(request, service, caller, run_id, after)
    return _EventStream(
        stream.counted(open_streams), media_type=EVENT_STREAM,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


class _EventStream(StreamingResponse):
    """Shuts its stream however the answer ends; left to the garbage collector it would count as open for a while."""

    async def stream_response(self, send: Send) -> None:
        """Send the stream."""
        try:
            await super().stream_response(send)
        finally:
            if isinstance(self.body_iterator, AsyncGenerator):
                await self.body_iterator.aclose()


@dataclass
class _Stream:
    request: Request
    service: RunService
    caller: Caller
    run_id: str
    after: int
    version: int = -1

    async def counted(self, streams: Counter[Caller]) -> AsyncIterator[str]:
        streams[self.caller] += 1
        try:
            async for text in self._texts():
                yield text
        finally:
            streams[self.caller] -= 1
            if streams[self.caller] <= 0:
                del streams[self.caller]

    async def _texts(self) -> AsyncIterator[str]:
        begun = spoken = time.monotonic()
        pause = _SHORTEST
        yield "retry: 2000\n\n"
        while time.monotonic() - begun < _LIFETIME and not self.request.app.state.stopping:
            try:
                run, events = await in_thread(self._look)
            except UnknownNameError:  # deleted meanwhile: nothing more will come
                return
            texts = [_event(stamped) for stamped in events]
            if events:
                self.after = events[-1].number
            if run.version != self.version:
                self.version = run.version
                texts.append(f"event: run\ndata: {RunView.of(run).model_dump_json()}\n\n")
            for text in texts:
                yield text
            if run.final and not events:
                yield f'id: {self.after}.end\nevent: end\ndata: {{"status": "{run.status}"}}\n\n'
                return
            now = time.monotonic()
            if texts:
                spoken, pause = now, _SHORTEST
            elif now - spoken >= _HEARTBEAT:
                spoken = now
                yield ": still here\n\n"
            if not events:
                await anyio.sleep(pause)
                pause = min(_LONGEST, pause * 1.5)

    def _look(self) -> tuple[RunRecord, tuple[StampedEvent, ...]]:
        run = self.service.show(self.caller.tenant, self.run_id)  # before its events: what is final has no more of them
        return run, self.service.events(self.caller.tenant, self.run_id, after=self.after)


def _event(stamped: StampedEvent) -> str:
    return f"id: {stamped.number}\nevent: {stamped.event.type}\ndata: {stamped.model_dump_json()}\n\n"
