"""A report as a PDF, drawn now: by a report service where one is set, else in a limited child."""

from __future__ import annotations

import logging
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from synthloom.domain.errors import BackendError, OutputError
from synthloom.domain.event import Emit, Fallback, ignore
from synthloom.service.limited import Bounds, call_limited

log = logging.getLogger("synthloom.pdf")

ROUTE = "/v1/report/pdf"
"""What a report service answers on: report.json is posted, with a bearer token where one is set; a PDF comes back."""

_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Remote:
    """A report service.

    Attributes:
        address: Where it is.
        token: What it wants to be shown.
    """

    address: str
    token: str | None = field(default=None, repr=False)


def render_pdf(report: bytes, bounds: Bounds, service: Remote | None = None, emit: Emit = ignore) -> bytes:
    """The PDF of a report.json.

    Args:
        report: Its bytes.
        bounds: What drawing may use here.
        service: A report service to ask first.
        emit: Hears of the fallback to drawing here when the service fails.

    Raises:
        ResourceError: drawing took too much memory or time. InputError: it is no report.
        MissingDependencyError: Pango is missing here.
    """
    if service is not None:
        try:
            return remote_pdf(report, service, bounds.seconds)
        except BackendError as error:
            log.warning("fallback", extra={"wanted": "report service", "used": "local", "reason": error.what})
            emit(Fallback(wanted="report service", used="drawn by this server", reason=error.what))
    return local_pdf(report, bounds)


def local_pdf(report: bytes, bounds: Bounds) -> bytes:
    """Drawn in a child of ours."""
    with tempfile.TemporaryDirectory(prefix="synthloom-pdf-") as folder:
        source, target = Path(folder) / "report.json", Path(folder) / "report.pdf"
        try:
            source.write_bytes(report)
            call_limited("synthloom.service.tasks:draw_pdf", {"report": str(source), "target": str(target)}, bounds)
            return target.read_bytes()
        except OSError as error:
            raise OutputError(
                f"the PDF cannot be drawn ({error.strerror or type(error).__name__}).", where="temporary folder",
                do="Free some space there, or tell the operator.",
            ) from None


def remote_pdf(report: bytes, service: Remote, seconds: float) -> bytes:
    """Drawn by a report service.

    Raises:
        BackendError: it cannot be reached, or answers with anything but a PDF.
    """
    if urlsplit(service.address).scheme not in ("http", "https"):
        raise BackendError("the report service's address is no http address.", do="Set SYNTHLOOM_REPORT_SERVICE.")
    headers = {"Content-Type": "application/json", "Accept": "application/pdf"}
    if service.token is not None:
        headers["Authorization"] = f"Bearer {service.token}"
    request = urllib.request.Request(  # noqa: S310  # the scheme is checked above
        service.address.rstrip("/") + ROUTE, data=report, method="POST", headers=headers,
    )
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310
            drawn: bytes = answer.read(_MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        error.close()
        raise BackendError(f"the report service answered {error.code}.", do="Look at its log.") from None
    except (OSError, ValueError) as error:
        raise BackendError(
            f"the report service cannot be reached ({type(error).__name__}).", do="Check SYNTHLOOM_REPORT_SERVICE.",
        ) from None
    if not drawn.startswith(b"%PDF-") or len(drawn) > _MOST_BYTES:
        raise BackendError("the report service answered with something else than a PDF.", do="Look at its log.")
    return drawn
