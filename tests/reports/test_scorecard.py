"""The report in a few lines."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from reports_for_tests import measurement

from synthloom.domain.measurement import Measured, Undefined
from synthloom.domain.report import Report
from synthloom.metrics.catalog import ALL
from synthloom.reports.scorecard import alerts, headline, remarks, scorecard_rows, to_notebook_html


def test_rows_stand_by_section_with_judged_metrics_first(report: Report) -> None:
    rows = scorecard_rows(report)
    order = ["fidelity", "utility", "privacy", "fairness"]
    assert [r.section for r in rows] == sorted((r.section for r in rows), key=order.index)
    assert rows[0].key == "utility.ks_mean"
    assert (rows[0].value, rows[0].interval, rows[0].floor) == ("0.031", "0.011 to 0.051", "0.030")
    assert (rows[0].limit, rows[0].status) == ("at most 0.1", "passed")


def test_a_metric_stands_in_the_chapter_it_declares_else_in_its_keys_section(report: Report) -> None:
    gap = measurement("utility.median_gap", 0.2)
    moved = gap.model_copy(update={"info": gap.info.model_copy(update={"chapter": "fidelity"})})
    for given, section in ((gap, "utility"), (moved, "fidelity")):
        rows = scorecard_rows(report.model_copy(update={"measurements": (given,)}))
        assert next(r.section for r in rows if r.key == "utility.median_gap") == section
    of_fidelity = {m.info.key for m in ALL if m.info.chapter == "fidelity"}
    assert of_fidelity == {
        f"utility.{name}"
        for name in ("ks_mean", "corr_delta", "shape", "trend", "trend_all", "missingness", "c2st", "detection_auc")
    }


def test_every_state_has_its_word(troubled_report: Report) -> None:
    rows = {r.key: r for r in scorecard_rows(troubled_report)}
    assert rows["utility.ks_mean"].status == "failed"
    assert rows["utility.ks_mean"].value == "failed"
    assert rows["utility.corr_delta"].status == "not_applicable"
    assert rows["privacy.mia_auc"].status == "failed"
    assert "No column can be compared." in rows["privacy.dup_rate"].note


def test_headline_and_alerts(report: Report, troubled_report: Report) -> None:
    assert headline(report) == "All 4 checks passed."
    assert alerts(report) == ()
    assert headline(troubled_report) == "3 of 4 checks did not pass; 1 does not apply to this table."
    assert alerts(troubled_report)[0][0] == "Differential privacy was asked for and is not in effect"


def test_notebook_fragment_is_small_and_well_formed(report: Report, troubled_report: Report) -> None:
    for one in (report, troubled_report):
        html = to_notebook_html(one)
        ET.fromstring(html)
        assert headline(one) in html
        assert len(html) < 20_000
    assert "Its &lt;environment&gt; is not installed." in to_notebook_html(troubled_report)


def test_a_floor_beyond_the_limit_is_told(report: Report) -> None:
    judged = next(m for m in report.measurements if m.info.key == "utility.ks_mean")
    assert "Difference" not in " ".join(title for title, _ in remarks(report))
    small = judged.model_copy(update={"floor": Measured(value=0.2)})
    title, text = remarks(report.model_copy(update={"measurements": (small,)}))[0]
    assert title == judged.info.title
    assert f"the holdout of {report.meta.n_holdout:,} rows is so small" in text


def test_why_numbers_are_missing_is_told_once_a_reason(report: Report) -> None:
    gone = Undefined(reason="No target column is named.")
    both = (measurement("utility.auroc", 0.5), measurement("utility.r2", 0.5))
    lacking = tuple(
        m.model_copy(update={"outcome": gone}) for m in both
    )
    said = remarks(report.model_copy(update={"measurements": lacking}))
    assert said == ((f"{lacking[0].info.title}; {lacking[1].info.title}", gone.reason),)
