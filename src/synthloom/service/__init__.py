"""The one door: read, infer, run, measure, store. The command line, Python and servers all come through here.

The engine below is pure; this is where clocks, files and versions come in.
"""

from synthloom.service.documents import DOCUMENTS, parse_report, render_documents
from synthloom.service.keeper import Service
from synthloom.service.recorder import RecordedEvent, Recorder, check_cancelled, recording
from synthloom.service.requests import choose_budget, make_overrides, make_request
from synthloom.service.roads import (
    Finished,
    Inspection,
    Source,
    evaluate,
    impute,
    inspect,
    load,
    read_raw,
    run,
    sample,
    versions,
)

__all__ = [
    "DOCUMENTS", "Finished", "Inspection", "RecordedEvent", "Recorder", "Service", "Source", "check_cancelled",
    "choose_budget", "evaluate", "impute", "inspect", "load", "make_overrides", "make_request", "parse_report",
    "read_raw", "recording", "render_documents", "run", "sample", "versions",
]
