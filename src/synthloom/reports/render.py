"""A report as files: JSON for machines, HTML for a screen, PDF for the archive. HTML and PDF share one template."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import jinja2
from pydantic import ValidationError

from synthloom.domain.errors import InputError, MissingDependencyError
from synthloom.domain.report import Report
from synthloom.reports.svg import clean
from synthloom.reports.view import view

REPORT_VERSION = 2
SCHEMA_ID = "urn:synthloom:report:2"


def to_json(report: Report) -> bytes:
    """report.json: the whole report, UTF-8, indented; `from_json` reads it back equal."""
    return report.model_dump_json(indent=2).encode() + b"\n"


def from_json(content: bytes) -> Report:
    """The report in a report.json.

    Raises:
        InputError: it is no report, or of a version that this release does not read.
    """
    do = "Give a report.json written by `synthloom run` or `synthloom evaluate`."
    try:
        loaded = json.loads(content)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        place = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f"it is not JSON{place}.", where="report", do=do) from None
    version = loaded.get("version") if isinstance(loaded, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise InputError("it is JSON, but no Synthloom report: it has no version.", where="report", do=do)
    if version > REPORT_VERSION:
        raise InputError(
            f"it is of version {version}; this release reads up to version {REPORT_VERSION}.", where="report",
            do="Upgrade synthloom.",
        )
    if version == 1:  # as version 2, but without a race
        content = json.dumps(loaded | {"version": REPORT_VERSION}).encode()
    try:
        return Report.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(p) for p in first["loc"])
        raise InputError(
            f"its field {field!r} does not fit: {first['msg'].lower()} ({error.error_count()} in all).", where="report",
            do="It was edited, or written by another release: make it again or use the release that wrote it.",
        ) from None


def report_json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of report.json."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, "title": "Synthloom report",
        **{k: v for k, v in Report.model_json_schema(mode="serialization").items() if k != "title"},
    }


def to_html(report: Report) -> str:
    """report.html: one file that needs nothing else, neither scripts nor network; equal reports give equal text."""
    return environment().get_template("report.html.j2").render(view(report))


def to_pdf(report: Report) -> bytes:
    """report.pdf: A4, tagged (PDF/UA-1), with bookmarks and page numbers.

    Nothing is fetched while it is drawn: no file and no address, only what stands in the page itself.

    Raises:
        MissingDependencyError: Pango, which lays out the text, is not installed.
    """
    try:
        from weasyprint import HTML  # heavy, and needs a system library
        from weasyprint.text.fonts import FontConfiguration
        from weasyprint.urls import URLFetcher
    except OSError as error:
        raise MissingDependencyError(
            f"the PDF needs the system library Pango ({str(error).splitlines()[0]}).", where="report.pdf",
            do="Install it: `apt-get install libpango-1.0-0 libpangoft2-1.0-0` (Debian, Ubuntu) or "
            "`brew install pango` (macOS). report.html holds the same content.",
        ) from None
    page = HTML(string=to_html(report), url_fetcher=URLFetcher(allowed_protocols=["data"]), media_type="print")
    drawn: bytes = page.write_pdf(
        font_config=FontConfiguration(), pdf_variant="pdf/ua-1", pdf_tags=True, pdf_identifier=_identifier(report),
    )
    return drawn


def _identifier(report: Report) -> bytes:
    return hashlib.sha256(to_json(report)).digest()[:16]


def environment() -> jinja2.Environment:
    """The templates, with everything that comes from a table escaped."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("synthloom.reports", "templates"), autoescape=True, finalize=_finalize,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )


def _finalize(value: Any) -> Any:
    """Whatever a template prints: text loses characters that no page may hold; None is a defect."""
    if value is None:
        raise TypeError("a template printed None")
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return clean(value)
    return value

