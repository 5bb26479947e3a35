"""Synthloom: a synthetic twin of a table, the model that made it, and the evidence to trust it.

    import synthloom

    twin = synthloom.synthesize(df, target="income")
    twin.data, twin.report, twin.model
    twin.save("results/twin")

Names are loaded when first used, so that `import synthloom` is quick.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` itself would take longer to load than this file
    from typing import Any

    from synthloom.api import Synthesis, create_synthesizer, evaluate, synthesize
    from synthloom.domain.errors import SynthloomError
    from synthloom.domain.report import Report
    from synthloom.domain.schema import Kind, Schema, SchemaOverrides
    from synthloom.registry import load_synthesizer as load
    from synthloom.synthesizer import Synthesizer

    __version__: str

__all__ = [
    "Kind", "Report", "Schema", "SchemaOverrides", "Synthesis", "Synthesizer", "SynthloomError", "__version__",
    "create_synthesizer", "evaluate", "load", "synthesize",
]

_HOMES = {
    "Kind": ("synthloom.domain.schema", "Kind"),
    "Report": ("synthloom.domain.report", "Report"),
    "Schema": ("synthloom.domain.schema", "Schema"),
    "SchemaOverrides": ("synthloom.domain.schema", "SchemaOverrides"),
    "Synthesis": ("synthloom.api", "Synthesis"),
    "Synthesizer": ("synthloom.synthesizer", "Synthesizer"),
    "SynthloomError": ("synthloom.domain.errors", "SynthloomError"),
    "create_synthesizer": ("synthloom.api", "create_synthesizer"),
    "evaluate": ("synthloom.api", "evaluate"),
    "load": ("synthloom.registry", "load_synthesizer"),
    "synthesize": ("synthloom.api", "synthesize"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("synthloom")
    if name not in _HOMES:
        raise AttributeError(f"module 'synthloom' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
