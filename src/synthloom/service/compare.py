"""From a table to a comparison of methods, with its documents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from synthloom.domain.comparison import Comparison
from synthloom.domain.event import Cancelled, Emit, Progress, ignore, never
from synthloom.domain.run import RunRequest
from synthloom.domain.schema import SchemaOverrides
from synthloom.ports import ArtifactStore, Content, artifact_key
from synthloom.service.recorder import Recorder, check_cancelled, recording
from synthloom.service.roads import Source, joined, load, versions

if TYPE_CHECKING:
    from synthloom.domain.artifact import Artifact
    from synthloom.registry import Backends

DOCUMENTS = ("comparison.json", "comparison.html")


def compare(
    source: Source, methods: Sequence[str], backends_asked: Sequence[str], request: RunRequest, *, seeds: int = 1,
    name: str | None = None, overrides: SchemaOverrides | None = None, command: str | None = None,
    backends: Backends | None = None, emit: Emit = ignore, cancelled: Cancelled = never,
) -> Comparison:
    """Let methods of several backends learn one split of a table, and measure them all alike; store nothing.

    Args:
        source: The table.
        methods: Names of methods.
        backends_asked: Names of backends; each makes each method that it has.
        request: What is asked of all of them, as in a run.
        seeds: How often each is fitted.
        name: A name for people; default: the file's.
        overrides: What a person says about the columns.
        command: How to do it again.
        backends: Who may implement methods beside this package; None: nobody.
        emit: Hears every event as it happens.
        cancelled: Asked often; when true, CancelledError is raised within a second.
    """
    from synthloom.engine.compare import compare as measure_all
    from synthloom.registry import NATIVE_ONLY
    from synthloom.service.memory import MemoryGauge
    from synthloom.tables.rng import child

    recorder = recording(emit)
    dataset = load(source, name=name, overrides=overrides, emit=recorder, cancelled=cancelled)
    found = measure_all(
        dataset, methods, backends_asked, request, child(request.seed, "compare"), emit=recorder, cancelled=cancelled,
        seeds=seeds, backends=backends or NATIVE_ONLY, meter=MemoryGauge,
    )
    return found.model_copy(update={
        "seed": request.seed, "versions": versions(), "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command, "notices": joined(found.notices, recorder.notices),
    })


def keep_comparison(
    store: ArtifactStore, run_id: str, comparison: Comparison, emit: Emit = ignore, cancelled: Cancelled = never
) -> tuple[Artifact, ...]:
    """Store a comparison as JSON and as a page."""
    from synthloom.reports.comparison import to_html, to_json

    recorder: Recorder = recording(emit)
    with recorder.step("store"):
        files: dict[str, Content] = {"comparison.json": to_json(comparison)}
        recorder(Progress(step="store", fraction=0.3, message="drawing comparison.html"))
        files["comparison.html"] = to_html(comparison).encode()
        check_cancelled(cancelled)
        return store.put_all({artifact_key(run_id, document): content for document, content in files.items()})
