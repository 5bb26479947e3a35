"""The report in a few lines."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from reports_for_tests import measurement

from synthloom.domain.report import Report
from synthloom.metrics.catalog import ALL
from synthloom.reports.scorecard import alerts, headline, scorecard_rows, to_notebook_html


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
