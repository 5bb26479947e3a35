"""What the service needs from the outside world, as protocols; `adapters/` fulfils them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import BinaryIO, Protocol

from synthloom.domain.artifact import ARTIFACT_NAMES, Artifact
from synthloom.domain.errors import UsageError

Content = bytes | Callable[[BinaryIO], None]
"""Bytes, or a function that writes them into the sink it is given (for what is too large to hold twice)."""

_MAX_KEY = 512


class ArtifactStore(Protocol):
    """Where a run's files go. Keys are `{run_id}/synthetic.csv` and the like (`artifact_key`).

    A reader never sees a half-written artifact: `put` shows the new content whole or not at all, whatever happens
    in between. A full disk, a missing permission or a lost connection is an `OutputError`.
    """

    def put(self, key: str, content: Content) -> Artifact:
        """Store one artifact, replacing what stood there."""

    def put_all(self, contents: Mapping[str, Content]) -> tuple[Artifact, ...]:
        """Store several artifacts that belong together: all are written before the first one becomes visible."""

    def get(self, key: str) -> bytes:
        """The bytes of an artifact; UnknownNameError when there is none."""

    def list(self, prefix: str = "") -> tuple[str, ...]:
        """Keys that start with `prefix`, sorted."""

    def exists(self, key: str) -> bool:
        """Whether an artifact stands under this key."""

    def delete(self, key: str) -> None:
        """Remove an artifact; nothing happens when there is none."""


def artifact_key(run_id: str, name: str) -> str:
    """The key of a run's artifact, such as `a1b2/synthetic.csv`."""
    if "/" in run_id:
        raise UsageError(f"run id {run_id!r} holds a slash.", do="Use letters, digits, dots, dashes.")
    return check_key(f"{run_id}/{name}")


def check_key(key: str) -> str:
    """The key itself if it stays inside a store; UsageError otherwise.

    A key is a relative path with forward slashes: no empty, `.` or `..` part, no backslash, no control character.
    """
    parts = key.split("/")
    bad = (
        not key or len(key) > _MAX_KEY or "\\" in key or any(ord(c) < 32 or ord(c) == 127 for c in key)
        or any(part in ("", ".", "..") for part in parts)
    )
    if bad:
        raise UsageError(
            f"artifact key {key!r} is not usable.",
            do="Use a relative name with forward slashes, such as run1/report.json.",
        )
    return key


def media_type(key: str) -> str:
    """The media type of an artifact by its name; application/octet-stream for a name nobody declared."""
    return ARTIFACT_NAMES.get(PurePosixPath(key).name, "application/octet-stream")
