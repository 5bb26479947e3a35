"""Artifacts as files in a folder, each written under a temporary name and renamed when it is whole.

A crash, a full disk or Ctrl-C leaves either the old file or the new one, never half of one. What a killed process may
leave is a file named `.<name>.<random>.part`; the next writer to that folder removes those older than a day.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

from synthloom.adapters._sink import HashingSink
from synthloom.domain.artifact import Artifact
from synthloom.domain.errors import CancelledError, OutputError, UnknownNameError
from synthloom.ports import Content, check_key, check_range, media_type

PART = ".part"
"""The end of every temporary name."""

_STALE_SECONDS = 86_400
_PIECE = 1 << 20
_PATIENCE = 3


class LocalFolder:
    """An `ArtifactStore` on a folder; a key is a path below it.

    Args:
        root: The folder; made when the first artifact is written.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self._lock = threading.Lock()
        self._parts: set[Path] = set()
        self._made: list[Path] = []
        self._closed = False

    def put(self, key: str, content: Content) -> Artifact:
        """Store one artifact, replacing what stood there."""
        return self.put_all({key: content})[0]

    def put_all(self, contents: Mapping[str, Content]) -> tuple[Artifact, ...]:
        """Store several artifacts: every one is whole on the disk before the first takes its name.

        Raises:
            OutputError: the folder cannot be made or written, or the disk is full.
            CancelledError: `close` was called meanwhile; nothing of this call is visible then.
        """
        targets = {key: self._path(key) for key in contents}
        parts: dict[str, Path] = {}
        try:
            artifacts = tuple(self._write_part(key, targets[key], contents[key], parts) for key in contents)
            with self._lock:
                self._check_open()
                for key, part in parts.items():
                    _rename(part, targets[key])
                    self._parts.discard(part)
                self._made.clear()
        finally:
            self._remove_parts(set(parts.values()))
        for folder in {path.parent for path in targets.values()}:
            _sync_folder(folder)
        return artifacts

    def get(self, key: str) -> bytes:
        """The bytes of an artifact; UnknownNameError when there is none."""
        path = self._path(key)
        with _reading(path):
            return path.read_bytes()

    def stream(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes [start, end) of an artifact in pieces of 1 MB; those of one version, whoever replaces it meanwhile.

        Raises:
            UnknownNameError: there is no such artifact.
            UsageError: it is no range.
        """
        check_range(start, end)
        pieces = _pieces(self._path(key), start, end)
        next(pieces)  # opens the file: what is wrong with it is said now
        return pieces

    def size(self, key: str) -> int:
        """Bytes of an artifact; UnknownNameError when there is none."""
        path = self._path(key)
        with _reading(path):
            status = path.stat()
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError
        return status.st_size

    def signed_url(self, key: str, seconds: int, filename: str) -> str | None:  # noqa: ARG002  # the port's signature
        """None: a folder has no addresses."""
        check_key(key)
        return None

    def list(self, prefix: str = "") -> tuple[str, ...]:
        """Keys that start with `prefix`, sorted; unfinished files do not count."""
        return tuple(sorted(key for key, _ in self._files(prefix)))

    def keys_older_than(self, seconds: float) -> tuple[str, ...]:
        """Keys written longer ago than so many seconds, sorted; with what killed processes left unfinished."""
        limit = time.time() - seconds
        found = []
        for key, path in self._files("", unfinished=True):
            with contextlib.suppress(FileNotFoundError):  # removed since it was listed
                if path.stat().st_mtime <= limit:
                    found.append(key)
        return tuple(sorted(found))

    def exists(self, key: str) -> bool:
        """Whether an artifact stands under this key."""
        return self._path(key).is_file()

    def delete(self, key: str) -> None:
        """Remove an artifact, and the folders that are empty then; nothing happens when there is none."""
        path = self._path(key)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            if path.is_dir():  # no artifact: a part of others' keys
                return
            raise _output_error(error, path, "removed") from None
        with self._lock, contextlib.suppress(OSError):  # not empty: it stays, and so do those above it
            for folder in path.parents[: key.count("/")]:
                folder.rmdir()

    def close(self) -> None:
        """Remove everything unfinished and refuse further writing: for a process that is about to stop.

        Safe to call from another thread while `put_all` runs: what it had not finished never becomes visible.
        """
        with self._lock:
            self._closed = True
            parts = set(self._parts)
            made = list(self._made)
        self._remove_parts(parts)
        for folder in reversed(made):
            with contextlib.suppress(OSError):  # somebody else has put something there meanwhile: then it stays
                folder.rmdir()

    def _path(self, key: str) -> Path:
        return self.root.joinpath(*check_key(key).split("/"))

    def _files(self, prefix: str, *, unfinished: bool = False) -> Iterator[tuple[str, Path]]:
        """Files whose key starts with `prefix`, unfinished ones if asked; only the folder that it names is walked."""
        parts = prefix.split("/")[:-1]
        if any(part in ("", ".", "..") for part in parts):
            return
        for folder, _, names in os.walk(self.root.joinpath(*parts)):
            for name in names:
                path = Path(folder, name)
                key = path.relative_to(self.root).as_posix()
                if key.startswith(prefix) and (unfinished or not name.endswith(PART)):
                    yield key, path

    def _check_open(self) -> None:
        if self._closed:
            raise CancelledError("the run was cancelled before its files were written.")

    def _write_part(self, key: str, target: Path, content: Content, parts: dict[str, Path]) -> Artifact:
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}{PART}")
        try:
            with self._lock:
                self._check_open()
                handle = self._open_part(part)
                self._parts.add(part)
                parts[key] = part
            with handle:
                sink = HashingSink(handle)
                if isinstance(content, bytes):
                    sink.write(content)
                else:
                    content(cast(BinaryIO, sink))
                handle.flush()
                os.fsync(handle.fileno())
        except OSError as error:
            raise _output_error(error, target, "written") from None
        return Artifact(key=key, media_type=media_type(key), size=sink.size, sha256=sink.hash.hexdigest())

    def _open_part(self, part: Path) -> BinaryIO:
        for _ in range(_PATIENCE):
            self._make_folder(part.parent)
            with contextlib.suppress(FileNotFoundError):  # another process has just removed the empty folder
                return part.open("xb")
        return part.open("xb")

    def _make_folder(self, folder: Path) -> None:
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            self._made.append(path)
        if not missing:
            _remove_stale(folder)

    def _remove_parts(self, parts: set[Path]) -> None:
        for part in parts:
            with contextlib.suppress(OSError):  # already renamed, or its folder is gone: nothing is left to remove
                part.unlink()
        with self._lock:
            self._parts -= parts


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise UnknownNameError("there is no such file.", where=str(path), do="Check the folder's name.") from None
    except OSError as error:
        raise _output_error(error, path, "read") from None


def _pieces(path: Path, start: int, end: int | None) -> Iterator[bytes]:
    """An empty piece once the file is open, then the bytes."""
    with _reading(path), path.open("rb") as handle:
        yield b""
        handle.seek(start)
        position = start
        while piece := handle.read(_PIECE if end is None else min(_PIECE, end - position)):
            position += len(piece)
            yield piece


def _rename(part: Path, target: Path) -> None:
    try:
        part.replace(target)
    except OSError as error:
        raise _output_error(error, target, "written") from None


def _remove_stale(folder: Path) -> None:
    for path in folder.glob(f".*{PART}"):
        with contextlib.suppress(OSError):  # another process has removed it first
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                path.unlink()


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows has no handle on a folder to sync
    with contextlib.suppress(OSError):  # some network file systems refuse to sync a folder; the files are synced
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


_ADVICE = {
    errno.ENOSPC: "The disk is full: free some space or choose another folder.",
    errno.EDQUOT: "Your disk quota is used up: free some space or choose another folder.",
    errno.EACCES: "You may not write there: change its permissions or choose another folder.",
    errno.EPERM: "You may not write there: change its permissions or choose another folder.",
    errno.EROFS: "That file system is read-only: choose another folder.",
    errno.ENOTDIR: "A part of that path is a file: choose another folder.",
    errno.EEXIST: "A part of that path is a file: choose another folder.",
    errno.EISDIR: "A folder of that name is in the way: rename it or choose another one.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}


def _output_error(error: OSError, path: Path, verb: str) -> OutputError:
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    return OutputError(
        f"the file cannot be {verb} ({reason}).", where=str(path),
        do=_ADVICE.get(error.errno or 0, "Check the folder, or choose another one."),
    )
