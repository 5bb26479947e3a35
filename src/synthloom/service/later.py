"""Packages that are loaded when somebody first asks them for something, not when a module says `import`.

A server looks methods up and checks requests, which imports their modules, and those import pandas (35 MB).
It never holds a table itself: children read, fit and draw. So the package stays out until it is really needed, if ever.
"""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_LOCK = threading.RLock()


class _Later(ModuleType):
    """Stands in for a package until the first look into it, and hands on what it has from then on."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_load(self), name)


def put_off(package: str) -> None:
    """Let `import package` load nothing in this process until something is looked up in it.

    Nothing happens when it is loaded already, or is not installed.
    """
    with _LOCK:
        spec = None if package in sys.modules else find_spec(package)
        if spec is None:
            return
        later = _Later(package)
        # looking at these loads nothing
        later.__spec__, later.__file__, later.__loader__ = spec, spec.origin, spec.loader
        sys.modules[package] = later


def _load(later: _Later) -> ModuleType:
    name = later.__name__
    with _LOCK:  # two threads may be the first; its own imports of itself come back here in the same one
        if sys.modules.get(name) is later:
            del sys.modules[name]
            try:
                import_module(name)
            except BaseException:  # raised again: whoever looks next tries again
                sys.modules[name] = later
                raise
        return sys.modules[name]
