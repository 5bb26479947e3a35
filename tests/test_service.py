"""The one door: what a run leaves, what it records, and what happens when something fails."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthloom import create_synthesizer, service
from synthloom import load as load_model
from synthloom.adapters.memory import MemoryStore
from synthloom.domain.artifact import ARTIFACT_NAMES
from synthloom.domain.errors import (
    CancelledError,
    InputError,
    MissingDependencyError,
    UnknownNameError,
    UsageError,
)
from synthloom.domain.event import STEPS, Event, Notice, Progress, StepFinished, StepStarted
from synthloom.domain.schema import Kind, SchemaOverrides
from synthloom.reports import render


def people(n: int = 120, seed: int = 7) -> pd.DataFrame:
    """A small mixed table with missing cells."""
    rng = np.random.default_rng(seed)
    age = rng.integers(20, 80, n)
    return pd.DataFrame({
        "age": age,
        "dose": np.round(age / 10 + rng.normal(size=n), 1),
        "sex": rng.choice(["f", "m"], n),
        "stage": np.where(rng.random(n) < 0.1, None, rng.choice(["I", "II", "III"], n)),
        "ill": (rng.random(n) < age / 100).astype(int),
    })


@pytest.fixture(scope="module")
def csv() -> bytes:
    return people().to_csv(index=False).encode()


@pytest.fixture(scope="module")
def kept(csv: bytes) -> tuple[MemoryStore, service.Finished, list[Event]]:
    store, events = MemoryStore(), []
    done = service.Service(store).execute(
        "r1", csv, service.make_request(seed=3, max_attempts=1), name="people.csv", command="synthloom run people.csv",
        overrides=service.make_overrides(target="ill"), emit=events.append,
    )
    return store, done, events


def test_a_run_leaves_every_artifact(kept: tuple[MemoryStore, service.Finished, list[Event]]) -> None:
    store, done, _ = kept
    assert set(store.list("r1/")) == {f"r1/{name}" for name in ARTIFACT_NAMES}
    assert {a.key for a in done.artifacts} == set(store.list())
    assert store.get("r1/report.pdf").startswith(b"%PDF")


def test_what_is_delivered_is_one_table_in_two_forms(kept: tuple[MemoryStore, service.Finished, list[Event]]) -> None:
    store, done, _ = kept
    text = pd.read_csv(io.BytesIO(store.get("r1/synthetic.csv")))
    parquet = pd.read_parquet(io.BytesIO(store.get("r1/synthetic.parquet")))
    assert list(text) == list(parquet) == list(people())
    assert len(text) == len(parquet) == 120 == done.report.meta.n_synth
    assert text["age"].tolist() == parquet["age"].tolist()


def test_the_model_draws_the_same_rows_by_seed(kept: tuple[MemoryStore, service.Finished, list[Event]]) -> None:
    model = load_model(kept[0].get("r1/model.synthloom"))
    table = service.sample(model, 5, seed=1)
    assert len(table) == 5
    assert service.sample(model, 5, seed=1).equals(table)
    assert not service.sample(model, 5, seed=2).equals(table)


def test_cells_can_be_fixed_as_a_person_spells_them() -> None:
    model = create_synthesizer("gaussian_copula").fit(people())
    table = service.sample(model, 5, seed=1, where={"sex": "m", "age": "33", "stage": None})
    assert table["sex"].tolist() == ["m"] * 5
    assert table["age"].tolist() == [33] * 5
    assert table["stage"].isna().all()
    with pytest.raises(UnknownNameError, match="'height'"):
        service.sample(model, 5, where={"height": "1"})


def test_the_report_says_what_was_done_and_when(kept: tuple[MemoryStore, service.Finished, list[Event]]) -> None:
    store, done, _ = kept
    meta = done.report.meta
    assert meta.dataset == "people.csv"
    assert meta.seed == 3
    assert len(meta.data_hash or "") == 64
    assert meta.command == "synthloom run people.csv"
    assert (meta.created or "").endswith("+00:00")
    assert {"python", "synthloom", "numpy", "pandas"} <= set(meta.versions)
    assert {"read", "infer", "split", "fit", "sample", "measure", "total"} <= set(meta.timings)
    assert meta.timings["total"] >= meta.timings["measure"] > 0
    assert service.Service(store).report("r1") == done.report
    assert json.loads(store.get("r1/report.json"))["meta"]["seed"] == 3


def test_events_come_in_the_order_of_the_steps(kept: tuple[MemoryStore, service.Finished, list[Event]]) -> None:
    _, done, events = kept
    started = [e.step for e in events if isinstance(e, StepStarted)]
    assert [s for s in STEPS if s in started] == list(dict.fromkeys(started))
    assert started == [e.step for e in events if isinstance(e, StepFinished)]
    assert {e.step for e in events if isinstance(e, Progress)} <= set(started)
    elapsed = [r.elapsed for r in done.events]
    assert elapsed == sorted(elapsed)
    assert not any(isinstance(r.event, Progress) for r in done.events)


def test_the_same_seed_gives_the_same_data(
    csv: bytes, kept: tuple[MemoryStore, service.Finished, list[Event]],
) -> None:
    again = service.run(
        csv, service.make_request(seed=3, max_attempts=1), name="people.csv",
        overrides=service.make_overrides(target="ill"),
    )
    pd.testing.assert_frame_equal(again.result.data, kept[1].result.data)
    assert again.report.measurements == kept[1].report.measurements


def test_a_second_run_leaves_nothing_of_the_first(
    kept: tuple[MemoryStore, service.Finished, list[Event]], monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, done, _ = kept
    store, notices = MemoryStore(), []
    door = service.Service(store)
    door.keep("r1", done)
    monkeypatch.setattr(render, "to_pdf", without_pango)
    second = door.keep("r1", done, emit=lambda e: notices.append(e) if isinstance(e, Notice) else None)
    assert "r1/report.pdf" not in store.list()
    assert [n.code for n in notices] == ["pdf_missing"]
    assert "Install it" in notices[0].message
    assert notices[0] in second.notices
    with pytest.raises(MissingDependencyError):
        door.keep_report("r1", done.report, ("report.pdf",))


def without_pango(_report: Any) -> bytes:
    """What `to_pdf` does on a machine without Pango."""
    raise MissingDependencyError("Pango is missing.", do="Install it.")


@pytest.mark.parametrize("step", [s for s in STEPS if s not in ("verdict", "plan")])
def test_a_cancelled_run_stores_nothing(csv: bytes, step: str) -> None:
    store, begun = MemoryStore(), set()

    def emit(event: Event) -> None:
        if isinstance(event, StepStarted):
            begun.add(event.step)

    with pytest.raises(CancelledError):
        service.Service(store).execute(
            "r1", csv, service.make_request(max_attempts=1), emit=emit, cancelled=lambda: step in begun,
        )
    assert store.list() == ()


def test_inspection_tells_kinds_reasons_and_the_plan(csv: bytes) -> None:
    found = service.inspect(csv, service.make_request(), name="people.csv")
    kinds = {c.name: c.kind for c in found.dataset.schema}
    assert kinds["dose"] is Kind.DECIMAL
    assert kinds["sex"].is_discrete
    assert all(c.reason for c in found.dataset.schema)
    assert found.dataset.schema["stage"].missing_rate > 0
    assert found.plan.reason
    assert json.loads(json.dumps(found.as_dict()))["rows"] == 120


def test_data_of_any_tool_is_measured_under_the_real_schema() -> None:
    real, made, holdout = people(), people(100, seed=1), people(40, seed=2)
    made["sex"] = made["sex"].replace("m", "x")  # a label the real table lacks
    report = service.evaluate(real, made[list(real)[::-1]], holdout, overrides=SchemaOverrides(target="ill"))
    assert (report.meta.n_train, report.meta.n_synth, report.meta.n_holdout) == (120, 100, 40)
    assert report.plan is None
    assert [n.code for n in report.notices] == ["new_labels"]
    assert [c.name for c in report.columns] == list(real)
    assert report.privacy["mia_auc"] is not None
    assert "measure" in report.meta.timings


WORDS = (
    "preis;tag;raucher;plz;ja_nein;menge;formel\n"
    + "".join(
        f"1.{i:03d},50 €;{i % 28 + 1:02d}.04.2021;{('ja', 'nein', '-')[i % 3]};0{i % 7}12;{('TRUE', 'FALSE')[i % 2]};"
        f"{i % 9};{('=SUM(A1)', '+49 170', 'so')[i % 3]}\n"
        for i in range(1, 121)
    )
).encode()


def test_the_same_rows_in_another_tool_s_spelling_are_the_same_rows() -> None:
    frame = pd.read_csv(io.BytesIO(WORDS), sep=";")  # 0112 becomes 112, TRUE a bool
    frame["preis"] = frame["preis"].str.removesuffix(" €").str.replace(".", "").str.replace(",", ".").astype(float)
    frame["tag"] = pd.to_datetime(frame["tag"], format="%d.%m.%Y")
    frame["raucher"] = frame["raucher"].map({"ja": True, "nein": False})
    frame["menge"] = frame["menge"].astype(float)
    escaped = frame.assign(formel=frame["formel"].where(frame["formel"] == "so", "'" + frame["formel"]))
    parquet = io.BytesIO()
    frame.to_parquet(parquet)
    for made in (frame.to_csv(index=False, na_rep="NULL").encode(), escaped.to_csv(index=False).encode(), frame,
                 parquet.getvalue()):
        report = service.evaluate(WORDS, made)
        assert report.notices == ()
        assert report.utility["shape"] == 1
        assert report.utility["missingness"] == 0


def test_without_a_holdout_membership_is_not_made_up() -> None:
    report = service.evaluate(people(), people(100, seed=1))
    assert report.privacy["mia_auc"] is None
    assert report.meta.n_holdout == 0


def test_a_table_without_a_column_is_refused() -> None:
    with pytest.raises(InputError, match="'sex'"):
        service.evaluate(people(), people(100, seed=1).drop(columns="sex"))


def test_a_report_that_is_none_is_refused(tmp_path: Path) -> None:
    store = MemoryStore()
    store.put("r1/report.json", b'{"version": 99}')
    with pytest.raises(InputError) as caught:
        service.Service(store).report("r1")
    assert caught.value.where == "r1/report.json"
    with pytest.raises(UnknownNameError):
        service.Service(store).report("r2")


def test_a_request_names_the_value_it_cannot_use() -> None:
    with pytest.raises(UsageError, match="rows=0"):
        service.make_request(rows=0)
    with pytest.raises(UsageError, match="colour"):
        service.make_request(colour="red")
    assert service.make_request(rows=None).rows is None
