"""Artifacts in memory: for tests, notebooks and one-shot use."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import BinaryIO, cast

from synthloom.adapters._sink import HashingSink
from synthloom.domain.artifact import Artifact
from synthloom.domain.errors import UnknownNameError
from synthloom.ports import Content, check_key, check_range, media_type

_PIECE = 1 << 20


class MemoryStore:
    """An `ArtifactStore` that forgets everything with the process."""

    def __init__(self) -> None:
        self._bytes: dict[str, bytes] = {}
        self._times: dict[str, float] = {}
        self._lock = threading.Lock()

    def put(self, key: str, content: Content) -> Artifact:
        """Store one artifact, replacing what stood there."""
        return self.put_all({key: content})[0]

    def put_all(self, contents: Mapping[str, Content]) -> tuple[Artifact, ...]:
        """Store several artifacts: all of them, or none when one fails to be written."""
        written = {check_key(key): _written(content) for key, content in contents.items()}
        with self._lock:
            self._bytes = self._bytes | written
            self._times |= dict.fromkeys(written, time.time())
        return tuple(
            Artifact(key=key, media_type=media_type(key), size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for key, data in written.items()
        )

    def get(self, key: str) -> bytes:
        """The bytes of an artifact; UnknownNameError when there is none."""
        try:
            return self._bytes[check_key(key)]
        except KeyError:
            raise UnknownNameError(
                "there is no such artifact.", where=key, do="List the store to see what it holds.",
            ) from None

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes [start, end) of an artifact in pieces of 1 MB; UnknownNameError when there is none."""
        check_range(start, end)
        data = self.get(key)
        stop = len(data) if end is None else min(end, len(data))
        return (data[at : min(at + _PIECE, stop)] for at in range(start, stop, _PIECE))

    def size(self, key: str) -> int:
        """Bytes of an artifact; UnknownNameError when there is none."""
        return len(self.get(key))

    def signed_url(self, key: str, seconds: int, filename: str) -> str | None:  # noqa: ARG002  # the port's signature
        """None: memory has no addresses."""
        check_key(key)
        return None

    def list(self, prefix: str = "") -> tuple[str, ...]:
        """Keys that start with `prefix`, sorted."""
        return tuple(sorted(key for key in self._bytes if key.startswith(prefix)))

    def keys_older_than(self, seconds: float) -> tuple[str, ...]:
        """Keys written longer ago than so many seconds, sorted."""
        limit = time.time() - seconds
        with self._lock:
            return tuple(sorted(key for key, at in self._times.items() if at <= limit))

    def exists(self, key: str) -> bool:
        """Whether an artifact stands under this key."""
        return check_key(key) in self._bytes

    def delete(self, key: str) -> None:
        """Remove an artifact; nothing happens when there is none."""
        check_key(key)
        with self._lock:  # a new dictionary each time: whoever lists meanwhile goes on with the old one
            self._bytes = {name: data for name, data in self._bytes.items() if name != key}
            self._times.pop(key, None)


def _written(content: Content) -> bytes:
    if isinstance(content, bytes):
        return content
    kept = BytesIO()
    content(cast(BinaryIO, HashingSink(kept)))
    return kept.getvalue()
