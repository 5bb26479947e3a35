"""Parquet keeps its types on the way in and out."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthloom.domain.schema import ColumnOverride, SchemaOverrides
from synthloom.tables.codec import read_table, write_parquet
from synthloom.tables.coerce import coerce
from synthloom.tables.infer import infer_schema


def test_parquet_keeps_its_own_dtypes() -> None:
    table = pa.table(
        {
            "n": pa.array([1, None, 2**60 + 1], pa.int64()),
            "i": pa.array([1, 2, 3], pa.int16()),
            "x": pa.array([0.5, None, 2.0]),
            "s": ["a", "ä", None],
            "c": pa.array(["u", "v", "u"]).dictionary_encode(),
            "t": pa.array([0, 1, None], pa.timestamp("us", tz="Europe/Berlin")),
            "d": pa.array([0, 19000, None], pa.date32()),
            "b": [True, None, False],
            "m": pa.array(["1.50", "2.25", None]).cast(pa.decimal128(6, 2)),
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    raw = read_table(sink.getvalue(), name="t.parquet")
    assert raw.file.container == "parquet"
    dtypes = {k: str(v) for k, v in raw.frame.dtypes.items()}
    assert dtypes == {
        "n": "Int64", "i": "int16", "x": "float64", "s": "string", "c": "category",
        "t": "datetime64[us, Europe/Berlin]", "d": "date32[day][pyarrow]", "b": "boolean",
        "m": "decimal128(6, 2)[pyarrow]",
    }  # fmt: skip
    assert raw.frame["n"][2] == 2**60 + 1


def test_parquet_keeps_pandas_nullable_types() -> None:
    frame = pd.DataFrame({
        "count": pd.array([1, 2, 3] * 30, dtype="Int64"), "small": pd.array([4, 5, None] * 30, dtype="UInt8"),
        "share": pd.array([0.5, None, 1.5] * 30, dtype="Float64"),
        "yes": pd.array([True, None, False] * 30, dtype="boolean"),
        "plain": np.arange(90) % 7,
    })
    source, sink = io.BytesIO(), io.BytesIO()
    frame.to_parquet(source)
    raw = read_table(source.getvalue(), name="t.parquet")
    assert raw.frame.dtypes.astype(str).to_dict() == frame.dtypes.astype(str).to_dict()
    schema = infer_schema(raw)
    write_parquet(coerce(raw, schema), schema, sink)
    assert pd.read_parquet(io.BytesIO(sink.getvalue())).dtypes.to_dict() == frame.dtypes.to_dict()


@pytest.mark.parametrize("metadata", [b"no JSON", b"[]", b"{}", b'{"columns": [3]}', b'{"columns": null}'])
def test_strange_pandas_metadata_in_parquet_is_no_obstacle(metadata: bytes) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2]}).replace_schema_metadata({b"pandas": metadata}), sink)
    assert read_table(sink.getvalue(), name="t.parquet").frame["a"].tolist() == [1, 2]


def test_a_dropped_parquet_column_may_be_nested() -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2], "tags": [["x"], []], "b": ["u", "v"]}), sink)
    overrides = SchemaOverrides(columns={"tags": ColumnOverride(drop=True)})
    raw = read_table(sink.getvalue(), overrides=overrides)
    assert list(raw.frame.columns) == ["a", "tags", "b"]
    assert raw.frame["tags"].isna().all()


def through(table: pa.Table) -> pa.Table:
    """A Parquet table read, inferred, coerced and written again."""
    raw = read_table(parquet(table))
    schema, sink = infer_schema(raw), io.BytesIO()
    write_parquet(coerce(raw, schema), schema, sink)
    return pq.read_table(io.BytesIO(sink.getvalue()))


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def test_a_parquet_table_keeps_types_and_cells_over_the_whole_road() -> None:
    n, rng = 60, np.random.default_rng(0)
    gaps = rng.random(n) < 0.2
    table = pa.table(
        {
            "n": pa.array(rng.integers(0, 10**6, n), mask=gaps),
            "i": pa.array(rng.integers(0, 100, n), pa.int16()),
            "x": pa.array(rng.normal(size=n), mask=gaps),
            "f": pa.array(np.round(rng.normal(size=n), 1), pa.float32()),
            "s": pa.array(rng.choice(["a", "ä", "b"], n), mask=gaps),
            "c": pa.array(rng.choice(["u", "v"], n)).dictionary_encode(),
            "k": pa.array(rng.choice([1, 2, 3], n)).dictionary_encode(),
            "t": pa.array(rng.integers(0, 10**15, n), pa.timestamp("us", tz="Europe/Berlin"), mask=gaps),
            "u": pa.array(rng.integers(0, 10**9, n), pa.timestamp("s"), mask=gaps).cast(pa.timestamp("ms")),
            "d": pa.array(rng.integers(-300_000, 300_000, n).astype("int32"), pa.date32(), mask=gaps),
            "b": pa.array(rng.random(n) < 0.5, mask=gaps),
            "m": pa.array(rng.integers(0, 10**6, n)).cast(pa.decimal128(19, 0)).cast(pa.decimal128(21, 2)),
            "l": pa.array(rng.integers(0, 10**9, n), pa.duration("us"), mask=gaps),
            "h": pa.array(rng.integers(0, 86_400, n) * 1_000_000, pa.time64("us"), mask=gaps),
        }
    )
    back = through(table)
    table = pq.read_table(io.BytesIO(parquet(table)))  # Parquet itself does not keep dictionaries of numbers
    plain = {"string": "large_string"}
    for name in table.column_names:
        kind, told = str(table.schema.field(name).type), str(back.schema.field(name).type)
        assert told in (kind, plain.get(kind)) or ("dictionary" in kind and "dictionary" in told), name
        assert back[name].to_pylist() == table[name].to_pylist(), name
