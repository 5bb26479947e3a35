"""The estimator a person holds in hand."""

from __future__ import annotations

import datetime as dt
import os

import numpy as np
import pandas as pd
import polars
import pytest

from methods_for_tests import KNOWN, IndependentMarginals
from synthloom.domain.errors import (
    CancelledError,
    ModelFileError,
    OutputError,
    UnknownNameError,
    UsageError,
)
from synthloom.domain.guarantee import NoGuarantee
from synthloom.domain.schema import ColumnOverride, Kind, SchemaOverrides
from synthloom.registry import create_synthesizer, load_synthesizer
from synthloom.tables.conditions import read_conditions
from synthloom.tables.dataset import Dataset
from synthloom.tables.infer import frame_to_raw, infer_schema
from synthloom.tables.restore import restore
from synthloom.testing.example_tables import mixed, odd


def people(rows=300):
    rng = np.random.default_rng(3)
    visit = pd.Timestamp("2023-01-05") + pd.to_timedelta(rng.integers(0, 10**6, rows) * 60, unit="s")
    frame = pd.DataFrame({
        "age": rng.integers(20, 90, rows).astype("int16"),
        "weight": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(70, 10, rows).round(1)),
        "smoker": rng.random(rows) < 0.4,
        "ward": rng.choice(["A", "B", "C"], rows),
        "stage": pd.Categorical(rng.choice(["I", "II", "III"], rows), categories=["I", "II", "III"], ordered=True),
        "visit": visit,
        "stay": pd.to_timedelta(rng.integers(1, 500, rows), unit="h"),
        "code": pd.array(np.where(rng.random(rows) < 0.1, None, rng.integers(1, 4, rows)), dtype="Int64"),
    })
    return frame.astype({"ward": object})


@pytest.fixture(scope="module")
def fitted():
    return create_synthesizer("marginals", known=KNOWN).fit(people(), seed=1)


def test_a_frame_comes_back_in_its_own_dtypes(fitted):
    rows = fitted.sample(50, seed=2)
    assert rows.dtypes.to_dict() == people().dtypes.to_dict()
    assert len(rows) == 50
    assert rows["stage"].cat.ordered


def test_polars_in_polars_out():
    source = polars.from_pandas(people().drop(columns=["stage"])).with_columns(
        polars.col("age").cast(polars.Int16), day=polars.col("visit").dt.date(), nothing=polars.lit(None),
        word=polars.col("ward").cast(polars.Categorical), rank=polars.col("ward").cast(polars.Enum(["C", "A", "B"])),
        zoned=polars.col("visit").dt.replace_time_zone("UTC"), tiny=polars.col("code").cast(polars.UInt8),
    )
    made = create_synthesizer("marginals", known=KNOWN).fit(source, seed=1)
    rows = made.sample(20)
    assert isinstance(rows, polars.DataFrame)
    assert rows.columns == source.columns
    assert rows.schema == source.schema
    again = load_synthesizer(made.to_bytes(), KNOWN).sample(20)
    assert again.equals(rows)


def test_the_same_seed_gives_the_same_rows(fitted):
    again = create_synthesizer("marginals", known=KNOWN).fit(people(), seed=1)
    pd.testing.assert_frame_equal(fitted.sample(30, seed=2), again.sample(30, seed=2))
    assert not fitted.sample(30, seed=2).equals(fitted.sample(30, seed=3))


def test_what_it_says_of_itself(fitted):
    assert fitted.method == "marginals"
    assert fitted.backend == "native"
    assert fitted.schema.names == tuple(people().columns)
    assert isinstance(fitted.guarantee, NoGuarantee)
    assert "fitted on 8 columns" in repr(fitted)


@pytest.mark.parametrize("use", [
    lambda s: s.sample(3), lambda s: s.schema, lambda s: s.guarantee, lambda s: s.to_bytes(), lambda s: s.save("x"),
    lambda s: s.sample_canonical(3, np.random.default_rng(0)),
])
def test_before_fit_it_says_so(use):
    with pytest.raises(UsageError, match=r"not fitted yet.*Call fit first"):
        use(create_synthesizer("marginals", known=KNOWN))


def test_a_cancelled_fit_leaves_what_was_fitted_before(fitted):
    before = fitted.sample(10, seed=9)
    with pytest.raises(CancelledError):
        fitted.fit(people(200), cancelled=lambda: True)
    pd.testing.assert_frame_equal(fitted.sample(10, seed=9), before)


def test_a_schema_overrides_or_a_dataset_can_be_given():
    overrides = SchemaOverrides(columns={"age": ColumnOverride(kind=Kind.CATEGORY)})
    made = create_synthesizer("marginals", known=KNOWN).fit(people(), overrides=overrides)
    assert made.schema["age"].kind is Kind.CATEGORY
    schema = infer_schema(frame_to_raw(people()), overrides)
    same = create_synthesizer("marginals", known=KNOWN).fit(people(), schema=schema)
    assert same.schema == made.schema
    case = mixed(200)
    data = Dataset(case.table, case.schema, "x", "0" * 64)
    assert create_synthesizer("marginals", known=KNOWN).fit(data).sample(5).shape == (5, 16)
    with pytest.raises(UsageError, match="both given"):
        made.fit(people(), schema=made.schema, overrides=overrides)
    with pytest.raises(UsageError, match="has its schema already"):
        made.fit(data, overrides=overrides)


@pytest.mark.parametrize("n", [-1, 2.5, "3", True, None])
def test_a_number_of_rows_is_a_whole_number(fitted, n):
    with pytest.raises(UsageError, match="number of rows"):
        fitted.sample(n)


def test_saving_and_loading(fitted, tmp_path):
    path = fitted.save(tmp_path / "m.synthloom")
    pd.testing.assert_frame_equal(load_synthesizer(path, KNOWN).sample(30, seed=4), fitted.sample(30, seed=4))
    assert [p.name for p in tmp_path.iterdir()] == ["m.synthloom"]
    fitted.save(path)
    assert path.read_bytes() == fitted.to_bytes()


def test_a_save_that_fails_leaves_the_old_file(fitted, tmp_path, monkeypatch):
    path = tmp_path / "m.synthloom"
    path.write_bytes(b"old")

    def no_space(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OutputError, match="No space left"):
        fitted.save(path)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["m.synthloom"]


def test_a_place_that_cannot_be_written_or_read_says_so(fitted, tmp_path):
    with pytest.raises(OutputError, match="No such file"):
        fitted.save(tmp_path / "no" / "m.synthloom")
    with pytest.raises(ModelFileError, match="No such file"):
        load_synthesizer(tmp_path / "none.synthloom", KNOWN)


def test_a_model_of_a_method_that_is_not_here_or_has_changed_says_so(fitted):
    data = fitted.to_bytes()
    with pytest.raises(ModelFileError, match="'marginals' is not installed"):
        load_synthesizer(data, {"other": IndependentMarginals})

    class Stricter(IndependentMarginals):
        class Params(IndependentMarginals.Params.__base__):
            pass

    with pytest.raises(ModelFileError, match="parameters are not the method's"):
        load_synthesizer(data, {"marginals": Stricter})

    class Other(IndependentMarginals):
        @classmethod
        def from_state(cls, params, schema, arrays, meta):
            return meta["what is not there"]

    with pytest.raises(ModelFileError, match="cannot use the state"):
        load_synthesizer(data, {"marginals": Other})


@pytest.mark.parametrize(("column", "given", "expected"), [
    ("age", 40, 40), ("age", np.int64(40), 40), ("age", 40.0, 40), ("weight", 70, 70.0), ("weight", 71.5, 71.5),
    ("smoker", True, True), ("smoker", np.bool_(False), False), ("ward", "B", "B"), ("stage", "II", "II"),
    ("code", 2, 2), ("visit", "2023-02-01T10:30:00", pd.Timestamp("2023-02-01 10:30")),
    ("visit", dt.datetime(2023, 2, 1, 10, 30), pd.Timestamp("2023-02-01 10:30")),
    ("stay", pd.Timedelta(hours=7), pd.Timedelta(hours=7)), ("stay", dt.timedelta(hours=7), pd.Timedelta(hours=7)),
])
def test_conditions_are_source_values(fitted, column, given, expected):
    rows = fitted.sample(5, conditions={column: given})
    assert (rows[column] == expected).all()
    assert rows.dtypes.to_dict() == people().dtypes.to_dict()


def test_conditions_can_differ_by_row_and_come_as_frames(fitted):
    wards = ["A", "C", "B"]
    assert fitted.sample(3, conditions={"ward": wards})["ward"].tolist() == wards
    frame = people().iloc[10:13]
    pd.testing.assert_frame_equal(fitted.sample(3, conditions=frame), frame.reset_index(drop=True))
    assert fitted.sample(4, conditions=people().iloc[[5]][["age"]])["age"].nunique() == 1
    given = polars.DataFrame({"ward": wards, "age": [30, 40, 50]})
    assert fitted.sample(3, conditions=given)["age"].tolist() == [30, 40, 50]
    assert len(fitted.sample(0, conditions={"ward": []})) == 0


def test_a_missing_condition_asks_for_a_missing_cell(fitted):
    assert fitted.sample(4, conditions={"weight": None})["weight"].isna().all()
    with pytest.raises(UsageError, match=r"'age'.*never missing"):
        fitted.sample(4, conditions={"age": None})


@pytest.mark.parametrize(("conditions", "error", "words"), [
    ({"wrad": "A"}, UnknownNameError, r"'wrad'.*Did you mean ward\?"),
    ({"ward": "Z"}, UsageError, "'ward'.*row 0 is no label"), ({"ward": ["A", "Z"]}, UsageError, "row 1 is no label"),
    ({"age": 40.5}, UsageError, "no integer"), ({"age": "old"}, UsageError, "no integer"),
    ({"age": True}, UsageError, "no integer"), ({"weight": float("inf")}, UsageError, "no decimal"),
    ({"weight": 70.123}, UsageError, "more decimal places"), ({"visit": 5}, UsageError, "no timestamp"),
    ({"visit": "soon"}, UsageError, "no timestamp"), ({"visit": "2023-02-01T10:00Z"}, UsageError, "no timestamp"),
    ({"stay": 5}, UsageError, "no duration"), ({"ward": ["A", "B", "C"]}, UsageError, "3 values for 2 rows"),
    ({"smoker": "perhaps"}, UsageError, "no label"),
])
def test_conditions_that_cannot_be_met_say_why(fitted, conditions, error, words):
    with pytest.raises(error, match=words):
        fitted.sample(2, conditions=conditions)


def test_conditions_on_columns_that_are_not_modelled_or_out_of_bounds_are_refused():
    case = mixed(200)
    made = create_synthesizer("marginals", known=KNOWN).fit(Dataset(case.table, case.schema, "x", "0" * 64))
    with pytest.raises(UsageError, match=r"'id'.*identifier is not modelled"):
        made.sample(2, conditions={"id": "QX-1"})
    with pytest.raises(UsageError, match=r"'age'.*outside the declared bounds"):
        made.sample(2, conditions={"age": 17})
    zurich = made.sample(2, conditions={"seen": "2021-07-01T12:00:00"})["seen"]
    assert (zurich == pd.Timestamp("2021-07-01T10:00:00Z")).all()
    assert (made.sample(2, conditions={"admitted": "1899-12-31"})["admitted"] == pd.Timestamp("1899-12-31")).all()
    with pytest.raises(UsageError, match="no date"):
        made.sample(2, conditions={"admitted": "1899-12-31T10:00"})


@pytest.mark.parametrize("case", [mixed(200), *odd()], ids=lambda case: case.name)
def test_what_is_sampled_can_be_given_back_as_conditions(case):
    made = create_synthesizer("marginals", known=KNOWN).fit(Dataset(case.table, case.schema, "x", "0" * 64))
    canonical = made.sample_canonical(25, np.random.default_rng(1))
    names = [c.name for c in made.schema.modelled if c.missing_rate or not canonical[c.name].isna().any()]
    given = restore(canonical, made.schema)[names]
    read = read_conditions(given, 25, made.schema)
    pd.testing.assert_frame_equal(read, canonical[names])
    again = read_conditions({name: given[name].tolist() for name in names}, 25, made.schema)
    pd.testing.assert_frame_equal(again, canonical[names])
    assert made.sample(25, conditions=given, seed=4)[names].equals(given)


def test_a_method_without_conditions_says_so():
    class Plain(IndependentMarginals):
        info = IndependentMarginals.info.__class__(name="plain", title="x", summary="x", paper="x")

    made = create_synthesizer(Plain).fit(people())
    with pytest.raises(UsageError, match=r"plain.*cannot sample under conditions"):
        made.sample(2, conditions={"ward": "A"})
