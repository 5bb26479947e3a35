"""How a text table is written: its delimiter, quoting and line ends; and where it breaks its own rules.

The one grammar used here and by the reader (pyarrow): a cell that starts with the quote runs to the quote that closes
it, a doubled quote inside stands for one, and whatever follows up to the delimiter is taken as it is; a quote anywhere
else is a character like any other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from synthloom.domain.errors import TableError
from synthloom.tables.encoding import count_lines

_DELIMITERS = (b"\t", b"|", b";", b",")  # the less a character occurs in prose and numbers, the earlier
_HEAD_BYTES = 1 << 18
_HEAD_RECORDS = 500
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)")

LineEnd = Literal["\n", "\r\n", "\r"]


@dataclass(frozen=True)
class Dialect:
    """How records are written. `start` is the byte at which the header stands, `line` the file line it stands on."""

    delimiter: bytes
    quote: bytes = b'"'
    quote_all: bool = False
    line_end: LineEnd = "\n"
    start: int = 0
    line: int = 1


@dataclass(frozen=True)
class Record:
    """Where one record lies.

    Attributes:
        line: File line it starts on, from 1.
        end_line: File line it ends on.
        start: Its first byte.
        end: The byte after its last, line end not included.
        spans: First byte and byte after the last of each cell, quotes included.
        closed: False when a quoted cell is still open at the end of the data.
    """

    line: int
    end_line: int
    start: int
    end: int
    spans: tuple[tuple[int, int], ...]
    closed: bool = True


# -- records -----------------------------------------------------------------------------------------------------------


def records(data: bytes, dialect: Dialect, *, blank: bool = False) -> Iterator[Record]:
    """Walk over the records of a text table from the header on, the slow and exact way.

    Args:
        data: UTF-8 text.
        dialect: How it is written.
        blank: Whether blank lines count as records of one empty cell; otherwise they are passed over.
    """
    line, at = dialect.line, dialect.start
    while at < len(data):
        match = _LINE.match(data, at)
        assert match is not None  # noqa: S101  # the pattern matches any text
        end, after = _content_end(data, match), match.end()
        if dialect.quote not in match[0]:
            if end > at:
                yield Record(line, line, at, end, _plain_spans(data, at, end, dialect.delimiter))
            elif blank:
                yield Record(line, line, at, end, ((at, end),))
            line, at = line + 1, after
            continue
        record, after = _quoted_record(data, at, line, dialect)
        yield record
        line, at = record.end_line + 1, after


def _content_end(data: bytes, match: re.Match[bytes]) -> int:
    end = match.end()
    while end > match.start() and data[end - 1] in b"\r\n":
        end -= 1
    return end


def _plain_spans(data: bytes, start: int, end: int, delimiter: bytes) -> tuple[tuple[int, int], ...]:
    spans = []
    while (cut := data.find(delimiter, start, end)) >= 0:
        spans.append((start, cut))
        start = cut + 1
    spans.append((start, end))
    return tuple(spans)


def _quoted_record(data: bytes, start: int, line: int, dialect: Dialect) -> tuple[Record, int]:
    """One record whose cells may be quoted, and the byte at which the next begins."""
    quote, delimiter = dialect.quote, dialect.delimiter
    stop = re.compile(b"[" + re.escape(delimiter) + rb"\r\n]")
    spans, at, closed = [], start, True
    while True:
        begin = at
        if data[at : at + 1] == quote:
            at, closed = _closing(data, at + 1, quote)
        match = stop.search(data, at) if closed else None
        end = match.start() if match else len(data)
        spans.append((begin, end))
        if match is None or match[0] != delimiter:
            break
        at = end + 1
    after = end + (2 if data[end : end + 2] == b"\r\n" else 1)
    inside = count_lines(data[start:end])
    return Record(line, line + inside, start, end, tuple(spans), closed), after


def _closing(data: bytes, at: int, quote: bytes) -> tuple[int, bool]:
    """The byte after the quote that closes a cell opened before `at`, and whether there is one."""
    while True:
        found = data.find(quote, at)
        if found < 0:
            return len(data), False
        if data[found + 1 : found + 2] != quote:
            return found + 1, True
        at = found + 2


def cell_text(data: bytes, span: tuple[int, int], quote: bytes) -> str:
    """What a cell says, without its quotes."""
    cell = data[span[0] : span[1]]
    if cell[:1] != quote:
        return cell.decode("utf-8")
    end, closed = _closing(cell, 1, quote)
    inner = cell[1 : end - 1] if closed else cell[1:]
    return (inner.replace(quote * 2, quote) + cell[end:]).decode("utf-8")


# -- detection ---------------------------------------------------------------------------------------------------------


def detect(data: bytes, label: str, suffix: str = "") -> Dialect:
    """Tell delimiter, quoting and line ends from the beginning of a text table.

    A delimiter must split the header into as many cells as the rows, which a decimal comma does not: `1,5;2,5` has a
    header without commas. Among those that fit, more columns win; then the one rarer in prose and numbers.

    Args:
        data: UTF-8 text, not blank.
        label: Its name, for errors.
        suffix: Last part of the file name, such as tsv.

    Raises:
        TableError: A title stands where the header should.
    """
    start, line = _skip_blank(data)
    head = _whole_lines(data, start)
    base = Dialect(b",", line=line, start=start)
    if hint := re.match(rb"sep=([,;\t|])[ \t]*(?:\r\n|\r|\n)", head):
        at, line = _skip_blank(data, start + hint.end(), line + 1)
        return _finish(data, Dialect(hint[1], start=at, line=line))
    quote = _quote(head)
    best, best_score = None, (False, False, 0, 0.0)
    for delimiter in _DELIMITERS:
        score = _score(data, _sample(data, len(head), base, delimiter, quote), quote)
        if score[3] > 0 and score > best_score:
            best, best_score = delimiter, score
    if best is None:
        for delimiter in _DELIMITERS:
            _refuse_title(data, _sample(data, len(head), base, delimiter, quote), label)
        order = _DELIMITERS if suffix in ("tsv", "tab") else (b",", b";", b"\t", b"|")
        best = _single(data, len(head), base, quote, order)
    return _finish(data, Dialect(best, quote, start=start, line=line))


def _skip_blank(data: bytes, at: int = 0, line: int = 1) -> tuple[int, int]:
    while (match := re.compile(rb"[ \t]*(\r\n|\r|\n)").match(data, at)) is not None:
        at, line = match.end(), line + 1
    return at, line


def _whole_lines(data: bytes, start: int) -> bytes:
    """The first lines, the last one whole."""
    head = data[start : start + _HEAD_BYTES]
    if start + len(head) >= len(data):
        return head
    cut = max(head.rfind(b"\n"), head.rfind(b"\r"))
    return head[: cut + 1] if cut >= 0 else head


def _quote(head: bytes) -> bytes:
    """The single quote only if every cell of the header stands in single quotes."""
    first = re.split(rb"[\r\n]", head, maxsplit=1)[0]
    single = all(len(c) >= 2 and c[:1] == c[-1:] == b"'" for c in re.split(rb"[,;\t|]", first))
    return b"'" if single else b'"'


def _sample(data: bytes, size: int, base: Dialect, delimiter: bytes, quote: bytes) -> list[Record]:
    """The first records under a candidate delimiter. A record cut off by the end of the sample is left out."""
    limit = base.start + size
    sample: list[Record] = []
    dialect = Dialect(delimiter, quote, start=base.start, line=base.line)
    for record in records(data[:limit], dialect):
        if not record.closed and sample:
            break
        sample.append(record)
        if len(sample) > _HEAD_RECORDS:
            break
    return sample


def _refuse_title(data: bytes, sample: list[Record], label: str) -> None:
    """A first line of one cell above rows of three or more that are not one number's thousands groups."""
    rows = [r for r in sample[1:] if len(r.spans) >= 3]
    if len(sample[0].spans) > 1 or len(rows) < 0.9 * max(len(sample) - 1, 1):
        return
    if any(not data[r.spans[1][0] : r.spans[1][1]].isdigit() for r in rows):
        raise TableError(
            f"the first line holds 1 cell, while the lines below hold {len(rows[0].spans)}.",
            where=f"{label}, line {sample[0].line}",
            do="Remove whatever stands above the column names.",
        )


def _score(data: bytes, sample: list[Record], quote: bytes) -> tuple[bool, bool, int, float]:
    """(quotes close where cells end, nearly all rows agree with the header, columns, share of rows that agree).

    A share of 0 rules a delimiter out.
    """
    width = len(sample[0].spans)
    if width == 1:
        return False, False, 1, 0.0
    clean = all(_is_clean(data[a:b], quote) for record in sample for a, b in record.spans)
    rows = [len(r.spans) for r in sample[1:]]
    if not rows:
        return clean, True, width, 1.0
    share = rows.count(width) / len(rows)
    usual, times = Counter(rows).most_common(1)[0]
    if share < 0.5 and usual > 1 and abs(usual - width) == 1:
        share = 0.5 * times / len(rows)  # every row one cell longer or shorter than the header: a file to be mended
    if share == 0 and all(re.fullmatch(rb"\w+", data[a:b]) for a, b in sample[0].spans):
        share = 0.01  # the header alone is plainly a list of names
    return clean, share >= 0.9, width, share


def _is_clean(cell: bytes, quote: bytes) -> bool:
    """Whether a cell that opens with a quote ends with the quote that closes it."""
    return cell[:1] != quote or _closing(cell, 1, quote) == (len(cell), True)


def _single(data: bytes, size: int, base: Dialect, quote: bytes, candidates: tuple[bytes, ...]) -> bytes:
    """The delimiter of a one-column table: the first that no sampled cell contains outside quotes."""
    for delimiter in candidates:
        if all(len(r.spans) == 1 for r in _sample(data, size, base, delimiter, quote)):
            return delimiter
    return candidates[0]


def _finish(data: bytes, dialect: Dialect) -> Dialect:
    """Add how most sampled records end and whether every cell stands in quotes."""
    size = len(_whole_lines(data, dialect.start))
    sample = _sample(data, size, dialect, dialect.delimiter, dialect.quote)
    quoted = all(data[a : a + 1] == dialect.quote for r in sample for a, _ in r.spans)
    ends = Counter(_line_end(data, r.end) for r in sample if r.end < len(data))
    return replace(dialect, quote_all=quoted, line_end=ends.most_common(1)[0][0] if ends else "\n")


def _line_end(data: bytes, at: int) -> LineEnd:
    if data[at : at + 2] == b"\r\n":
        return "\r\n"
    return "\r" if data[at : at + 1] == b"\r" else "\n"
