"""Datasets: upload, list, show, inspect, delete."""

from __future__ import annotations

import tempfile
from typing import Annotated, Any, BinaryIO, cast

from fastapi import APIRouter, Query, Request, Response
from starlette.datastructures import UploadFile

from synthloom.domain.errors import ParamsError, UsageError
from synthloom.http.auth import Caller
from synthloom.http.parts import Reader, Runs, Writer, in_child, in_thread, link_next, note
from synthloom.http.problems import COMMON, responses
from synthloom.http.shapes import (
    ID,
    DatasetId,
    DatasetList,
    DatasetView,
    InspectionView,
    InspectRequest,
    PageSize,
)
from synthloom.service.runs import RunService

RAW_TYPES = (
    "text/csv", "text/tab-separated-values", "text/plain", "application/vnd.apache.parquet", "application/gzip",
    "application/zip", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "application/octet-stream",
)
"""What a body may be called; what it is, is told by its bytes."""

_MAX_NAME = 200
_IN_MEMORY = 1 << 20

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], responses=COMMON)

_BINARY = {"type": "string", "format": "binary"}
_UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object", "properties": {"file": _BINARY}, "required": ["file"],
                },
            },
            **{kind: {"schema": _BINARY} for kind in RAW_TYPES},
        },
    },
}


class UnsupportedTypeError(UsageError):
    """A body of a media type that is not taken."""

    http_status = 415


@router.post("", status_code=201, openapi_extra=_UPLOAD, responses=responses(400, 413, 415, 422))
async def upload_dataset(
    request: Request, response: Response, caller: Writer, service: Runs,
    filename: Annotated[
        str, Query(max_length=_MAX_NAME, description="What the table is called, when the body is the file itself."),
    ] = "table",
) -> DatasetView:
    """Store a table: CSV, TSV, Parquet or Excel, plain, in .gz or alone in a .zip; as a form's `file`, or as the body.

    The same bytes again give the dataset that is there already.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with request.form(max_files=1, max_fields=4) as form:
            part = form.get("file")
            if not isinstance(part, UploadFile):
                raise ParamsError("the form has no file.", where="field file", do="Send the table as the field `file`.")
            made = await _store(request, caller, service, part.file, part.filename or filename, part.content_type or "")
    elif kind in RAW_TYPES:
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as body:
            async for chunk in request.stream():
                await in_thread(body.write, chunk)
            body.seek(0)
            made = await _store(request, caller, service, cast(BinaryIO, body), filename, kind)
    else:
        raise UnsupportedTypeError(
            f"a table is not taken as {kind or 'nothing'!r}.", where="header Content-Type",
            do=f"Send multipart/form-data, or one of: {', '.join(RAW_TYPES)}.",
        )
    response.headers["Location"] = f"/v1/datasets/{made.dataset_id}"
    return made


async def _store(
    request: Request, caller: Caller, service: RunService, source: BinaryIO, filename: str, kind: str
) -> DatasetView:
    def work() -> DatasetView:
        record = service.upload(caller.tenant, source, plain_name(filename), kind)
        note(request, caller, "dataset.create", record.dataset_id, size=record.size)
        return DatasetView.of(record)

    return await in_child(request, work)


def plain_name(filename: str) -> str:
    """A name to show: without folders, without control characters, not too long."""
    last = filename.replace("\\", "/").rpartition("/")[2]
    shown = "".join(c for c in last if c.isprintable()).strip()
    return shown[:_MAX_NAME] if shown.strip(".") else "table"


@router.get("", responses=responses(404))
def list_datasets(
    request: Request, response: Response, caller: Reader, service: Runs, limit: PageSize = 50,
    after: Annotated[str | None, Query(pattern=ID, description="Id of the last dataset of the page before.")] = None,
) -> DatasetList:
    """Datasets, newest first."""
    found = service.ledger.datasets(caller.tenant, limit=limit, after=after)
    more = found[-1].dataset_id if len(found) == limit else None
    if more:
        link_next(request, response, after=more)
    return DatasetList(datasets=tuple(DatasetView.of(record) for record in found), next=more)


@router.get("/{dataset_id:id}", responses=responses(404))
def show_dataset(dataset_id: DatasetId, caller: Reader, service: Runs) -> DatasetView:
    """One dataset."""
    return DatasetView.of(service.ledger.dataset(caller.tenant, dataset_id))


@router.post("/{dataset_id:id}/inspect", responses=responses(400, 404, 501))
async def inspect_dataset(
    request: Request, dataset_id: DatasetId, caller: Reader, service: Runs, body: InspectRequest
) -> InspectionView:
    """What the table's columns are, why, and the plan that a run would begin with. Nothing is kept."""
    found = await in_child(request, service.inspect, caller.tenant, dataset_id, body.overrides, body.method)
    return InspectionView.model_validate(found)


@router.delete("/{dataset_id:id}", status_code=204, responses=responses(404, 409))
def delete_dataset(request: Request, dataset_id: DatasetId, caller: Writer, service: Runs) -> None:
    """Forget a dataset and its bytes. Finished runs of it stay."""
    service.delete_dataset(caller.tenant, dataset_id)
    note(request, caller, "dataset.delete", dataset_id)
