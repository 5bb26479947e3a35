"""Reading Parquet, in batches, so that a small file cannot grow past the limits unnoticed."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synthloom.domain.errors import TableError, TooLargeError
from synthloom.tables.archive import Limits, Payload, megabytes, unpacks_too_large
from synthloom.tables.frames import NULLABLE, arrow_to_pandas, check_names, refuse_nested

_BATCH_ROWS = 1 << 14


def read_parquet(payload: Payload, limits: Limits, drop: frozenset[str]) -> pd.DataFrame:
    """Read a Parquet file with flat columns.

    Footers may lie about sizes, so text is decoded as dictionary codes and its full size reckoned batch by batch before
    it is spelt out. pandas' unnamed row index is left out.

    Args:
        payload: Its bytes.
        limits: What is too large.
        drop: Columns that are not read; they come back without a filled cell.

    Raises:
        TableError: Damaged, encrypted, nested, or too large.
    """
    label = payload.name
    try:
        file = pq.ParquetFile(pa.BufferReader(payload.data))
        schema, rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError):
        raise _damaged(label) from None
    names = [n for n in schema.names if not n.startswith("__index_level_")]
    check_names(names, label, limits, what="file")
    refuse_nested(pa.schema([schema.field(n) for n in names]), label, drop)
    if rows * len(names) > limits.max_cells:
        raise TooLargeError(
            f"{rows:,} rows of {len(names):,} columns are more than {limits.max_cells:,} cells.",
            where=label,
            do="Take a sample of its rows.",
        )
    wanted = [n for n in names if n not in drop]
    texts = [n for n in wanted if _is_text(schema.field(n).type)]
    try:
        table = _read_batches(payload, wanted, texts, limits)
    except (pa.ArrowException, OSError):
        raise _damaged(label) from None
    except UnicodeDecodeError:
        raise TableError("a text column is not valid UTF-8.", where=label, do="Write the file again.") from None
    if drop & set(names):
        gaps = {n: pa.nulls(table.num_rows) for n in names if n in drop}
        table = pa.table({n: gaps[n] if n in gaps else table.column(n) for n in names})
    return arrow_to_pandas(table, label).astype(_nullable(schema, wanted))


def _nullable(schema: pa.Schema, wanted: list[str]) -> dict[str, str]:
    """Columns that pandas wrote out of its nullable types: the file's own types cannot tell."""
    try:
        written = list((schema.pandas_metadata or {})["columns"])
    except (ValueError, TypeError, KeyError):  # not written by pandas, or damaged: it is a hint only
        return {}
    said = {c.get("name"): str(c.get("numpy_type")) for c in written if isinstance(c, dict)}
    return {n: said[n] for n in wanted if said.get(n) in NULLABLE and _holds(schema.field(n).type)}


def _holds(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _damaged(label: str) -> TableError:
    return TableError("the Parquet file is damaged or cut off.", where=label, do="Write or download it again.")


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _read_batches(payload: Payload, wanted: list[str], texts: list[str], limits: Limits) -> pa.Table:
    label = payload.name
    file = pq.ParquetFile(pa.BufferReader(payload.data), read_dictionary=texts, page_checksum_verification=True)
    rows = file.metadata.num_rows
    batches, size, done = [], 0, 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
        done += batch.num_rows
        if done > rows:
            raise _damaged(label)
        for i, name in enumerate(batch.schema.names):
            size += _full_size(batch.column(i), f"{label}, column {name!r}", done, limits)
        if size > limits.max_unpacked_bytes:
            raise unpacks_too_large(label, limits)
        batches.append(batch)
    if done != rows:
        raise _damaged(label)
    table = pa.Table.from_batches(batches, file.schema_arrow if not batches else batches[0].schema)
    for name in texts:
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, pc.cast(table.column(at), pa.large_string()))
    return table.select(wanted)


def _full_size(column: pa.Array, where: str, done: int, limits: Limits) -> int:
    """Bytes of a batch's column once every cell is spelt out."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    words = column.dictionary
    if not _is_text(words.type):
        return int(column.nbytes)
    lengths = pc.take(pc.binary_length(words), column.indices)
    longest = pc.max(lengths).as_py() or 0
    if longest > limits.max_cell_bytes:
        raise TableError(
            f"a cell holds {megabytes(longest)}; at most {megabytes(limits.max_cell_bytes)} are read.",
            where=f"{where}, row {done - len(column) + pc.index(lengths, longest).as_py()}",
            do="Shorten the cell or leave the column out.",
        )
    return int(pc.sum(pc.cast(lengths, pa.int64())).as_py() or 0) + 8 * len(column)
