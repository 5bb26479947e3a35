"""Artifacts in memory: for tests, notebooks and one-shot use."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from io import BytesIO

from synthloom.domain.artifact import Artifact
from synthloom.domain.errors import UnknownNameError
from synthloom.ports import Content, check_key, media_type


class MemoryStore:
    """An `ArtifactStore` that forgets everything with the process."""

    def __init__(self) -> None:
        self._bytes: dict[str, bytes] = {}

    def put(self, key: str, content: Content) -> Artifact:
        """Store one artifact, replacing what stood there."""
        return self.put_all({key: content})[0]

    def put_all(self, contents: Mapping[str, Content]) -> tuple[Artifact, ...]:
        """Store several artifacts: all of them, or none when one fails to be written."""
        written = {check_key(key): _written(content) for key, content in contents.items()}
        self._bytes |= written
        return tuple(
            Artifact(key=key, media_type=media_type(key), size=len(data), sha256=hashlib.sha256(data).hexdigest())
            for key, data in written.items()
        )

    def get(self, key: str) -> bytes:
        """The bytes of an artifact; UnknownNameError when there is none."""
        if key not in self._bytes:
            raise UnknownNameError("there is no such artifact.", where=key, do="List the store to see what it holds.")
        return self._bytes[key]

    def list(self, prefix: str = "") -> tuple[str, ...]:
        """Keys that start with `prefix`, sorted."""
        return tuple(sorted(key for key in self._bytes if key.startswith(prefix)))

    def exists(self, key: str) -> bool:
        """Whether an artifact stands under this key."""
        return key in self._bytes

    def delete(self, key: str) -> None:
        """Remove an artifact; nothing happens when there is none."""
        self._bytes.pop(key, None)


def _written(content: Content) -> bytes:
    if isinstance(content, bytes):
        return content
    sink = BytesIO()
    content(sink)
    return sink.getvalue()
