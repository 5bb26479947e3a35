"""What runs leave: list, download, report, PDF."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from starlette.responses import RedirectResponse, StreamingResponse

from synthloom.domain.artifact import ARTIFACT_NAMES, Artifact
from synthloom.domain.errors import UsageError
from synthloom.domain.report import Report
from synthloom.http.parts import IfNoneMatch, Reader, Runs, in_child, matches
from synthloom.http.problems import COMMON, responses
from synthloom.http.shapes import ArtifactList, ArtifactView, RunId

router = APIRouter(prefix="/v1/runs/{run_id:id}", tags=["artifacts"], responses=COMMON)

ArtifactName = Annotated[str, Path(max_length=100, description="Such as synthetic.csv.")]

SANDBOX = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox"
)
"""For a report that is looked at: it needs no script and gets none, not our origin, and nothing from elsewhere."""

_SIGNED_SECONDS = 300
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_TYPES: dict[str, Any] = dict.fromkeys((*ARTIFACT_NAMES.values(), "application/octet-stream"), _BINARY)
_TYPES |= {"application/json": {"schema": {}}}
_DOWNLOADS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file.", "content": _TYPES},
    206: {"description": "A part of it.", "content": _TYPES},
    304: {"description": "Unchanged."},
    307: {"description": "Where the store gives it, for a few minutes."},
}


class RangeError(UsageError):
    """A part was asked for that the file does not have."""

    http_status = 416


@router.get("/artifacts", responses=responses(404))
def list_artifacts(run_id: RunId, caller: Reader, service: Runs) -> ArtifactList:
    """What a run left, with sizes and hashes."""
    found = service.ledger.artifacts(caller.tenant, run_id)
    return ArtifactList(artifacts=tuple(ArtifactView.of(run_id, artifact) for artifact in found))


@router.get(
    "/artifacts/{name}", response_class=Response, response_model=None,
    responses={**_DOWNLOADS, **responses(404, 416)},
)
def download_artifact(
    run_id: RunId, name: ArtifactName, caller: Reader, service: Runs, if_none_match: IfNoneMatch = None,
    part: Annotated[
        str | None, Header(alias="Range", description="One part, as bytes=0-1023; anything else gives the whole file."),
    ] = None,
    if_range: Annotated[str | None, Header(alias="If-Range", description="ETag that the part must be of.")] = None,
    signed: Annotated[bool, Query(description="Go to the store's own address where it has one.")] = False,
    inline: Annotated[bool, Query(description="Show a report rather than save it.")] = False,
) -> Response:
    """Download a file; its ETag is its SHA-256."""
    artifact = service.artifact(caller.tenant, run_id, name)
    filename = f"{run_id[:8]}-{artifact.key.rpartition('/')[2]}"
    if signed:
        url = service.artifacts.signed_url(artifact.key, _SIGNED_SECONDS, filename)
        if url is not None:
            return RedirectResponse(url, 307, headers={"Cache-Control": "no-store"})
    headers = _headers(artifact, filename, inline)
    if matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    span = read_range(part, artifact.size) if if_range in (None, headers["ETag"]) else None
    if span is None:
        headers["Content-Length"] = str(artifact.size)
        return StreamingResponse(_begun(service.open(artifact)), 200, headers, artifact.media_type)
    start, end = span
    headers |= {"Content-Length": str(end - start), "Content-Range": f"bytes {start}-{end - 1}/{artifact.size}"}
    return StreamingResponse(_begun(service.open(artifact, start, end)), 206, headers, artifact.media_type)


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces, the first one fetched: where the store fails, no answer has begun yet."""
    first = next(pieces, b"")
    return chain((first,), pieces)


def _headers(artifact: Artifact, filename: str, inline: bool) -> dict[str, str]:
    shown = inline and artifact.media_type in ("text/html", "application/pdf")
    return {
        "ETag": f'"{artifact.sha256}"', "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache",
        "Content-Disposition": f'{"inline" if shown else "attachment"}; filename="{filename}"',
        "Content-Security-Policy": SANDBOX,
    }


def read_range(text: str | None, size: int) -> tuple[int, int] | None:
    """The bytes [start, end) that a Range header asks for; None where it asks for all, for several parts or unclearly.

    Raises:
        RangeError: the file is shorter.
    """
    found = _RANGE.fullmatch(text.strip()) if text else None
    if not found or found.group(0) == "bytes=-":
        return None
    first, last = found.groups()
    if not first:  # the last so many bytes
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < int(first):
            return None
    if start >= size or start >= end:
        raise RangeError(f"the file has {size:,} bytes.", where="header Range", do="Ask for a part of it.")
    return start, end


@router.get("/report", responses=responses(404, 409))
def show_report(run_id: RunId, caller: Reader, service: Runs) -> Report:
    """The report as JSON: measurements, verdicts, figures."""
    return service.report(caller.tenant, run_id)


@router.post("/report/pdf", response_class=Response, response_model=None, responses={
    **responses(404, 409, 501, 502), 200: {"description": "The PDF.", "content": {"application/pdf": _BINARY}},
})
async def draw_pdf(request: Request, run_id: RunId, caller: Reader, service: Runs) -> Response:
    """The report as a PDF, drawn now."""
    drawn = await in_child(request, service.render_pdf, caller.tenant, run_id)
    return Response(drawn, media_type="application/pdf", headers={
        "Content-Disposition": f'attachment; filename="{run_id[:8]}-report.pdf"', "Cache-Control": "no-store",
    })
