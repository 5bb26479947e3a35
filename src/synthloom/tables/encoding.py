"""Which encoding the bytes of a text table are in, and the same text as UTF-8."""

from __future__ import annotations

import codecs
import re

from synthloom.domain.errors import TableError

_HEAD_BYTES = 1 << 18
_CHUNK = 1 << 23
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"), (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_CONTROLS = bytes(set(range(32)) - {0, 9, 10, 11, 12, 13, 26, 27})


def to_utf8(data: bytes, label: str) -> tuple[bytes, str, bool]:
    """The same text as UTF-8 without a byte-order mark.

    Args:
        data: Bytes of a text file.
        label: Its name, for errors.

    Returns:
        The text, the encoding it was in (utf-8, utf-16-le, utf-16-be, utf-32-le, utf-32-be, cp1252, latin-1), and
        whether a byte-order mark stood first.

    Raises:
        TableError: It is not text, holds a NUL, or is broken UTF-8 or UTF-16.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            body = data[len(mark) :]
            text = body if encoding == "utf-8" else _transcode(body, encoding, label, len(mark))
            if encoding == "utf-8":
                _check_utf8(body, label, len(mark))
            _check_text(text, label)
            return text, encoding, True
    if wide := _wide_without_mark(data[:4096]):
        text = _transcode(data, wide, label, 0)
        _check_text(text, label)
        return text, wide, False
    _check_text(data, label)
    broken = _first_broken_byte(data)
    if broken is None:
        return data, "utf-8", False
    if _is_mostly_utf8(data):
        raise _undecodable(data, broken, 0, "UTF-8", label)
    encoding = "cp1252" if not re.search(rb"[\x81\x8d\x8f\x90\x9d]", data) else "latin-1"
    return _transcode(data, encoding, label, 0), encoding, False


def _wide_without_mark(head: bytes) -> str | None:
    """UTF-16 without a mark: nearly every second byte of a mostly Latin text is zero."""
    if len(head) < 8:
        return None
    even, odd = head[0::2].count(0) / len(head[0::2]), head[1::2].count(0) / len(head[1::2])
    if odd > 0.7 and even < 0.05:
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 and odd < 0.05 else None


def _transcode(data: bytes, encoding: str, label: str, offset: int) -> bytes:
    decoder = codecs.getincrementaldecoder(encoding)()
    parts = []
    for start in range(0, max(len(data), 1), _CHUNK):
        chunk = data[start : start + _CHUNK]
        try:
            parts.append(decoder.decode(chunk, final=start + _CHUNK >= len(data)).encode("utf-8"))
        except UnicodeDecodeError as error:
            good = chunk[: error.start].decode(encoding, errors="ignore").encode()
            line = count_lines(b"".join(parts)) + count_lines(good) + 1
            raise TableError(
                f"the bytes near offset {offset + start + error.start} are not valid {encoding.upper()}.",
                where=f"{label}, line {line}",
                do="Save the file as UTF-8.",
            ) from None
    return b"".join(parts)


def _first_broken_byte(data: bytes) -> int | None:
    """The offset of the first byte that is no UTF-8, decoded chunk by chunk to stay small."""
    if data.isascii():
        return None
    start = 0
    while start < len(data):
        end = min(start + _CHUNK, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80 and end - start > _CHUNK - 4:
            end -= 1  # do not cut inside a character
        try:
            data[start:end].decode("utf-8")
        except UnicodeDecodeError as error:
            return start + error.start
        start = end
    return None


def _check_utf8(data: bytes, label: str, offset: int) -> None:
    broken = _first_broken_byte(data)
    if broken is not None:
        raise _undecodable(data, broken, offset, "UTF-8", label)


def _is_mostly_utf8(data: bytes) -> bool:
    """Whether bytes beyond ASCII look like UTF-8 with a few broken ones, rather than like a one-byte encoding."""
    good = bad = 0
    for start in range(0, len(data), _CHUNK):
        chunk = data[start : start + _CHUNK]
        if chunk.isascii():
            continue
        decoded = chunk.decode("utf-8", errors="replace")
        wrong = decoded.count("\ufffd")
        good += len(decoded) - len(decoded.encode("ascii", "ignore")) - wrong
        bad += wrong
    return good >= bad and good > 0


def _undecodable(data: bytes, at: int, offset: int, encoding: str, label: str) -> TableError:
    line = count_lines(data[:at]) + 1
    return TableError(
        f"the byte at offset {offset + at} is not valid {encoding}, though the text around it is.",
        where=f"{label}, line {line}",
        do="Save the whole file in one encoding, best UTF-8.",
    )


def _check_text(data: bytes, label: str) -> None:
    head = data[:_HEAD_BYTES]
    if head.count(0) > 0.02 * len(head) or len(head) - len(head.translate(None, _CONTROLS)) > 0.02 * len(head) + 1:
        raise TableError(
            "this is binary data, not a text table.", where=label, do="Give a CSV, TSV, Parquet or Excel (.xlsx) file."
        )
    at = data.find(b"\0")
    if at >= 0:
        line = count_lines(data[:at]) + 1
        raise TableError(
            f"a NUL byte stands at offset {at}.",
            where=f"{label}, line {line}",
            do="The file is damaged or not text; export it again or remove the byte.",
        )


def count_lines(data: bytes) -> int:
    """Line ends in `data`, as an editor counts them."""
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")
