"""What the tests of docs/ share: the generator as a module, code blocks of pages, tables under the pages' names."""

from __future__ import annotations

import importlib.util
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@cache
def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def people(n: int, seed: int) -> pd.DataFrame:
    """A small table with the columns that the pages speak of."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, n)
    return pd.DataFrame({
        "age": age, "income": np.round(rng.lognormal(10, 0.5, n), 2), "grade": rng.choice(["low", "mid", "high"], n),
        "smoker": np.where(rng.random(n) < 0.6 - age / 200, "yes", "no"),
        "seen": (pd.Timestamp("2021-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D")).strftime("%d.%m.%Y"),
    })
