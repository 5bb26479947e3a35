"""Reading Excel workbooks (.xlsx), if openpyxl is installed. Cells become text, as in any text table."""

from __future__ import annotations

import datetime
import io
import warnings
import zipfile
import zlib
from itertools import islice
from typing import Any

import pandas as pd

from synthloom.domain.errors import MissingDependencyError, TableError, TooLargeError
from synthloom.tables.archive import Limits, Payload, megabytes, unpacks_too_large
from synthloom.tables.frames import check_names

_STRING = pd.StringDtype("pyarrow")


def read_excel(payload: Payload, limits: Limits, drop: frozenset[str]) -> tuple[pd.DataFrame, int]:
    """Read the one filled sheet of a workbook.

    Args:
        payload: Its bytes.
        limits: What is too large.
        drop: Columns whose cells may be of any size.

    Returns:
        The frame, every cell as text, and the sheet row its first record stands on.

    Raises:
        MissingDependencyError: openpyxl is not installed.
        TableError: Damaged, encrypted, too large, or with several filled sheets.
    """
    try:
        import openpyxl  # optional
    except ImportError:
        raise MissingDependencyError(
            "reading Excel needs openpyxl, which is not installed.",
            where=payload.name,
            do="Run: pip install 'synthloom[excel]'",
        ) from None
    _check_parts(payload, limits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of decoration it drops: styles, validation, drawings
            book = openpyxl.load_workbook(io.BytesIO(payload.data), read_only=True, data_only=True)
            sheets = {s.title: _grid(s, payload.name, limits) for s in book.worksheets}
            book.close()
    except TableError:
        raise
    except Exception:  # noqa: BLE001  # openpyxl meets a damaged workbook with errors of every sort
        raise TableError(
            "the workbook is damaged, or no Excel workbook.", where=payload.name, do="Save it again as .xlsx."
        ) from None
    filled = {title: grid for title, grid in sheets.items() if grid[1]}
    if len(filled) != 1:
        what = f"{len(filled)} sheets hold cells" if filled else "no sheet holds a cell"
        raise TableError(
            f"{what}, and exactly one table is wanted.", where=payload.name, do="Save that sheet as a file of its own."
        )
    ((title, (first, rows)),) = filled.items()
    return _frame(rows, first, f"{payload.name}, sheet {title!r}", limits, drop), first + 1


def _check_parts(payload: Payload, limits: Limits) -> None:
    """Unpacked sizes by the zip's own list; what lies about its size is cut off there and fails its checksum."""
    try:
        with zipfile.ZipFile(io.BytesIO(payload.data)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError):
        raise TableError("the workbook is damaged or cut off.", where=payload.name, do="Save it again.") from None
    if any(p.flag_bits & 1 for p in parts):
        raise TableError("the workbook is encrypted.", where=payload.name, do="Save it without a password.")
    if sum(p.file_size for p in parts) > limits.max_unpacked_bytes:
        raise unpacks_too_large(payload.name, limits)


def _grid(sheet: Any, label: str, limits: Limits) -> tuple[int, list[tuple[Any, ...]]]:
    """The sheet row of the first filled row, and the rows from there to the last filled one."""
    sheet.reset_dimensions()  # the size a sheet claims may be the whole grid
    rows: list[tuple[Any, ...]] = []
    first, cells, last = 1, 0, 0
    for number, wide in enumerate(sheet.iter_rows(values_only=True), start=1):
        row = _without_tail(wide)
        if not rows and not row:
            first = number + 1
            continue
        cells += len(row)
        if cells > limits.max_cells:
            raise TooLargeError(f"a sheet has more than {limits.max_cells:,} cells.", where=label, do="Take a sample.")
        rows.append(row)
        last = len(rows) if row else last
    return first, rows[:last]


def _without_tail(row: tuple[Any, ...]) -> tuple[Any, ...]:
    end = len(row)
    while end and row[end - 1] is None:
        end -= 1
    return row[:end]


def _frame(
    rows: list[tuple[Any, ...]], first: int, label: str, limits: Limits, drop: frozenset[str]
) -> pd.DataFrame:
    width = max(map(len, rows))
    names = ["" if c is None else str(c) for c in (*rows[0], *(None,) * width)][:width]
    check_names(names, f"{label}, row {first}", limits)
    table = {}
    for i, name in enumerate(names):
        cells = [row[i] if i < len(row) else None for row in islice(rows, 1, None)]
        texts = _texts(cells)
        sizes = [len(t.encode()) for t in texts]
        longest = max(sizes, default=0)
        if longest > limits.max_cell_bytes and name not in drop:
            raise TableError(
                f"a cell holds {megabytes(longest)}; at most {megabytes(limits.max_cell_bytes)} are read.",
                where=f"{label}, row {first + 1 + sizes.index(longest)}, column {name!r}",
                do="Shorten the cell or leave the column out.",
            )
        table[name] = pd.Series(texts, dtype=_STRING)
    return pd.DataFrame(table)


def _texts(cells: list[Any]) -> list[str]:
    """Cells as text. Moments lose their time of day when the whole column has none."""
    moments = [c for c in cells if isinstance(c, datetime.datetime)]
    days_only = all(m.time() == datetime.time() for m in moments)
    return [_text(c, days_only) for c in cells]


def _text(cell: Any, days_only: bool) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, datetime.datetime):
        return cell.strftime("%Y-%m-%d") if days_only else cell.isoformat(sep=" ")
    if isinstance(cell, datetime.timedelta):
        seconds, micros = divmod(cell // datetime.timedelta(microseconds=1), 1_000_000)
        fraction = f".{micros:06d}".rstrip("0") if micros else ""
        return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return str(cell)
