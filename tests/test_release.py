"""Labels that too few records share leave the house neither with the rows, nor with the model, nor with the schema."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from methods_for_tests import KNOWN, IndependentMarginals
from synthloom.domain.errors import ContractError, UsageError
from synthloom.domain.run import RunRequest
from synthloom.domain.schema import Kind
from synthloom.engine import execute_pipeline
from synthloom.registry import create_synthesizer, load_synthesizer, metrics
from synthloom.tables.canonical import check_canonical
from synthloom.tables.dataset import Dataset
from synthloom.tables.release import hide_rare_labels, recast, released_schema, rounded
from synthloom.testing.example_tables import example

RARE = ("Wolfsbane syndrome", "Quartz fever")


def case():
    rows = 200
    illness = ["common"] * 120 + ["other"] * 76 + [RARE[0]] * 3 + [RARE[1]]
    grade = ["1"] * 100 + ["2"] * 97 + ["77"] * 3
    note = [None] * 197 + ["Mrs Example"] * 3
    return example(
        "rare",
        {
            "illness": (Kind.CATEGORY, illness), "grade": (Kind.ORDERED, grade), "note": (Kind.CONSTANT, note),
            "yes": (Kind.BOOLEAN, ["True"] + ["False"] * 199), "x": (Kind.DECIMAL, np.arange(rows) / 4),
        },
        grade={"label_type": "integer"}, yes={"categories": ("False", "True")},
    )


def test_the_working_table_is_canonical_and_names_no_rare_label():
    table, working, hidden = hide_rare_labels(case().table, case().schema, 5)
    check_canonical(table, working)
    assert hidden == {"illness": (0, 1), "grade": (2,)}
    assert working["grade"].categories == ("1", "2", "3")
    assert working["note"].kind is Kind.EMPTY
    assert working["yes"] == case().schema["yes"]
    text = working.model_dump_json()
    assert not any(word in text for word in (*RARE, "77", "Mrs"))
    assert released_schema(working, hidden)["illness"].categories == ("common", "other")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.sampled_from(["1", "2", "3", "4.5", "-6", "rare label 1", "é"])), min_size=1),
    st.integers(1, 6), st.booleans(),
)
def test_exactly_the_rare_labels_are_hidden(cells, support, ordered):
    one = example("x", {"a": (Kind.ORDERED if ordered else Kind.CATEGORY, cells)})
    table, working, hidden = hide_rare_labels(one.table, one.schema, support)
    check_canonical(table, working)
    often = tuple(k for k in one.schema["a"].categories if cells.count(k) >= support)
    released = released_schema(working, hidden)
    assert released["a"].categories == often
    assert not set(working["a"].categories) - set(often) & set(one.schema["a"].categories) - {"rare label 1"}
    assert table["a"].cat.codes.equals(one.table["a"].cat.codes)
    common = table[one.table["a"].isin(often)].reset_index(drop=True)
    assert recast(common, released)["a"].astype(object).tolist() == [c for c in cells if c in often]


@pytest.mark.parametrize(
    ("missing", "rows", "told"),
    [(0, 200, 0.0), (1, 200, 0.0), (4, 200, 0.0), (5, 200, 0.025), (61, 183, 0.333), (195, 200, 0.975), (196, 200, 1.0),
     (200, 200, 1.0), (3, 4, 0.0), (4, 4, 1.0)],
)
def test_a_share_of_missing_cells_rests_on_enough_records(missing, rows, told):
    cells = [None] * missing + [1.5] * (rows - missing)
    gaps = example("gaps", {"x": (Kind.DECIMAL, cells), "y": (Kind.INTEGER, range(rows))})
    _, working, _ = hide_rare_labels(gaps.table, gaps.schema, 5)
    assert working["x"].missing_rate == told
    assert working["y"].missing_rate == 0


def test_a_number_of_distinct_values_is_told_roughly():
    assert [rounded(n) for n in (0, 1, 99, 101, 105, 1_459, 123_456)] == [0, 1, 99, 100, 100, 1_500, 120_000]
    many = example("many", {"x": (Kind.DECIMAL, np.arange(1234) / 8)})
    assert hide_rare_labels(many.table, many.schema, 5)[1]["x"].n_unique == 1200


def test_a_model_tells_of_missing_cells_of_the_rows_learnt_from_only():
    rows = 400
    odd = example("odd", {
        "x": (Kind.DECIMAL, [None, *np.arange(rows - 1) / 4]), "y": (Kind.INTEGER, range(rows)),
    })
    result = execute_pipeline(
        Dataset(odd.table, odd.schema, "odd.csv", "0" * 64), RunRequest(method="cart"), np.random.default_rng(0),
        metrics=(),
    )
    assert result.synthesizer.schema["x"].missing_rate == 0
    assert load_synthesizer(result.synthesizer.to_bytes()).schema["x"].missing_rate == 0


def test_nothing_is_hidden_where_nothing_is_rare():
    table, working, hidden = hide_rare_labels(case().table, case().schema, 1)
    assert (working, hidden) == (case().schema, {})
    pd.testing.assert_frame_equal(table, case().table)


def test_placeholders_never_meet_a_label():
    rows = ["rare label 1"] * 9 + ["z"]
    one = example("x", {"a": (Kind.CATEGORY, rows)})
    _, working, _ = hide_rare_labels(one.table, one.schema, 5)
    assert len(set(working["a"].categories)) == 2


def test_recast_keeps_cells_and_refuses_what_the_schema_does_not_know():
    working_table, working, hidden = hide_rare_labels(case().table, case().schema, 5)
    common = working_table.iloc[:190].reset_index(drop=True)
    released = recast(common, released_schema(working, hidden))
    check_canonical(released, released_schema(working, hidden))
    back = recast(released, case().schema)
    check_canonical(back, case().schema)
    pd.testing.assert_frame_equal(back, case().table.iloc[:190].reset_index(drop=True))
    with pytest.raises(ContractError, match="'illness'"):
        recast(working_table, released_schema(working, hidden))


def test_model_rows_and_schema_hold_no_rare_label():
    data = Dataset(case().table, case().schema, "rare.csv", "0" * 64)
    made = create_synthesizer("marginals", known=KNOWN).fit(data)
    loaded = load_synthesizer(made.to_bytes(), KNOWN)
    for one in (made, loaded):
        rows = one.sample_canonical(500, np.random.default_rng(1))
        assert list(rows["illness"].cat.categories) == ["common", "other"]
        assert rows["note"].isna().all()
        assert not any(word in one.schema.model_dump_json() for word in (*RARE, "77", "Mrs"))
        with pytest.raises(UsageError, match="no label"):
            one.sample(2, conditions={"illness": RARE[0]})
        assert (one.sample(2, conditions={"grade": 2})["grade"].astype(str) == "2").all()
    with zipfile.ZipFile(io.BytesIO(made.to_bytes())) as archive:
        whole = b"".join(archive.read(name) for name in archive.namelist())
    assert not any(word.encode() in whole for word in (*RARE, '"77"', "Mrs"))


def test_a_method_that_draws_a_rare_label_all_the_same_is_found_out():
    class Leaks(IndependentMarginals):
        def fit(self, table, schema, *rest, **more):
            super().fit(table, schema, *rest, **more)
            self._arrays["0.counts"] = np.ones(4)
            return self

    data = Dataset(case().table, case().schema, "rare.csv", "0" * 64)
    with pytest.raises(ContractError, match="not released"):
        create_synthesizer(Leaks).fit(data).sample(100)


def test_a_run_delivers_and_reports_no_rare_label():
    data = Dataset(case().table, case().schema, "rare.csv", "0" * 64)
    quick = [m for m in metrics() if m.info.key in ("utility.ks_mean", "fairness.rare_coverage")]
    request = RunRequest(thresholds=(), refinements=("categorical_marginals",))
    result = execute_pipeline(data, request, np.random.default_rng(1), known=KNOWN, metrics=quick)
    check_canonical(result.data, result.synthesizer.schema)
    assert not any(word in result.report.model_dump_json() for word in (*RARE, "Mrs"))
