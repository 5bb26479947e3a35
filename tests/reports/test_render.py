"""JSON, HTML and PDF of a report."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pypdf
import pytest
from reports_for_tests import make_report

from synthloom.domain.errors import InputError
from synthloom.domain.guarantee import NoGuarantee, PrivacyGuarantee
from synthloom.domain.report import Meta, RefinementEffect, Report
from synthloom.domain.run import DPRequest
from synthloom.domain.schema import Kind
from synthloom.reports.render import from_json, report_json_schema, to_html, to_json, to_pdf


def parsed(html: str) -> ET.Element:
    return ET.fromstring(html.split("\n", 1)[1] if html.startswith("<!DOCTYPE") else html)


def words_of(html: str) -> str:
    return " ".join(" ".join(parsed(html).itertext()).split())


def test_json_reads_back_equal(report: Report, troubled_report: Report) -> None:
    for one in (report, troubled_report):
        assert from_json(to_json(one)) == one


def test_json_validates_against_its_published_schema(report: Report, troubled_report: Report) -> None:
    schema = report_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for one in (report, troubled_report):
        jsonschema.validate(json.loads(to_json(one)), schema)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"\x89PNG", "not JSON"), (b"[1, 2]", "no Synthloom report"), (b'{"a": 1}', "no version"),
        (b'{"version": true}', "no version"), (b'{"version": 3}', "version 3"), (b'{"version": 1}', "does not fit"),
        (b"", "not JSON"), (b'{"version": 0}', "does not fit"),
    ],
)
def test_foreign_files_get_a_clear_error(content: bytes, word: str) -> None:
    with pytest.raises(InputError, match=word) as caught:
        from_json(content)
    assert caught.value.do


def test_a_report_of_the_first_version_is_read(report: Report) -> None:
    old = json.loads(to_json(report)) | {"version": 1}
    del old["race"]
    assert from_json(json.dumps(old).encode()) == report


def test_refinements_show_each_measurement_as_drawn_and_after_each_step(report: Report) -> None:
    drawn, matched = {"utility.ks_mean": 0.071}, {"utility.ks_mean": 0.052}
    first = RefinementEffect(step="quantile_matching", before=drawn, after=matched)
    second = RefinementEffect(step="jitter", before=matched, after={"utility.ks_mean": 0.053})
    html = to_html(report.model_copy(update={"refinements": (first, second)}))
    assert "Before After quantile matching After jitter" in words_of(html)
    assert "0.071 0.052 0.053" in words_of(html)


def test_an_unknown_field_is_named(report: Report) -> None:
    loaded = json.loads(to_json(report))
    loaded["surprise"] = 1
    with pytest.raises(InputError, match="surprise"):
        from_json(json.dumps(loaded).encode())


def test_html_is_deterministic_and_well_formed(report: Report, troubled_report: Report) -> None:
    for one in (report, troubled_report):
        assert to_html(one) == to_html(from_json(to_json(one)))
        parsed(to_html(one))


def test_html_needs_nothing_from_outside(report: Report, troubled_report: Report) -> None:
    for one in (report, troubled_report):
        root = parsed(to_html(one))
        foreign = ("script", "link", "iframe", "object", "embed", "img", "base")
        assert not [e.tag for e in root.iter() if e.tag in foreign]
        for element in root.iter():
            for name, value in element.attrib.items():
                assert not name.startswith("on")
                assert name not in ("src", "srcset", "action", "data", "style")
                if name.endswith("href"):
                    assert value.startswith("#")
        style = "".join(e.text or "" for e in root.iter("style"))
        assert "@import" not in style
        assert "url(" not in style
        assert "prefers-color-scheme: dark" in style
        assert "@media print" in style


def test_names_from_the_table_are_shown_and_never_obeyed(troubled_report: Report) -> None:
    html = to_html(troubled_report)
    text = words_of(html)
    assert "<script>alert(1)</script>" in text
    assert "{{ 7*7 }}" in text
    assert "<script>" not in html
    assert "<img" not in html
    assert "\x00" not in html
    assert "<b>bold</b>" in text
    assert "<b>bold</b>" not in html
    assert "عمر المريض" in text
    assert "(no name)" in text


def test_every_chart_has_a_name_and_words(report: Report) -> None:
    root = parsed(to_html(report))
    charts = [e for e in root.iter("svg") if e.get("class") == "chart"]
    assert len(charts) > 12
    for chart in charts:
        assert chart.get("role") == "img"
        title, desc = chart.find("title"), chart.find("desc")
        assert title is not None
        assert title.text
        assert desc is not None
        assert desc.text
        assert chart.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids))


def test_links_within_the_page_lead_somewhere(report: Report) -> None:
    root = parsed(to_html(report))
    ids = {e.get("id") for e in root.iter()}
    assert all((e.get("href") or "")[1:] in ids for e in root.iter("a"))


def test_the_verdict_comes_first(report: Report) -> None:
    text = words_of(to_html(report))
    assert text.index("All 4 checks passed.") < text.index("What was done") < text.index("Fidelity How alike")
    assert "There is no formal privacy guarantee" in text


def test_what_went_wrong_heads_the_report(troubled_report: Report) -> None:
    text = words_of(to_html(troubled_report))
    head = text.index("3 of 4 checks did not pass")
    assert text.index("Differential privacy was asked for and is not in effect") < head
    assert text.index("Fallback: native instead of synthcity") < head
    assert text.index("A measurement failed") < head
    assert "1 does not apply to this table" in text


@pytest.mark.parametrize(
    "promise",
    ["A formal privacy guarantee", "Conclusions about people in general", "How to do it again", "Sign-off", "Glossary",
     "synthloom run patients.csv --seed 7", "real against real", "Rare labels are merged.", "utility.ks_mean"],
)
def test_a_compliance_officer_finds(report: Report, promise: str) -> None:
    assert promise in words_of(to_html(report))


def test_a_formal_guarantee_is_told_with_its_limits(make: Callable[..., Report]) -> None:
    guarantee = PrivacyGuarantee(
        epsilon=1.5, delta=1e-6, neighbours="add_remove", unit="row", mechanism="AIM", accountant="zCDP",
        covers=("bounds", "training"), source="McKenna et al. 2022",
    )
    text = words_of(to_html(make(guarantee=guarantee, kinds=[Kind.INTEGER])))
    assert "ε = 1.5, δ = 1e-06" in text
    assert "Anything outside the stated guarantee" in text
    assert "A formal privacy guarantee No" not in text


def test_data_made_elsewhere_is_said_to_be(make: Callable[..., Report]) -> None:
    meta = Meta(model="unknown", backend="elsewhere", attempt=1, n_real=9, n_train=9, n_holdout=0, n_synth=9, seed=None)
    made = make(plan=None, protection=None, meta=meta, verdicts=(), measurements=(), kinds=[Kind.DATE])
    text = words_of(to_html(made))
    assert "made elsewhere" in text
    assert "Nothing was judged" in text


@pytest.mark.parametrize(
    "kinds", [[Kind.INTEGER], [Kind.CATEGORY], [Kind.EMPTY], [Kind.IDENTIFIER], [Kind.BOOLEAN] * 60]
)
def test_narrow_and_wide_tables_have_a_page(make: Callable[..., Report], kinds: list[Kind]) -> None:
    parsed(to_html(make(kinds=kinds, n=60)))


@pytest.fixture(scope="module")
def pdf() -> tuple[bytes, pypdf.PdfReader]:
    meta = Meta(
        model="cart", backend="native", attempt=1, n_real=400, n_train=400, n_holdout=0, n_synth=400, seed=1,
        dataset="<link rel=attachment href='file:///etc/passwd'><img src='file:///etc/passwd'>",
    )
    content = to_pdf(make_report(meta=meta))
    return content, pypdf.PdfReader(io.BytesIO(content))


def test_pdf_says_what_the_page_says(pdf: tuple[bytes, pypdf.PdfReader]) -> None:
    _, reader = pdf
    text = " ".join(" ".join(page.extract_text() for page in reader.pages).split())
    for words in ("All 4 checks passed.", "What is not promised", "Sign-off", "Glossary", "Title of privacy.mia_auc"):
        assert words in text
    assert f"{len(reader.pages)} / {len(reader.pages)}" in text


def test_pdf_is_tagged_and_has_bookmarks(pdf: tuple[bytes, pypdf.PdfReader]) -> None:
    _, reader = pdf
    catalog = reader.trailer["/Root"]
    assert catalog["/MarkInfo"]["/Marked"]
    assert catalog["/Lang"] == "en"
    titles = [entry.title for entry in reader.outline if not isinstance(entry, list)] + [
        entry.title for group in reader.outline if isinstance(group, list) for entry in group
        if not isinstance(entry, list)
    ]
    assert {"Verdict", "Privacy", "What is not promised"} <= set(titles)


def test_pdf_embeds_no_file_of_this_machine(pdf: tuple[bytes, pypdf.PdfReader]) -> None:
    content, reader = pdf
    assert not reader.attachments
    assert b"root:" not in content
    assert b"EmbeddedFile" not in content


def test_missing_pango_is_told_with_what_to_install(tmp_path: Path, report: Report) -> None:
    (tmp_path / "weasyprint").mkdir()
    (tmp_path / "weasyprint" / "__init__.py").write_text(
        "raise OSError(\"cannot load library 'libpango-1.0-0': libpango-1.0-0: cannot open shared object file\")"
    )
    (tmp_path / "report.json").write_bytes(to_json(report))
    program = (
        "import pathlib, sys; sys.path.insert(0, '.')\n"
        "from synthloom.domain.errors import MissingDependencyError\n"
        "from synthloom.reports.render import from_json, to_pdf\n"
        "try: to_pdf(from_json(pathlib.Path('report.json').read_bytes()))\n"
        "except MissingDependencyError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "apt-get install libpango-1.0-0 libpangoft2-1.0-0" in done.stdout
    assert "brew install pango" in done.stdout


def test_templates_carry_no_foreign_address() -> None:
    folder = Path(__file__).parents[2] / "src/synthloom/reports/templates"
    for path in folder.iterdir():
        assert not re.search(r"https?://", path.read_text("utf-8")), path.name


def test_an_epsilon_that_a_maker_states_and_does_not_keep_is_no_guarantee() -> None:
    stated = NoGuarantee(stated_epsilon=1.0, why="Its generator also trains on real rows.")
    meta = make_report().meta.model_copy(update={"model": "dpgan", "backend": "synthcity"})
    report = make_report(guarantee=stated, meta=meta, dp=DPRequest(epsilon=1.0, strict=False))
    words = words_of(to_html(report))
    assert "dpgan (synthcity)" in words
    assert "ε = 1 is stated for the method and not kept" in words
    assert words.index("Its generator also trains on real rows.") < words.index("What was done")
    assert "What is stated and not kept. Its generator also trains on real rows." in words
    assert from_json(to_json(report)) == report
