"""Tables that come in: received with a limit, looked at in a limited child, stored, fetched again."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from synthloom.domain.errors import InputError, OutputError, ResourceError, SchemaError, TooLargeError
from synthloom.domain.event import Cancelled, never
from synthloom.domain.records import DatasetRecord
from synthloom.domain.schema import SchemaOverrides, roles_of
from synthloom.ports import ArtifactStore
from synthloom.service.limited import Bounds, call_limited
from synthloom.service.recorder import check_cancelled

_PIECE = 1 << 20
_LONGEST_NAME = 200
_BESIDE = ".columns.json"
_UNPACKED_FACTOR, _LEAST_UNPACKED = 8, 256 << 20
_UNSHOWN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # controls, formatting, surrogates, private, unassigned, breaks
_SUFFIXES = re.compile(r"(\.[A-Za-z0-9]{1,8}){1,2}$")


@dataclass(frozen=True)
class Received:
    """A file as it came in.

    Attributes:
        path: Where it lies.
        sha256: Its hash, hex.
        size: Bytes.
    """

    path: Path
    sha256: str
    size: int


@dataclass(frozen=True)
class Looked:
    """What a received file turned out to be."""

    rows: int
    columns: tuple[str, ...]
    media_type: str


def clean_filename(given: str) -> str:
    """A person's file name, to be shown: its last part, without control and formatting characters, not too long."""
    last = re.split(r"[/\\]", given)[-1]
    plain = "".join(c for c in last if unicodedata.category(c) not in _UNSHOWN).strip()
    if len(plain) > _LONGEST_NAME:
        suffix = Path(plain).suffix[:16]
        plain = plain[: _LONGEST_NAME - len(suffix)] + suffix
    return plain if plain.strip(". ") else "table"


def receive(source: BinaryIO, folder: Path, filename: str, most: int) -> Received:
    """Write a stream into a file of ours, counting and hashing.

    Raises:
        TooLargeError: it holds more than `most` bytes; not more than that was read or written.
    """
    path = folder / f"table{_suffix(filename)}"
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("wb") as sink:
            while piece := source.read(_PIECE):
                size += len(piece)
                if size > most:
                    raise TooLargeError(
                        f"the file is larger than {most / 1e6:,.0f} MB.", where=filename,
                        do="Take a sample of its rows.",
                    )
                digest.update(piece)
                sink.write(piece)
    except OSError as error:
        raise OutputError(
            f"the upload cannot be kept ({error.strerror or type(error).__name__}).", where="temporary folder",
            do="Tell the operator.",
        ) from None
    return Received(path, digest.hexdigest(), size)


def look(received: Received, filename: str, cells: int, bounds: Bounds, cancelled: Cancelled = never) -> Looked:
    """Read a received file once, in a limited child.

    Raises:
        InputError: it is no table. TooLargeError: it is too large, in bytes unpacked, cells, memory or time.
    """
    unpacked = max(_UNPACKED_FACTOR * received.size, _LEAST_UNPACKED)
    arguments = {
        "path": str(received.path), "name": filename, "cells": cells,
        "unpacked_bytes": min(unpacked, bounds.memory_mb << 20),
    }
    try:
        found = call_limited("synthloom.service.tasks:read_table", arguments, bounds, cancelled)
    except ResourceError as error:
        raise TooLargeError(f"the table cannot be read: {error.what}", where=filename, do=error.do) from None
    return Looked(found["rows"], tuple(found["columns"]), found["media_type"])


def keep(store: ArtifactStore, tenant: str, received: Received, looked: Looked) -> str:
    """Store a table with the names of its columns beside it; its key, which no other upload has."""
    owner = hashlib.sha256(tenant.encode()).hexdigest()[:16]
    key = f"{owner}/{received.sha256}-{secrets.token_hex(4)}"

    def copy(sink: BinaryIO) -> None:
        with received.path.open("rb") as source:
            shutil.copyfileobj(source, sink, _PIECE)

    names = json.dumps({"version": 1, "columns": looked.columns}, ensure_ascii=False).encode()
    store.put_all({key: copy, _beside(key): names})
    return key


def discard(store: ArtifactStore, key: str) -> None:
    """Remove a stored table with what stands beside it."""
    store.delete(key)
    store.delete(_beside(key))


def dataset_key(key: str) -> str:
    """The key of the table that something in the datasets' store belongs to: its own, or that of what stands beside."""
    return key.removesuffix(_BESIDE)


def columns_of(store: ArtifactStore, dataset: DatasetRecord) -> tuple[str, ...]:
    """The names of a stored table's columns."""
    said: dict[str, Any] = json.loads(store.get(_beside(dataset.key)))
    return tuple(said["columns"])


def check_overrides(overrides: SchemaOverrides | None, columns: tuple[str, ...]) -> None:
    """SchemaError for overrides that name a column the table does not have."""
    if overrides is None:
        return
    roles = {f"columns.{name}": name for name in overrides.columns}
    roles |= roles_of(overrides.target, overrides.survival, overrides.sequence)
    for role, name in roles.items():
        if name not in columns:
            raise SchemaError(
                f"{role} names the column {name!r}, which the table does not have.",
                do=f"Correct the name or take it out. The table has: {', '.join(columns[:20])}.",
            )


def fetch(store: ArtifactStore, dataset: DatasetRecord, folder: Path, cancelled: Cancelled = never) -> Path:
    """A stored table as a file in `folder`.

    Raises:
        InputError: the stored bytes are not those that were uploaded.
        CancelledError: cancelled between pieces.
    """
    path = folder / f"table{_suffix(dataset.filename)}"
    digest = hashlib.sha256()
    try:
        with path.open("wb") as sink:
            for piece in store.stream(dataset.key):
                check_cancelled(cancelled)
                digest.update(piece)
                sink.write(piece)
    except OSError as error:
        raise OutputError(
            f"the table cannot be fetched ({error.strerror or type(error).__name__}).", where="temporary folder",
            do="Free some space there, or tell the operator.",
        ) from None
    if digest.hexdigest() != dataset.sha256:
        raise InputError(
            "the stored table is not what was uploaded: its hash differs.", where=dataset.filename,
            do="Upload it again.",
        )
    return path


def _suffix(filename: str) -> str:
    """The end of a person's file name where it may tell what the file is; never more than letters and digits."""
    found = _SUFFIXES.search(filename)
    return found.group(0).lower() if found else ""


def _beside(key: str) -> str:
    return f"{key}{_BESIDE}"
