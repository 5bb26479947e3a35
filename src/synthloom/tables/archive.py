"""From a source of bytes to the bytes of one table: opening, limits, gzip and zip, and what the bytes are."""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

from synthloom.domain.errors import TableError, TooLargeError, UsageError

SUPPORTED = "CSV, TSV, Parquet and Excel (.xlsx), each also inside .gz or a .zip that holds nothing else"
_MEBI = 1024**2
_CHUNK = 4 * _MEBI

_REFUSED = {
    "sav": "SPSS", "zsav": "SPSS", "por": "SPSS", "dta": "Stata", "sas7bdat": "SAS", "xpt": "SAS transport",
    "json": "JSON", "jsonl": "JSON Lines", "ndjson": "JSON Lines", "feather": "Feather", "arrow": "Arrow IPC",
    "orc": "ORC", "avro": "Avro", "rds": "R", "rdata": "R", "rda": "R", "xls": "old Excel (.xls)",
    "xlsb": "binary Excel (.xlsb)", "ods": "OpenDocument", "numbers": "Numbers", "db": "database",
    "sqlite": "SQLite", "sqlite3": "SQLite", "mdb": "Access", "accdb": "Access", "h5": "HDF5", "hdf5": "HDF5",
    "pkl": "pickle", "pickle": "pickle", "npy": "NumPy", "npz": "NumPy", "mat": "MATLAB", "pdf": "PDF",
    "html": "HTML", "htm": "HTML", "xml": "XML", "yaml": "YAML", "yml": "YAML", "docx": "Word", "tar": "tar",
    "tgz": "tar", "bz2": "bzip2", "xz": "xz", "zst": "Zstandard", "7z": "7-Zip", "rar": "RAR",
}  # fmt: skip
_REFUSED_STARTS = (
    (b"ARROW1\x00", "Arrow IPC"), (b"Obj\x01", "Avro"), (b"SQLite format 3\x00", "SQLite"),
    (b"%PDF-", "PDF"), (b"\x89PNG", "picture"), (b"\xff\xd8\xff", "picture"), (b"GIF89a", "picture"),
    (b"\x89HDF", "HDF5"), (b"$FL2@", "SPSS"), (b"$FL3@", "SPSS"), (b"<stata_dta>", "Stata"), (b"\x93NUMPY", "NumPy"),
    (b"\xfd7zXZ\x00", "xz"), (b"\x28\xb5\x2f\xfd", "Zstandard"), (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"Rar!\x1a", "RAR"), (b"<!DOCTYPE", "HTML"), (b"<!doctype", "HTML"), (b"<html", "HTML"), (b"<?xml", "XML"),
    (b"RDX3\n", "R"), (b"HEADER RECORD", "SAS transport"),
)  # fmt: skip
_SIDE_FILES = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")

Container = Literal["text", "parquet", "excel"]


@dataclass(frozen=True)
class Limits:
    """How large a table may be before it is refused, so that one file cannot take the whole machine.

    Attributes:
        max_bytes: Bytes of the file as given.
        max_unpacked_bytes: Bytes after unpacking gzip, zip, Excel or Parquet, in memory.
        max_cells: Rows times columns.
        max_cell_bytes: UTF-8 bytes of one cell.
        max_columns: Columns.
        min_rows: Rows below which nothing can be learnt.
    """

    max_bytes: int = 2 * 1024 * _MEBI
    max_unpacked_bytes: int = 4 * 1024 * _MEBI
    max_cells: int = 500_000_000
    max_cell_bytes: int = _MEBI
    max_columns: int = 2_000
    min_rows: int = 2


@dataclass(frozen=True)
class Payload:
    """The bytes of one table, unpacked, and what they are.

    Attributes:
        data: Bytes of a text table, a Parquet file or an Excel workbook.
        container: Which of the three.
        name: A name for people.
        sha256: Hash of the bytes as given, before unpacking.
        compression: How the bytes as given were packed, where a writer can do the same.
        suffix: Lower-case last part of the file name without the dot, "" if unknown.
    """

    data: bytes
    container: Container
    name: str
    sha256: str
    compression: Literal["none", "gzip"] = "none"
    suffix: str = ""


def load(source: Path | str | bytes | BinaryIO, name: str | None, limits: Limits) -> Payload:
    """Read a source to its end, unpack it once, and tell what it holds.

    Args:
        source: Path, "-" for standard input, bytes, or a binary stream.
        name: A name for people; None: the file's own.
        limits: What is too large.

    Raises:
        TableError: It cannot be opened, is too large, damaged, packed twice, or of a kind that is not read.
    """
    data, found = _read(source, limits)
    label = name or found
    if not data:
        raise TableError("the file is empty.", where=label, do="Give a table with a header line and rows.")
    digest = hashlib.sha256(data).hexdigest()
    suffix = _suffix(found)
    if data[:2] == b"\x1f\x8b":
        inner = _gunzip(data, label, limits)
        suffix = _suffix(found[: -len(suffix) - 1]) if suffix == "gz" else suffix
        _refuse_nested(inner, label)
        return Payload(inner, _container(inner, label, suffix), label, digest, "gzip", suffix)
    if data[:4] in (b"PK\x03\x04", b"PK\x05\x06") and not _is_workbook(data):
        inner, member = _unzip(data, label, limits)
        label = f"{label}: {member}"
        _refuse_nested(inner, label)
        return Payload(inner, _container(inner, label, _suffix(member)), label, digest, "none", _suffix(member))
    return Payload(data, _container(data, label, suffix), label, digest, "none", suffix)


def megabytes(n: int) -> str:
    """A size for people."""
    return f"{n / 1e6:,.0f} MB" if n >= 1e6 else f"{n:,} bytes"


def _suffix(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).suffix.lower().lstrip(".")


def _read(source: Path | str | bytes | BinaryIO, limits: Limits) -> tuple[bytes, str]:
    if isinstance(source, bytes | bytearray | memoryview):
        if len(source) > limits.max_bytes:
            raise _too_large("table", limits)
        return bytes(source), "table"
    if isinstance(source, str) and source == "-":
        return _drain(sys.stdin.buffer, "standard input", limits), "standard input"
    if isinstance(source, str | Path):
        return _read_path(Path(source), limits)
    if not hasattr(source, "read"):
        raise UsageError(
            f"a {type(source).__name__} is no source of a table.",
            do="Give a path, '-' for standard input, bytes, or a file opened in binary mode.",
        )
    name = getattr(source, "name", None)
    label = Path(name).name if isinstance(name, str) else "table"
    return _drain(source, label, limits), label


def _read_path(path: Path, limits: Limits) -> tuple[bytes, str]:
    where = str(path)
    if not str(path).strip() or str(path) == ".":
        raise TableError("no file is named.", do="Give the path of a table.")
    try:
        if path.is_dir():
            raise TableError("this is a directory, not a table.", where=where, do="Name the file inside it.")
        suffix = _suffix(path.name)
        _refuse_suffix(suffix if suffix != "gz" else _suffix(path.name[:-3]), path.name)
        with path.open("rb") as stream:
            return _drain(stream, path.name, limits), path.name
    except FileNotFoundError:
        raise TableError("there is no such file.", where=where, do="Check the path.") from None
    except PermissionError:
        raise TableError("reading this file is not permitted.", where=where, do="Change its permissions.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "the path is malformed"
        raise TableError(f"the file cannot be read ({reason}).", where=where, do="Check the path.") from None


def _drain(stream: BinaryIO, label: str, limits: Limits) -> bytes:
    parts: list[bytes] = []
    total = 0
    while chunk := stream.read(_CHUNK):
        if not isinstance(chunk, bytes | bytearray):
            raise UsageError("the stream yields text, not bytes.", where=label, do="Open it in binary mode ('rb').")
        total += len(chunk)
        if total > limits.max_bytes:
            raise _too_large(label, limits)
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(label: str, limits: Limits) -> TooLargeError:
    return TooLargeError(
        f"the file is larger than {megabytes(limits.max_bytes)}.", where=label, do="Take a sample of its rows."
    )


def unpacks_too_large(label: str, limits: Limits) -> TooLargeError:
    """The error for a file that is small on disk and too large in memory."""
    return TooLargeError(
        f"the file unpacks to more than {megabytes(limits.max_unpacked_bytes)}.",
        where=label,
        do="Take a sample of its rows.",
    )


def _inflate(stream: BinaryIO | gzip.GzipFile, label: str, limits: Limits) -> bytes:
    parts: list[bytes] = []
    total = 0
    while chunk := stream.read(_CHUNK):
        total += len(chunk)
        if total > limits.max_unpacked_bytes:
            raise unpacks_too_large(label, limits)
        parts.append(chunk)
    return b"".join(parts)


def _gunzip(data: bytes, label: str, limits: Limits) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            inner = _inflate(stream, label, limits)
    except (OSError, EOFError, zlib.error):
        raise TableError("the gzip file is damaged or cut off.", where=label, do="Copy or download it again.") from None
    if not inner:
        raise TableError("the gzip file holds an empty file.", where=label, do="Give a table with rows.")
    return inner


def _is_workbook(data: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        # Too damaged to list its members. A zip starts with its first member's name, so a cut-off workbook still tells.
        return b"[Content_Types].xml" in data[:4096] or b"xl/" in data[:4096]
    return "[Content_Types].xml" in names


def _unzip(data: bytes, label: str, limits: Limits) -> tuple[bytes, str]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            member = _only_member(archive, label)
            if member.flag_bits & 1:
                raise TableError("the zip file is encrypted.", where=label, do="Unpack it and give the table itself.")
            if member.file_size > limits.max_unpacked_bytes:
                raise unpacks_too_large(label, limits)
            with archive.open(member) as stream:
                inner = _inflate(stream, label, limits)  # type: ignore[arg-type]  # it reads like any binary stream
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError):
        raise TableError("the zip file is damaged or cut off.", where=label, do="Copy or download it again.") from None
    except NotImplementedError:
        raise TableError(
            "the zip file is packed in a way that is not read.", where=label, do="Unpack it and give the table itself."
        ) from None
    if not inner:
        raise TableError("the zip file holds an empty file.", where=label, do="Give a table with rows.")
    return inner, PurePosixPath(member.filename.replace("\\", "/")).name


def _only_member(archive: zipfile.ZipFile, label: str) -> zipfile.ZipInfo:
    members = [m for m in archive.infolist() if not m.is_dir() and not _is_side_file(m.filename)]
    if len(members) != 1:
        raise TableError(
            f"the zip file holds {len(members)} files, and exactly one table is wanted.",
            where=label,
            do="Unpack it and give one table.",
        )
    return members[0]


def _is_side_file(filename: str) -> bool:
    parts = PurePosixPath(filename.replace("\\", "/")).parts
    return any(part in _SIDE_FILES or part.startswith("._") for part in parts)


def _refuse_nested(data: bytes, label: str) -> None:
    packed = data[:2] == b"\x1f\x8b" or (data[:4] in (b"PK\x03\x04", b"PK\x05\x06") and not _is_workbook(data))
    if packed:
        raise TableError(
            "this is an archive inside an archive.", where=label, do="Unpack it and give the table itself."
        )


def _refuse_suffix(suffix: str, label: str) -> None:
    if suffix in _REFUSED:
        raise _not_read(_REFUSED[suffix], label)


def _not_read(kind: str, label: str) -> TableError:
    return TableError(f"{kind} files are not read.", where=label, do=f"Save the table as one of: {SUPPORTED}.")


def _container(data: bytes, label: str, suffix: str) -> Container:
    """What the bytes are, told by the bytes themselves; a suffix only adds what they cannot tell."""
    _refuse_suffix(suffix, label)
    if data[:4] == b"PAR1" and (data[-4:] == b"PAR1" or data[4:5] < b" "):
        return "parquet"
    if data[:4] == b"PARE":
        raise TableError("the Parquet file is encrypted.", where=label, do="Save it without encryption.")
    if data[:4] == b"PK\x03\x04":
        return "excel"
    if data[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise TableError("the workbook is encrypted.", where=label, do="Save it without a password.")
        raise _not_read(_REFUSED["xls"], label)
    for start, kind in _REFUSED_STARTS:
        if data.startswith(start):
            raise _not_read(kind, label)
    if data[:3] == b"BZh" and data[4:10] == b"1AY&SY":
        raise _not_read("bzip2", label)
    if data[:64].lstrip().startswith((b"[{", b"{")):
        raise _not_read("JSON", label)
    if suffix in ("parquet", "pq", "xlsx", "xlsm"):
        kind = "Parquet" if suffix in ("parquet", "pq") else "Excel"
        raise TableError(f"the {kind} file is damaged: it does not start as one.", where=label, do="Save it again.")
    return "text"
