"""SynthCity's host: what the bridge can ask of it. Run by `shell.py` in SynthCity's own interpreter.

Needs nothing but that interpreter's packages, and Python 3.8 or later. A table's missing cells must be filled before it
comes here: SynthCity knows none.
"""

from __future__ import annotations

import difflib
import inspect
import math
import sys
import time
from typing import Any, Dict, Tuple  # noqa: UP035  # this file must run under Python 3.8

KINDS = ("generic", "privacy", "survival_analysis", "time_series", "domain_adaptation", "debug")
WRAPPED = {"survival_gan": "adsgan", "survival_ctgan": "ctgan", "survae": "tvae", "survival_nflow": "nflow"}
"""Plugins of survival data that pass what they do not know on to another one."""
OURS = ("self", "args", "kwargs", "random_state", "device", "workspace", "encoder", "dataloader_sampler", "callbacks",
        "patience_metric", "validation_metric", "generator_loss", "discriminator_loss", "experiment_dir", "verbose",
        "static_model_args")
"""Arguments that the host sets, or that no JSON can say."""
BASE = ("strict", "sampling_strategy")
UNSEEN = ("detection", "stats")
"""Kinds of metrics for which the real rows are the holdout, as in SynthCity's own benchmark."""
DOMIAS_ROWS = 500
FEWEST_NUMBERS = 15
"""A column of fewer different values is one of labels to SynthCity."""
HAIR = 1e-6
_MAX_SEED = 2**32 - 1

Result = Tuple[Dict[str, Any], Dict[str, Any]]  # noqa: UP006


# --- what there is ---------------------------------------------------------------------------------------------------


def listing(_context: Any, _payload: dict[str, Any]) -> Result:
    """Every plugin that loads with its parameters, and why the others do not."""
    said = _hear_log()
    from synthcity.plugins import Plugin, PluginLoader, Plugins, plugins

    broken: dict[str, str] = {}
    bare = PluginLoader([], Plugin, list(KINDS))
    for kind in KINDS:
        for path in plugins[kind]:
            name, before = path.rsplit("plugin_", 1)[-1][:-3], len(said)
            if bare._load_single_plugin_impl(path) is None:
                named = [text for text in said if "import" in text and name in text.lower()]
                broken[name] = (named + said[before:] + ["it does not load"])[0][:300]
    loader = Plugins(categories=list(KINDS))
    found = [_describe(name, loader.get_type(name)) for name in sorted(loader.list())]
    return {"plugins": found, "broken": broken}, {}


def _hear_log() -> list[str]:
    """What SynthCity logs as an error from now on, message by message."""
    import synthcity.logger  # noqa: F401  # it removes every listener when it is first imported
    from loguru import logger

    said: list[str] = []
    logger.add(lambda message: said.append(str(message.record["message"])), level="ERROR")
    return said


def _describe(name: str, plugin: Any) -> dict[str, Any]:
    try:
        space = {hint.name: hint for hint in plugin.hyperparameter_space()}
    except Exception as error:  # noqa: BLE001  # a plugin that proposes nothing to search can still be used
        print(f"{name} proposes no hyperparameters: {type(error).__name__}", file=sys.stderr)  # noqa: T201  # kept, and quoted where the backend fails
        space = {}
    return {
        "name": name, "kind": plugin.type(),
        "params": [_describe_param(p, space.get(p.name)) for p in _params(plugin).values()],
    }


def _params(plugin: Any) -> dict[str, inspect.Parameter]:
    """Name → parameter, of a plugin and of the one it wraps."""
    from synthcity.plugins import Plugins
    from synthcity.plugins.core.plugin import Plugin

    own = inspect.signature(plugin.__init__).parameters
    found = {n: p for n, p in own.items() if n not in OURS and p.kind is not inspect.Parameter.VAR_KEYWORD}
    more: dict[str, inspect.Parameter] = {}
    if plugin.name() in WRAPPED:
        more = _params(Plugins().get_type(WRAPPED[plugin.name()]))
    elif any(p.kind is inspect.Parameter.VAR_KEYWORD for p in own.values()):
        base = inspect.signature(Plugin.__init__).parameters
        more = {name: base[name] for name in BASE}
    return {**{n: p for n, p in more.items() if n not in found}, **found}


def _describe_param(param: inspect.Parameter, hint: Any) -> dict[str, Any]:
    default = None if param.default is inspect.Parameter.empty else _plain(param.default)
    choices = getattr(hint, "choices", None)
    return {
        "name": param.name, "default": default, "type": _type(param),
        "low": _plain(getattr(hint, "low", None)), "high": _plain(getattr(hint, "high", None)),
        "choices": None if choices is None else [_plain(choice) for choice in choices],
    }


def _type(param: inspect.Parameter) -> str:
    text = param.annotation.__name__ if isinstance(param.annotation, type) else str(param.annotation)
    for word, name in (("bool", "boolean"), ("int", "integer"), ("float", "number"), ("str", "string"),
                       ("tuple", "array"), ("list", "array"), ("dict", "object")):
        if word in text.lower():
            return name
    return "any"


def _plain(value: Any) -> Any:
    """A value as JSON can say it."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


# --- learning and drawing --------------------------------------------------------------------------------------------


def fit(context: Any, payload: dict[str, Any]) -> Result:
    """Learn `train`; the fitted plugin stays in the session."""
    context.listen_to_loops("fit")
    from synthcity.plugins import Plugins

    name, seed = payload["plugin"], int(payload.get("seed", 0)) % _MAX_SEED
    loader = Plugins(categories=list(KINDS))
    if name not in loader.list():
        raise context.refuse(f"SynthCity has no plugin {name!r}." + _close(name, loader.list()))
    plugin_type = loader.get_type(name)
    values = _checked(context, plugin_type, payload.get("params") or {})
    train = context.table("train")
    labels = _labels(train, payload) if plugin_type.type() == "time_series" else {}
    data = _loader(_coded(train, labels), payload, plugin_type.type(), seed)
    began = time.monotonic()
    if "device" in inspect.signature(plugin_type.__init__).parameters:
        values["device"] = _device(payload.get("device", "auto"))
    plugin = plugin_type(random_state=seed, **values)
    series = plugin_type.type() == "time_series"
    if series:
        plugin.strict = False  # else it drops single rows out of its sequences, and draws for minutes
    plugin.fit(data)
    if series:
        _take_nearest_labels(plugin)
    context.state.update(
        plugin=plugin, columns=list(train.columns), payload={**payload, "range": _range(train, payload)},
        kind=plugin_type.type(), length=_mean_length(train, payload), labels=labels,
    )
    used = {p.name: values.get(p.name, p.default) for p in _params(plugin_type).values()}
    context.progress("fit", 1.0)
    return {"seconds": time.monotonic() - began, "plugin": name,
            "params": {k: _plain(v) for k, v in used.items() if v is not inspect.Parameter.empty}}, {}


def sample(context: Any, payload: dict[str, Any]) -> Result:
    """Draw; as the plugin gives it: `n` rows at most, of sequences whole ones that have about `n` rows together."""
    plugin = context.state.get("plugin")
    if plugin is None:
        raise context.refuse("nothing was learnt in this session")
    context.listen_to_loops("sample")
    n, seed = int(payload["n"]), int(payload.get("seed", 0)) % _MAX_SEED
    columns = context.state["columns"]
    if context.state["kind"] == "time_series":
        count = math.ceil(n / context.state["length"])
        drawn = plugin.generate(count=max(count, 1), random_state=seed).dataframe()
        table = _long(drawn, context.state["payload"], context.state["labels"])[columns].reset_index(drop=True)
    else:
        drawn = plugin.generate(count=max(n, 1), random_state=seed).dataframe()
        table = drawn[columns].head(n).reset_index(drop=True)
    context.progress("sample", 1.0)
    return {"rows": len(table)}, {"synthetic": table}


def _checked(context: Any, plugin_type: Any, values: dict[str, Any]) -> dict[str, Any]:
    known = _params(plugin_type)
    for name in values:
        if name not in known:
            raise context.refuse(f"{plugin_type.name()} has no parameter {name!r}." + _close(name, list(known)))
    return {k: tuple(v) if isinstance(known[k].default, tuple) and isinstance(v, list) else v
            for k, v in values.items()}


def _close(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def _device(wanted: str) -> Any:
    import torch

    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def _loader(table: Any, payload: dict[str, Any], kind: str, seed: int) -> Any:
    """A table as SynthCity takes it for a kind of plugin."""
    from synthcity.plugins.core import dataloader as dl

    target, sensitive = payload.get("target"), list(payload.get("sensitive") or [])
    sensitive = [name for name in sensitive if name in table.columns]
    if kind == "survival_analysis":
        return dl.SurvivalAnalysisDataLoader(
            table, time_to_event_column=payload["time"], target_column=payload["event"],
            sensitive_features=sensitive, random_state=seed,
        )
    if kind == "time_series":
        return _series_loader(dl, table, payload, sensitive, seed)
    return dl.GenericDataLoader(
        table, target_column=target, sensitive_features=sensitive, domain_column=payload.get("domain"),
        random_state=seed,
    )


def _series_loader(dl: Any, table: Any, payload: dict[str, Any], sensitive: list[str], seed: int) -> Any:
    key, order = payload["sequence"], payload.get("order")
    fixed = [name for name in payload.get("static") or [] if name not in (key, order)]
    moving = [name for name in table.columns if name not in (key, order, *fixed)]
    parts = [part for _, part in table.groupby(key, sort=True)]
    if order is not None:
        parts = [part.sort_values(order, kind="stable") for part in parts]
    times = _times(table[order], [part.index for part in parts]) if order is not None else [
        list(range(len(part))) for part in parts]
    import pandas as pd

    return dl.TimeSeriesDataLoader(
        temporal_data=[part[moving].reset_index(drop=True) for part in parts], observation_times=times,
        static_data=pd.concat([part[fixed].head(1) for part in parts]).reset_index(drop=True) if fixed else None,
        outcome=pd.DataFrame({"outcome": [1.0] * len(parts)}),  # it wants one, and stumbles over rare values of it
        sensitive_features=sensitive, random_state=seed,
    )


def _times(order: Any, rows: list[Any]) -> list[list[float]]:
    """The order of each sequence's rows, from 0 to 1: fflows gives another scale back as its square.

    Few different values are moved apart by a hair, as SynthCity would take them for labels.
    """
    low, width = float(order.min()), float(order.max() - order.min()) or 1.0
    hair = HAIR / len(order) if order.nunique() < FEWEST_NUMBERS else 0.0
    scaled = (order.astype(float) - low) / width
    return [list(scaled.loc[index] + hair * index.to_numpy()) for index in rows]


def _mean_length(table: Any, payload: dict[str, Any]) -> float:
    key = payload.get("sequence")
    return float(table.groupby(key).size().mean()) if key in table.columns else 1.0


def _range(table: Any, payload: dict[str, Any]) -> list[float]:
    order = payload.get("order")
    return [float(table[order].min()), float(table[order].max())] if order in table.columns else [0.0, 1.0]


def _take_nearest_labels(plugin: Any) -> None:
    """Let what is drawn beside a column's few values count as the nearest one; SynthCity would end with an error."""
    import numpy as np
    from sklearn.preprocessing import LabelEncoder

    class Nearest(LabelEncoder):  # type: ignore[misc]
        """A LabelEncoder that knows every number."""

        def inverse_transform(self, y: Any) -> Any:
            return super().inverse_transform(np.clip(y, 0, len(self.classes_) - 1))

    for encoder in plugin._data_encoders.values():
        if type(encoder) is LabelEncoder:
            encoder.__class__ = Nearest


def _labels(table: Any, payload: dict[str, Any]) -> dict[str, list[Any]]:
    """Columns of words that change within a sequence → their words: SynthCity's sequences are of numbers only."""
    fixed = (payload["sequence"], payload.get("order"), *(payload.get("static") or []))
    return {name: sorted(table[name].unique()) for name in table.columns
            if name not in fixed and table[name].dtype == object}


def _coded(table: Any, labels: dict[str, list[Any]]) -> Any:
    return table.assign(**{name: table[name].map(words.index).astype(float) for name, words in labels.items()})


def _long(drawn: Any, payload: dict[str, Any], labels: dict[str, list[Any]]) -> Any:
    """SynthCity's frame of sequences under the names of the table, with its words."""
    names = {"seq_id": payload["sequence"], "seq_time_id": payload.get("order")}
    for column in drawn.columns:
        for prefix in ("seq_static_", "seq_temporal_"):
            if str(column).startswith(prefix):
                names[column] = str(column)[len(prefix):]
    drawn = drawn.rename(columns={k: v for k, v in names.items() if v is not None})
    for name, words in labels.items():
        codes = drawn[name].astype(float).round().clip(0, len(words) - 1)
        drawn[name] = [words[int(code)] if code == code else None for code in codes]  # noqa: PLR0124  # NaN is unequal to itself
    order = payload.get("order")
    if order is not None:
        low, high = payload["range"]
        drawn[order] = drawn[order].astype(float) * ((high - low) or 1.0) + low
    return drawn


# --- measuring -------------------------------------------------------------------------------------------------------


def evaluate(context: Any, payload: dict[str, Any]) -> Result:
    """SynthCity's metrics one by one, so that one that fails says why."""
    context.listen_to_loops("measure")
    said = _hear_log()
    from synthcity.metrics.eval import standard_metrics

    began = time.monotonic()
    wanted = payload.get("metrics")
    chosen = [m for m in standard_metrics if _is_wanted(m, wanted)]
    tables = _encoded(context, payload)
    outcome: dict[str, dict[str, Any]] = {"metrics": {}, "directions": {}, "undefined": {}}
    for done, metric in enumerate(chosen):
        key = f"{metric.type()}.{metric.name()}"
        context.progress("measure", done / len(chosen), key)
        del said[:]
        try:
            values = _measure(metric, tables, payload)
        except Exception as error:  # noqa: BLE001  # one metric's error is that metric's outcome
            outcome["undefined"][key] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            continue
        swallowed = [text for text in said if "failed" in text.lower()]
        _note(outcome, key, metric.direction(), values, swallowed)
    context.progress("measure", 1.0)
    return {**outcome, "seconds": time.monotonic() - began}, {}


def _is_wanted(metric: Any, wanted: dict[str, list[str]] | None) -> bool:
    if wanted is not None:
        return metric.name() in wanted.get(metric.type(), [])
    return "augmentation" not in metric.name() and metric.name() != "fid"  # these need what a table has not


def _note(outcome: dict[str, dict[str, Any]], key: str, direction: str, values: dict[str, Any],
          swallowed: list[str]) -> None:
    for part, value in values.items():
        name = f"{key}.{part}"
        number = float(value) if value is not None else math.nan
        if swallowed:  # SynthCity puts 0 or -1 in the place of what failed
            outcome["undefined"][name] = " ".join(swallowed[0].split())[:300]
        elif not math.isfinite(number):
            outcome["undefined"][name] = f"SynthCity gave {number}."
        else:
            outcome["metrics"][name] = number
            outcome["directions"][name] = direction
    if not values:
        outcome["undefined"][key] = "SynthCity gave nothing."


class _Tables:
    """Encoded tables: train, holdout (or None), synthetic; and real rows with the split that was made."""

    def __init__(self, train: Any, holdout: Any, synthetic: Any, real: Any) -> None:
        self.train, self.holdout, self.synthetic, self.real = train, holdout, synthetic, real


def _encoded(context: Any, payload: dict[str, Any]) -> _Tables:
    """The tables under one encoder, with as many rows as asked for at most."""
    import pandas as pd

    seed, most = int(payload.get("seed", 0)) % _MAX_SEED, int(payload.get("rows") or 0)
    kind = "survival_analysis" if payload.get("task") == "survival_analysis" else "generic"
    frames = {name: context.table(name) for name in ("train", "holdout", "synthetic") if name in context.tables}
    if most:
        frames = {k: f.sample(most, random_state=seed).reset_index(drop=True) if len(f) > most else f
                  for k, f in frames.items()}
    loaders = {name: _loader(frame, payload, kind, seed) for name, frame in frames.items()}
    everything = _loader(pd.concat(list(frames.values()), ignore_index=True), payload, kind, seed)
    _, encoders = everything.encode()
    made = {name: loader.encode(encoders)[0] for name, loader in loaders.items()}
    holdout = made.get("holdout")
    real = _with_split(made["train"], holdout) if holdout is not None else made["train"]
    return _Tables(made["train"], holdout, made["synthetic"], real)


def _with_split(train: Any, holdout: Any) -> Any:
    """All real rows as one loader whose parts for learning and testing are the rows learnt from and the holdout."""
    import pandas as pd

    both = train.decorate(pd.concat([train.dataframe(), holdout.dataframe()], ignore_index=True))
    made = type("Split", (type(both),), {
        "train": lambda _: train.decorate(train.dataframe().reset_index(drop=True)),
        "test": lambda _: holdout.decorate(holdout.dataframe().reset_index(drop=True)),
    })
    both.__class__ = made
    return both


def _measure(metric: Any, tables: _Tables, payload: dict[str, Any]) -> dict[str, Any]:
    evaluator = metric(
        task_type=payload.get("task") or "classification", random_state=int(payload.get("seed", 0)) % _MAX_SEED,
        use_cache=False, n_folds=int(payload.get("folds") or 3),
    )
    if "DomiasMIA" in metric.name():
        return _domias(evaluator, tables)
    if metric.type() == "performance":
        return dict(evaluator.evaluate(tables.real, tables.synthetic))
    real = tables.holdout if metric.type() in UNSEEN and tables.holdout is not None else tables.train
    rows = min(len(real), len(tables.synthetic))
    return dict(evaluator.evaluate(real.sample(rows), tables.synthetic.sample(rows)))


def _domias(evaluator: Any, tables: _Tables) -> dict[str, Any]:
    """Members are training rows; non-members and the reference are the two halves of the holdout."""
    if tables.holdout is None:
        raise ValueError("there is no holdout to compare with")
    half = min(len(tables.holdout) // 2, DOMIAS_ROWS)
    synthetic = tables.synthetic.sample(min(len(tables.synthetic), 4 * half)).dataframe()
    middle = len(synthetic) // 2
    shown, other = (tables.synthetic.decorate(part.reset_index(drop=True))
                    for part in (synthetic.iloc[:middle], synthetic.iloc[middle:]))
    return dict(evaluator.evaluate(
        tables.holdout.sample(2 * half), shown, tables.train.sample(min(half, len(tables.train))), other,
        reference_size=half,
    ))


# --- health ----------------------------------------------------------------------------------------------------------


def check(context: Any, _payload: dict[str, Any]) -> Result:
    """Learn a tiny table with a net, and draw from it."""
    import sys

    import numpy as np
    import pandas as pd
    from synthcity.plugins import Plugins

    began = time.monotonic()
    rng = np.random.default_rng(0)
    table = pd.DataFrame({
        "number": rng.normal(size=60), "whole": rng.integers(0, 50, 60), "label": rng.choice(["a", "b", "c"], 60),
    })
    plugin = Plugins().get("tvae", n_iter=3, device=_device("cpu"))
    plugin.fit(table)
    drawn = plugin.generate(count=20).dataframe()
    if sorted(drawn.columns) != sorted(table.columns) or not len(drawn):
        raise RuntimeError("what was drawn is not what was learnt")
    context.progress("check", 0.6)
    return {"seconds": time.monotonic() - began, "python": ".".join(map(str, sys.version_info[:3])),
            "rows": len(drawn)}, {}


ACTIONS: Dict[str, Any] = {  # noqa: UP006
    "list": listing, "fit": fit, "sample": sample, "evaluate": evaluate, "check": check,
}
