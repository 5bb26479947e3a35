"""SDV's host: what the bridge can ask of it. Run by `shell.py` in SDV's own interpreter.

Needs nothing but that interpreter's packages, and Python 3.8 or later.
"""

from __future__ import annotations

import difflib
import inspect
import math
import random
import time
import warnings
from typing import Any, Dict, Tuple  # noqa: UP035  # this file must run under Python 3.8

TABLE = "table"
OURS = ("self", "metadata", "locales", "verbose", "enable_gpu", "cuda", "context_columns", "log_frequency_columns")
DISTRIBUTIONS = ("norm", "beta", "truncnorm", "uniform", "gamma", "gaussian_kde")
_MAX_SEED = 2**32 - 1

Result = Tuple[Dict[str, Any], Dict[str, Any]]  # noqa: UP006


def _plugins() -> dict[str, Any]:
    from sdv.sequential import PARSynthesizer
    from sdv.single_table import (
        CopulaGANSynthesizer,
        CTGANSynthesizer,
        GaussianCopulaSynthesizer,
        TVAESynthesizer,
    )

    return {
        "gaussian_copula": GaussianCopulaSynthesizer, "ctgan": CTGANSynthesizer, "tvae": TVAESynthesizer,
        "copulagan": CopulaGANSynthesizer, "par": PARSynthesizer,
    }


# --- what there is ---------------------------------------------------------------------------------------------------


def listing(_context: Any, _payload: dict[str, Any]) -> Result:
    """Every synthesizer with its parameters."""
    found = [
        {"name": name, "kind": "sequential" if name == "par" else "single_table",
         "params": [_describe(param) for param in _params(plugin).values()]}
        for name, plugin in sorted(_plugins().items())
    ]
    return {"plugins": found, "broken": {}}, {}


def _params(plugin: Any) -> dict[str, inspect.Parameter]:
    known = inspect.signature(plugin.__init__).parameters
    return {n: p for n, p in known.items() if n not in OURS and p.kind is not inspect.Parameter.VAR_KEYWORD}


def _describe(param: inspect.Parameter) -> dict[str, Any]:
    default = list(param.default) if isinstance(param.default, tuple) else param.default
    types = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    named = {"default_distribution": "string", "numerical_distributions": "object", "segment_size": "integer"}
    return {
        "name": param.name, "default": default, "type": named.get(param.name, types.get(type(default), "any")),
        "low": None, "high": None,
        "choices": list(DISTRIBUTIONS) if param.name == "default_distribution" else None,
    }


# --- learning and drawing --------------------------------------------------------------------------------------------


def fit(context: Any, payload: dict[str, Any]) -> Result:
    """Learn `train`; the fitted synthesizer stays in the session."""
    context.listen_to_loops("fit")
    plugins = _plugins()
    name, seed = payload["plugin"], int(payload.get("seed", 0)) % _MAX_SEED
    if name not in plugins:
        raise context.refuse(f"SDV has no synthesizer {name!r}." + _close(name, list(plugins)))
    plugin_type = plugins[name]
    known = _params(plugin_type)
    values = dict(payload.get("params") or {})
    for param in values:
        if param not in known:
            raise context.refuse(f"{name} has no parameter {param!r}." + _close(param, list(known)))
    values = {k: tuple(v) if isinstance(known[k].default, tuple) and isinstance(v, list) else v
              for k, v in values.items()}
    train = context.table("train")
    began = time.monotonic()
    _seed(seed)
    plugin = plugin_type(_metadata(payload, train), **values, **_ours(plugin_type, payload))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice for people who sit at SDV themselves
        plugin.fit({TABLE: train})
    context.state.update(plugin=plugin, columns=list(train.columns), length=_mean_length(train, payload))
    context.progress("fit", 1.0)
    used = {k: values.get(k, p.default) for k, p in known.items()}
    return {"seconds": time.monotonic() - began, "plugin": name,
            "params": {k: list(v) if isinstance(v, tuple) else v for k, v in used.items()}}, {}


def sample(context: Any, payload: dict[str, Any]) -> Result:
    """Draw `n` rows, or fewer where SDV gives fewer; of sequences whole ones that have about `n` rows together."""
    plugin = context.state.get("plugin")
    if plugin is None:
        raise context.refuse("nothing was learnt in this session")
    context.listen_to_loops("sample")
    n, seed = int(payload["n"]), int(payload.get("seed", 0)) % _MAX_SEED
    _seed(seed)
    for part in (plugin, getattr(plugin, "_context_synthesizer", None)):
        if part is not None:
            _seed_drawing(part, seed)
    if hasattr(plugin, "_context_synthesizer"):
        drawn = plugin.sample_sequences(num_sequences=max(math.ceil(n / context.state["length"]), 1))[TABLE]
    else:
        drawn = plugin.sample(num_rows=max(n, 1))[TABLE].head(n)
    table = drawn[context.state["columns"]].reset_index(drop=True)
    context.progress("sample", 1.0)
    return {"rows": len(table)}, {"synthetic": table}


def _seed_drawing(synthesizer: Any, seed: int) -> None:
    """Let drawing begin from a seed: SDV's models and its encoders of columns have random states of their own."""
    import numpy as np

    synthesizer._data_processor.reset_sampling()  # numbers of keys begin anew
    if hasattr(synthesizer, "_set_random_state"):
        synthesizer._set_random_state(seed)
    transformers = synthesizer._data_processor._hyper_transformer._transformers_sequence
    for position, transformer in enumerate(transformers):
        state = np.random.RandomState((seed + position + 1) % _MAX_SEED)
        transformer.set_random_state(state, "reverse_transform")


def _metadata(payload: dict[str, Any], train: Any) -> Any:
    from sdv.metadata import Metadata

    kinds = {"number": "numerical", "integer": "numerical", "category": "categorical"}
    told = payload.get("columns") or {}
    key, order = payload.get("sequence"), payload.get("order")
    metadata = Metadata()
    metadata.add_table(TABLE)
    for column in train.columns:
        kind = (told.get(column) or {}).get("kind") or ("category" if train[column].dtype == object else "number")
        sdtype = "id" if column == key else kinds[kind]
        metadata.add_column(column, TABLE, sdtype=sdtype)
    if key is not None:
        metadata.set_sequence_key(key, TABLE)
        if order is not None:
            metadata.set_sequence_index(order, TABLE)
    return metadata


def _ours(plugin_type: Any, payload: dict[str, Any]) -> dict[str, Any]:
    """Arguments that are the host's to set."""
    known = inspect.signature(plugin_type.__init__).parameters
    gpu = payload.get("device", "auto") in ("auto", "cuda")
    made: dict[str, Any] = {name: gpu for name in ("enable_gpu", "cuda") if name in known}
    if "verbose" in known:
        made["verbose"] = True  # so that its losses are told
    if "context_columns" in known:
        made["context_columns"] = list(payload.get("static") or [])
    return made


def _seed(seed: int) -> None:
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _mean_length(train: Any, payload: dict[str, Any]) -> float:
    key = payload.get("sequence")
    return float(train.groupby(key).size().mean()) if key in train.columns else 1.0


def _close(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    return f" Did you mean {' or '.join(close)}?" if close else ""


# --- health ----------------------------------------------------------------------------------------------------------


def check(context: Any, _payload: dict[str, Any]) -> Result:
    """Learn a tiny table with a net, and draw from it."""
    import sys

    import numpy as np
    import pandas as pd

    began = time.monotonic()
    rng = np.random.default_rng(0)
    table = pd.DataFrame({
        "number": rng.normal(size=60), "whole": rng.integers(0, 50, 60), "label": rng.choice(["a", "b", "c"], 60),
    })
    payload = {"columns": {"number": {"kind": "number"}, "whole": {"kind": "integer"}, "label": {"kind": "category"}}}
    plugin = _plugins()["tvae"](_metadata(payload, table), epochs=2, enable_gpu=False)
    plugin.fit({TABLE: table})
    drawn = plugin.sample(num_rows=20)[TABLE]
    if sorted(drawn.columns) != sorted(table.columns) or len(drawn) != 20:
        raise RuntimeError("what was drawn is not what was learnt")
    context.progress("check", 0.6)
    return {"seconds": time.monotonic() - began, "python": ".".join(map(str, sys.version_info[:3])),
            "rows": len(drawn)}, {}


ACTIONS: Dict[str, Any] = {"list": listing, "fit": fit, "sample": sample, "check": check}  # noqa: UP006
