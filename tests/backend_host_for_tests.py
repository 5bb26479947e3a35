"""A host as the real ones are, run by another interpreter: it draws its rows from those it was given, with mischief."""

import json
import os
import random
import sys
import time

import pandas as pd

PARAMS = [
    {"name": "n_iter", "default": 5, "type": "integer", "low": 1, "high": 100, "choices": None},
    {"name": "lr", "default": 0.001, "type": "number", "low": None, "high": None, "choices": None},
    {"name": "batch_size", "default": 200, "type": "integer", "low": None, "high": None, "choices": None},
    {"name": "n_units_embedding", "default": 500, "type": "integer", "low": None, "high": None, "choices": None},
    {"name": "generator_n_units_hidden", "default": 500, "type": "integer", "low": None, "high": None, "choices": None},
    {"name": "discriminator_n_units_hidden", "default": 500, "type": "integer", "low": None, "high": None,
     "choices": None},
    {"name": "random_state", "default": 0, "type": "integer", "low": None, "high": None, "choices": None},
    {"name": "epsilon", "default": 1.0, "type": "number", "low": None, "high": None, "choices": None},
    {"name": "mood", "default": None, "type": "string", "low": None, "high": None, "choices": ["good", "bad"]},
    {"name": "model_type", "default": "mlp", "type": "string", "low": None, "high": None, "choices": None},
]
KINDS = {"ctgan": "generic", "tvae": "generic", "dpgan": "privacy", "adsgan": "privacy",
         "survival_gan": "survival_analysis", "timegan": "time_series", "par": "sequential",
         "gaussian_copula": "single_table", "radialgan": "domain_adaptation"}


def catalogue(context, payload):
    """What plugins there are."""
    return {
        "plugins": [{"name": name, "kind": kind, "params": PARAMS} for name, kind in KINDS.items()],
        "broken": {"great": "No module named 'great'."},
    }, {}


def fit(context, payload):
    """Keep the rows and what was asked; tell how it goes."""
    frame = context.table("train")
    params = payload["params"]
    for name in params:
        if name not in {p["name"] for p in PARAMS}:
            raise context.refuse("no parameter " + repr(name))
    mood = params.get("mood")
    if mood == "raises":
        raise ValueError("the plugin does not like this table")
    if mood == "crashes":
        os._exit(3)
    if mood == "hangs":
        while True:
            time.sleep(0.05)
    if frame.isna().any().any() and payload["plugin"] != "gaussian_copula":
        raise ValueError("missing values are not supported")
    for k in range(4):
        context.progress("fit", (k + 1) / 4, f"epoch {k + 1}")
        context.loss("loss", k, 1.0 / (k + 1))
    context.state.update(frame=frame, payload=payload, calls=0)
    path = os.environ.get("TMPDIR", ".")
    with open(os.path.join(path, "seen.json"), "w", encoding="utf-8") as file:
        json.dump(payload, file)
    return {"seconds": 0.1, "plugin": payload["plugin"], "params": params}, {}


def sample(context, payload):
    """Rows drawn from those that came, shuffled; in one mood too few, in another wrong ones."""
    frame, mood = context.state["frame"], context.state["payload"]["params"].get("mood")
    context.state["calls"] += 1
    n = payload["n"]
    if context.state["payload"]["sequence"] is not None:
        return sequences(frame, n, payload["seed"], context.state["payload"])
    if mood == "few":
        n = max(n // 2, 1)
    if mood == "none" and context.state["calls"] > 1:
        n = 0
    drawn = frame.sample(n, replace=True, random_state=payload["seed"]).reset_index(drop=True)
    if mood == "wrong":
        drawn = drawn.rename(columns={drawn.columns[0]: "other"})
    if mood == "strange":  # every third row holds what never went over
        label = next(c for c, k in context.state["payload"]["columns"].items() if k["kind"] == "category")
        drawn.loc[::3, label] = "L777"
    if mood == "floats":
        drawn = drawn.apply(lambda s: s.astype("float64") + 0.2 if s.dtype.kind == "i" else s)
    return {"rows": len(drawn)}, {"synthetic": drawn}


def sequences(frame, n, seed, asked):
    """Whole sequences of those that came, under other numbers; in moods short ones, or rows out of order."""
    rng, key, mood = random.Random(seed), asked["sequence"], asked["params"].get("mood")
    parts = [part for _, part in frame.groupby(key)]
    count = max(round(n * len(parts) / len(frame)), 1)
    drawn = [rng.choice(parts).assign(**{key: 7 * k}) for k in range(count)]
    if mood == "few":
        drawn = [part.head(2) for part in drawn]
    table = pd.concat(drawn, ignore_index=True)
    if mood == "strange":  # every third sequence holds what never went over
        label = next(c for c, k in asked["columns"].items() if k["kind"] == "category")
        table.loc[(table[key] % 3 == 0) & (table.index % 2 == 0), label] = "L777"
    if mood == "floats" and asked["order"]:
        table[asked["order"]] = [rng.random() * 5 for _ in range(len(table))]
    return {"rows": len(table)}, {"synthetic": table}


def evaluate(context, payload):
    """How many rows each table has, and one that cannot be told."""
    sizes = {name: float(len(context.table(name))) for name in ("train", "holdout", "synthetic")}
    return {
        "metrics": {
            "stats.ks_test.marginal": 0.9, "privacy.DomiasMIA_prior.aucroc": 0.5,
            "privacy.k-anonymization.gt": sizes["holdout"], "privacy.k-anonymization.syn": sizes["synthetic"],
            "sanity.common_rows_proportion.score": sizes["train"],
        },
        "directions": {"stats.ks_test.marginal": "maximize", "privacy.DomiasMIA_prior.aucroc": "minimize"},
        "undefined": {"stats.survival_km_distance": "SynthCity gave no number: the table is no survival data."},
        "seconds": 0.1,
    }, {}


def check(context, payload):
    """Which interpreter this is."""
    return {"versions": {"python": sys.version.split()[0], "pandas": pd.__version__}, "seconds": random.random()}, {}


def asked(context, payload):
    """What the last fit was asked for."""
    return context.state["payload"], {}


ACTIONS = {"list": catalogue, "fit": fit, "sample": sample, "evaluate": evaluate, "check": check, "asked": asked}
