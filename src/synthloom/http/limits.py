"""How often and how much: token buckets for callers, and a bound on what a request may carry."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from synthloom.domain.errors import RateLimitError, TooLargeError
from synthloom.http.problems import problem_response

_MOST_BUCKETS = 10_000


class RateLimiter:
    """A bucket of tokens for each key, filled evenly; in memory, so each server process counts for itself.

    Args:
        per_minute: Size of a bucket, and what flows into it in a minute.
        clock: Seconds.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = float(per_minute)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: str) -> None:
        """Take a token.

        Raises:
            TooManyRequestsError: the bucket is empty; says when the next token comes.
        """
        self._use(key, 1)

    def check(self, key: str) -> None:
        """As `take`, but the token stays."""
        self._use(key, 0)

    def _use(self, key: str, tokens: int) -> None:
        with self._lock:
            now = self._clock()
            level, at = self._buckets.pop(key, (self._size, now))
            level = min(self._size, level + (now - at) * self._size / 60)
            short = level < 1
            if not short:
                level -= tokens
            if level < self._size:  # a full bucket is what a new one would be
                self._buckets[key] = (level, now)
            while len(self._buckets) > _MOST_BUCKETS:
                self._buckets.popitem(last=False)
        if short:
            raise TooManyRequestsError(max(1, math.ceil((1 - level) * 60 / self._size)))


class TooManyRequestsError(RateLimitError):
    """Too many requests; `retry_after` says in how many seconds the next may come."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many requests in too short a time.", do=f"Try again in {retry_after} s.")
        self.retry_after = retry_after


class BodyLimit:
    """ASGI middleware: a request with more bytes than allowed is answered with 413 as soon as that is known.

    Args:
        app: What is behind it.
        plain: Most bytes of a body.
        uploads: The same for `POST` to one of `upload_paths`.
        upload_paths: Where tables are uploaded.
    """

    def __init__(self, app: ASGIApp, *, plain: int, uploads: int, upload_paths: frozenset[str]) -> None:
        self._app = app
        self._plain, self._uploads, self._paths = plain, uploads, upload_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what comes in."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._uploads if scope["path"].rstrip("/") in self._paths else self._plain
        error = TooLargeError(f"the request holds more than {most:,} bytes.", do="Send less.")
        declared = dict(scope["headers"]).get(b"content-length", b"")
        if declared.isdigit() and int(declared) > most:
            await problem_response(error)(scope, receive, send)
            return
        await _counted(self._app, scope, receive, send, most, error)


async def _counted(  # noqa: PLR0917  # an ASGI application's three, and what is counted
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, most: int, error: TooLargeError
) -> None:
    size, over, answered = 0, False, False

    async def bounded_receive() -> Message:
        nonlocal size, over
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            over = True
            raise error
        return message

    async def guarded_send(message: Message) -> None:
        nonlocal answered
        if over and not answered:
            return  # whatever the app makes of a body that broke off; the 413 below says what happened
        answered = True
        await send(message)

    try:
        await app(scope, bounded_receive, guarded_send)
    except TooLargeError:
        if not over or answered:
            raise
    if over and not answered:
        await problem_response(error)(scope, receive, send)
