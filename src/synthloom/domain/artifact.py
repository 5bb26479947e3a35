"""A file that a run leaves behind."""

from __future__ import annotations

from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

ARTIFACT_NAMES = {
    "synthetic.csv": "text/csv",
    "synthetic.parquet": "application/vnd.apache.parquet",
    "model.synthloom": "application/vnd.synthloom.model+zip",
    "report.json": "application/json",
    "report.html": "text/html",
    "report.pdf": "application/pdf",
}
"""What a run leaves, with media types."""


class Artifact(BaseModel):
    """One stored file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(description="Its name in the store, such as {run_id}/synthetic.csv.")
    media_type: str
    size: int = Field(ge=0, description="Bytes.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


def content_disposition(filename: str) -> str:
    """The header that makes a browser save a file under this name, whatever letters it has (RFC 6266)."""
    name = "".join("_" if c in '/\\"' or not c.isprintable() else c for c in filename).strip(" .") or "download"
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
