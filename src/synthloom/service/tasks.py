"""What is done in a child with limits: reading strangers' tables, drawing PDFs. Arguments and answers are JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthloom.domain.run import RunRequest
from synthloom.domain.schema import SchemaOverrides

_MEDIA_TYPES = {
    "csv": "text/csv", "parquet": "application/vnd.apache.parquet",
    "excel": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def read_table(path: str, name: str, cells: int, unpacked_bytes: int) -> dict[str, Any]:
    """See that a file is a table: rows, names of columns, media type.

    Args:
        path: The file.
        name: What a person calls it.
        cells: Most rows times columns.
        unpacked_bytes: Most bytes once unpacked.
    """
    from synthloom.tables.codec import Limits
    from synthloom.tables.codec import read_table as read

    with Path(path).open("rb") as source:  # not the path: errors are to name the person's file
        raw = read(source, name=name, limits=Limits(max_cells=cells, max_unpacked_bytes=unpacked_bytes))
    return {
        "rows": len(raw.frame), "columns": [str(column) for column in raw.frame.columns],
        "media_type": _MEDIA_TYPES.get(raw.file.container, "application/octet-stream"),
    }


def inspect_table(path: str, name: str, overrides: dict[str, Any] | None, request: dict[str, Any]) -> dict[str, Any]:
    """`service.inspect` as JSON."""
    from synthloom.service.roads import inspect

    said = SchemaOverrides.model_validate(overrides) if overrides is not None else None
    found = inspect(Path(path), RunRequest.model_validate(request), name=name, overrides=said)
    return found.as_dict()


def draw_pdf(report: str, target: str) -> dict[str, Any]:
    """Draw the report in the file `report` (report.json) as a PDF into the file `target`."""
    from synthloom.service.documents import parse_report, render_documents

    drawn = render_documents(parse_report(Path(report).read_bytes(), "report.json"), ["report.pdf"])["report.pdf"]
    if not isinstance(drawn, bytes):  # the renderer gives bytes; a writer would need a sink
        raise TypeError(type(drawn).__name__)
    Path(target).write_bytes(drawn)
    return {"bytes": len(drawn)}
