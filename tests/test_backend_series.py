"""Tables of sequences, and plugins that learn them, in a real second interpreter that runs the tests' own host."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import synthloom
from backends_for_tests import city, desk
from synthloom.backends.series import KEY, Sequences
from synthloom.domain.errors import FitError, SchemaError, UnknownNameError
from synthloom.domain.event import Notice
from synthloom.domain.guarantee import NoGuarantee
from synthloom.domain.run import RunRequest
from synthloom.domain.schema import Kind, SchemaOverrides, SequenceColumns
from synthloom.engine import execute_pipeline
from synthloom.registry import create_synthesizer
from synthloom.service import make_overrides
from synthloom.tables.coerce import coerce
from synthloom.tables.dataset import Dataset
from synthloom.tables.infer import frame_to_raw, infer_schema
from synthloom.tables.schema_file import dump_overrides, load_overrides
from synthloom.tables.split import split_holdout, unseen

LENGTHS = (4, 6, 5, 9)
VISITS = SchemaOverrides(sequence=SequenceColumns(key="patient", order="visit"))


def visits(patients: int = 60) -> pd.DataFrame:
    """Visits of patients, shuffled: what changes, what does not, and missing cells of both."""
    rng = np.random.default_rng(1)
    lengths = [LENGTHS[k % len(LENGTHS)] for k in range(patients)]
    n = sum(lengths)
    sex = rng.choice(["f", "m"], patients).astype(object)
    sex[::5] = None
    frame = pd.DataFrame({
        "patient": np.repeat([f"P-{k:04d}" for k in range(patients)], lengths),
        "visit": np.concatenate([np.arange(1, length + 1) for length in lengths]),
        "dose": rng.normal(10, 2, n).round(1), "state": rng.choice(["well", "ill", "unsure"], n),
        "sex": np.repeat(sex, lengths),
        "born": np.repeat(pd.Timestamp("1950-01-01") + pd.to_timedelta(rng.integers(0, 9000, patients), "D"), lengths),
        "place": rng.choice(["A", "B"], n),
    })
    frame.loc[rng.random(n) < 0.15, "dose"] = None
    return frame.sample(frac=1, random_state=1).reset_index(drop=True)


def canonical(frame, overrides=VISITS):
    raw = frame_to_raw(frame)
    schema = infer_schema(raw, overrides)
    return coerce(raw, schema), schema


def made(name="timegan", params=None, backend="synthcity"):
    return create_synthesizer(name, params, backend=backend, backends=desk())


@pytest.fixture(scope="module")
def frame():
    return visits()


# what a schema says


def test_the_key_is_an_identifier_whatever_it_looks_like(frame):
    _, schema = canonical(frame)
    assert (schema["patient"].kind, schema["visit"].kind) == (Kind.IDENTIFIER, Kind.INTEGER)
    assert "sequence" in schema["patient"].reason
    numbers = frame.assign(patient=frame["patient"].str[2:].astype(int))
    assert canonical(numbers)[1]["patient"].kind is Kind.IDENTIFIER
    assert infer_schema(frame_to_raw(frame))["patient"].kind is not Kind.IDENTIFIER


@pytest.mark.parametrize(("overrides", "kind", "said"), [
    ({"sequence": {"key": "patent"}}, UnknownNameError, "sequence.key names the column 'patent'"),
    ({"sequence": {"key": "patient", "order": "vsit"}}, UnknownNameError, "sequence.order names the column 'vsit'"),
    ({"sequence": {"key": "patient"}, "target": "patient"}, SchemaError, "sequence.key and target are the same"),
    ({"sequence": {"key": "patient", "order": "patient"}}, SchemaError, "sequence.key and sequence.order are the same"),
    ({"sequence": {"key": "patient", "order": "state"}}, SchemaError, "sequence.order must be a number or a time"),
    ({"sequence": {"key": "sex"}}, SchemaError, "sequence.key has missing cells"),
    ({"sequence": {"key": "patient", "order": "dose"}}, SchemaError, "sequence.order has missing cells"),
    ({"sequence": {"key": "patient"}, "columns": {"patient": {"drop": True}}}, SchemaError, "schema file drops"),
    ({"sequence": {"key": "patient"}, "columns": {"patient": {"kind": "category"}}}, SchemaError, "is category"),
])
def test_roles_that_cannot_be_are_told(frame, overrides, kind, said):
    with pytest.raises(kind, match=said):
        canonical(frame, SchemaOverrides.model_validate(overrides))


def test_one_sequence_alone_is_refused(frame):
    with pytest.raises(SchemaError, match="one sequence only"):
        canonical(frame.assign(patient="P-1"))


def test_a_schema_file_says_it_and_is_written_with_it(frame):
    said = load_overrides(b"sequence: {key: patient, order: visit}")
    assert said == VISITS
    assert load_overrides(dump_overrides(canonical(frame)[1]).encode()).sequence == VISITS.sequence
    with pytest.raises(SchemaError, match="did you mean 'order'"):
        load_overrides(b"sequence: {key: patient, oder: visit}")
    assert make_overrides(sequence=("patient", None)).sequence == SequenceColumns(key="patient")


# what is kept back


@pytest.mark.parametrize("target", [None, "state"])
def test_no_sequence_has_rows_in_both_parts(frame, target):
    table, schema = canonical(frame, VISITS.model_copy(update={"target": target}))
    for share in (0.1, 0.3):
        train, holdout = split_holdout(table, schema, share, np.random.default_rng(2))
        assert not set(train["patient"]) & set(holdout["patient"])
        assert holdout["patient"].nunique() == round(60 * share)
        assert abs(len(holdout) / len(table) - share) < 0.06
        assert holdout.groupby("patient").size().equals(table[table["patient"].isin(holdout["patient"])]
                                                        .groupby("patient").size())
    assert len(split_holdout(table, schema, 0, np.random.default_rng(2))[1]) == 0


# how it goes over


def test_a_holdout_beside_the_table_loses_sequences_that_the_table_has_too(frame):
    table, schema = canonical(frame)
    keys = table["patient"].unique()
    train = table[table["patient"].isin(keys[:20])]
    beside = table[table["patient"].isin(keys[15:30])].assign(visit=lambda t: t["visit"] + 1000)  # no row is the same
    kept = unseen(beside.reset_index(drop=True), train.reset_index(drop=True), schema)
    assert set(kept["patient"]) == set(keys[20:30])


def test_rows_go_over_sequence_by_sequence_in_order_without_a_key_or_a_gap(frame):
    table, schema = canonical(frame)
    way = Sequences.learn(table, schema, support=5)
    plain = way.there(table, np.random.default_rng(1))
    assert len(plain) == len(table)
    assert list(plain.columns) == list(way.kinds())
    assert not plain.isna().any().any()
    assert set(plain[KEY]) == set(range(60))
    assert plain.groupby(KEY, sort=False)[way.order].apply(lambda order: order.is_monotonic_increasing).all()
    assert (plain[KEY].diff().fillna(0) >= 0).all()
    assert set(way.static) == {way.name_of("sex"), way.name_of("born")}
    assert (plain.groupby(KEY)[list(way.static)].nunique() == 1).all().all()


def test_labels_and_ends_rest_on_sequences_and_not_on_rows(frame):
    rare = frame.assign(state=np.where(frame["patient"] == "P-0003", "odd", frame["state"]))
    rare.loc[rare["patient"] == "P-0007", "dose"] = 99.0
    table, schema = canonical(rare)
    way = Sequences.learn(table, schema, support=5)
    plain = way.there(table, np.random.default_rng(1))
    assert plain[way.name_of("state")].nunique() == 3, "nine rows of one patient hold the fourth"
    assert plain[way.name_of("dose")].max() < 40
    still = canonical(frame[["patient", "visit", "sex"]])
    with pytest.raises(FitError, match="nothing but the order changes"):
        Sequences.learn(*still, support=5)


# what comes back


@pytest.mark.parametrize(("name", "backend"), [("timegan", "synthcity"), ("par", "sdv")])
def test_whole_sequences_come_back_to_the_exact_number_of_rows(frame, name, backend):
    model = made(name, backend=backend).fit(frame, overrides=VISITS, seed=1)
    for n in (0, 1, 7, 500):
        rows = model.sample(n, seed=2)
        assert len(rows) == n
        assert rows.dtypes.astype(str).to_dict() == frame.dtypes.astype(str).to_dict()
    assert not set(rows["patient"]) & set(frame["patient"])
    sizes = rows.groupby("patient", sort=False).size()
    assert set(sizes[:-1]) <= set(LENGTHS), "the last one is cut"
    assert rows.groupby("patient")["visit"].apply(lambda v: list(v) == list(range(1, len(v) + 1))).all()
    assert (rows.groupby("patient")[["sex", "born"]].nunique(dropna=False) == 1).all().all()
    assert 0.05 < rows["dose"].isna().mean() < 0.3
    assert rows["sex"].isna().any()
    assert model.sample(500, seed=2).equals(rows)
    promise = model.guarantee
    assert isinstance(promise, NoGuarantee)
    assert "sequences hold" in promise.rules[0]
    model.close()


def test_without_an_order_rows_come_as_they_stand(frame):
    model = made().fit(frame, overrides=SchemaOverrides(sequence=SequenceColumns(key="patient")))
    assert model.sample(100).groupby("patient").size()[:-1].max() <= max(LENGTHS)


def test_an_order_that_comes_back_out_of_order_is_put_right(frame):
    rows = made(params={"mood": "floats"}).fit(frame, overrides=VISITS).sample(300)
    steps = rows.groupby("patient", sort=False)["visit"].diff().dropna()
    assert (steps > 0).all(), "no patient has two visits of one number"
    assert rows["visit"].between(1, 9).all()


@pytest.mark.parametrize("mood", ["few", "strange"])
def test_short_and_unusable_sequences_are_made_up_for(frame, mood):
    rows = made(params={"mood": mood}).fit(frame, overrides=VISITS).sample(700)
    assert len(rows) == 700
    assert set(rows["place"]) <= {"A", "B"}
    sizes = rows.groupby("patient", sort=False).size()[:-1]
    assert set(sizes) <= ({2} if mood == "few" else set(LENGTHS))


def test_a_plugin_for_sequences_says_what_it_needs(frame):
    usable, others = city().listed()
    assert "timegan" in usable
    assert "timegan" not in others
    assert "sequence key" in usable["timegan"].info.summary
    with pytest.raises(FitError, match="no sequence key is named") as caught:
        made().fit(frame)
    assert "--sequence KEY,ORDER" in caught.value.text()
    with pytest.raises(FitError, match="no sequence has two rows"):
        made().fit(frame.drop_duplicates("patient"), overrides=VISITS)


# methods that learn rows


def test_a_method_that_learns_rows_says_so_once_and_makes_fresh_keys(frame):
    dataset = Dataset(*canonical(frame), "t", "0")
    request = RunRequest(method="gc", backend="native", thresholds=(), max_attempts=1)
    done = execute_pipeline(dataset, request, np.random.default_rng(1), metrics=())
    told = [n for n in done.report.notices if n.code == "sequence"]
    assert [n.column for n in told] == ["patient"]
    assert "learns rows, not sequences" in told[0].message
    assert done.report.sequence == VISITS.sequence
    assert done.data["patient"].is_unique
    assert not set(done.data["patient"]) & set(frame["patient"])
    heard: list = []
    synthloom.create_synthesizer("gc", backend="native").fit(frame, overrides=VISITS, emit=heard.append)
    assert [e.code for e in heard if isinstance(e, Notice)].count("sequence") == 1


def test_a_run_by_a_plugin_for_sequences_says_nothing_of_rows(frame):
    dataset = Dataset(*canonical(frame), "t", "0")
    request = RunRequest(method="timegan", backend="synthcity", thresholds=(), max_attempts=1)
    done = execute_pipeline(dataset, request, np.random.default_rng(1), metrics=(), backends=desk())
    assert "sequence" not in {n.code for n in done.report.notices}
    assert len(done.data) == len(frame)
    assert json.loads(done.report.model_dump_json())["sequence"] == {"key": "patient", "order": "visit"}
    done.synthesizer.close()
