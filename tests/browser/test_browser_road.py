"""The whole road, as a person walks it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from browser_for_tests import SLOW, Server, cancel, queue, queue_endless, upload
from playwright.sync_api import Page, expect


def test_upload_run_cancel_run_report_download(server: Server, page: Page, table: Path, tmp_path: Path) -> None:
    upload(page, server.url, table)
    expect(page.locator("h1")).to_have_text("patients.csv")
    expect(page.locator("#c1-kind")).to_have_value("ordered")
    expect(page.locator("#c7-kind")).to_have_value("identifier")
    expect(page.locator("#plan")).to_contain_text("is chosen")
    page.check("input[name=target][value='3']")
    page.check("input[name='c2.sensitive']")
    page.check("input[name='c7.drop']")

    queue_endless(page, "mine")
    expect(page.locator(".now .what")).to_contain_text("Learning", timeout=SLOW)
    expect(page.locator("#details svg.chart").first).to_be_visible(timeout=SLOW)
    cancel(page)
    assert page.title().startswith("Cancelled")

    page.click("text=Clone and change")
    page.wait_for_selector("#method")
    expect(page.locator("#method")).to_have_value("ctgan")
    expect(page.locator("#p-epochs")).to_have_value("100000")
    assert page.is_checked("input[name=target][value='3']")
    assert page.is_checked("input[name='c2.sensitive']")
    assert page.is_checked("input[name='c7.drop']")
    queue(page, method="gaussian_copula")
    expect(page.locator(".banner .headline")).to_contain_text("check", timeout=SLOW)
    expect(page.locator("h1")).to_have_text("mine")
    expect(page.locator(".verdicts tbody tr")).to_have_count(4)
    page.locator("#evidence-title").scroll_into_view_if_needed()
    expect(page.locator("#evidence .card svg").first).to_be_visible(timeout=SLOW)

    row = page.locator(".files tr", has_text="synthetic.csv")
    with page.expect_download() as waiting:
        row.locator("a").click()
    saved = tmp_path / "synthetic.csv"
    waiting.value.save_as(saved)
    assert hashlib.sha256(saved.read_bytes()).hexdigest() == row.locator(".hash").inner_text()
    made = pd.read_csv(saved)
    assert list(made) == ["age", "grade", "stage", "treated", "size", "time", "event"]
    assert len(made) == 260

    with page.expect_popup() as opening:
        page.click("text=Open the whole report")
    report = opening.value
    expect(report.locator("h1")).to_have_text("patients.csv")
    assert report.evaluate("self.origin") == "null", "the report must not share the page's origin"


def test_what_is_typed_wrong_stands_beside_its_field_and_nothing_is_lost(
    server: Server, page: Page, finished: dict[str, str]
) -> None:
    page.goto(finished["dataset"])
    page.wait_for_selector("#method")
    with page.expect_response("**/check"):
        page.select_option("#method", "cart")
    page.wait_for_selector("#p-trees", state="attached")
    page.locator("#params summary").last.click()
    page.fill("#p-trees", "0")
    page.fill("#p-shrinkage", "much")
    page.fill("#budget", "soon")
    page.fill("#rows", "1.5")
    page.fill("#name", "  careful <b>me</b> ")
    page.click("text=It is a survival table")
    page.select_option("#time", "5")
    page.select_option("#c0-kind", "category")
    page.click("text=Queue the run")
    summary = page.locator("#summary")
    expect(summary).to_be_focused()
    expect(summary).to_contain_text("5 things need another look")
    for field, told in (
        ("p-trees", "1 or more"), ("p-shrinkage", "no number"), ("budget", "no time"), ("rows", "no whole number"),
    ):
        expect(page.locator(f"#{field}-error")).to_contain_text(told)
        expect(page.locator(f"#{field}")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#survival-error")).to_contain_text("both")
    values = {"p-trees": "0", "p-shrinkage": "much", "budget": "soon", "rows": "1.5", "name": "  careful <b>me</b> "}
    for field, value in values.items():
        expect(page.locator(f"#{field}")).to_have_value(value)
    expect(page.locator("#c0-kind")).to_have_value("category")

    page.fill("#p-trees", "3")
    page.fill("#p-shrinkage", "")
    page.fill("#budget", "30s")
    page.fill("#rows", "1,00")
    page.select_option("#time", "")
    page.click("text=Queue the run")
    page.wait_for_url("**/runs/*")
    expect(page.locator("h1")).to_have_text("careful <b>me</b>")
    expect(page.locator(".verdicts")).to_be_visible(timeout=SLOW)
    page.click("text=What was asked for")
    asked = page.locator("#run > details").last
    for said in ("100", "3", "30s", "age as category"):
        expect(asked).to_contain_text(said)


def test_a_wrong_kind_is_told_where_it_was_chosen(page: Page, finished: dict[str, str]) -> None:
    page.goto(finished["dataset"])
    page.wait_for_selector("#method")
    page.select_option("#c2-kind", "date")
    expect(page.locator("#c2-error")).to_be_visible(timeout=SLOW)
    expect(page.locator("#c2-kind")).to_have_attribute("aria-invalid", "true")
    page.select_option("#c2-kind", "ordered")
    expect(page.locator("#c2-error")).to_be_hidden(timeout=SLOW)
    expect(page.locator("#c2-order textarea")).to_have_value("I\nII\nIII")


def test_sending_a_form_twice_is_one_run(server: Server, page: Page, finished: dict[str, str]) -> None:
    page.goto(finished["dataset"])
    page.wait_for_selector("#method")
    page.fill("#name", "only once")
    page.select_option("#method", "gaussian_copula")
    answers = page.evaluate("""async () => {
        const form = document.querySelector('.run-form');
        const body = new URLSearchParams(new FormData(form));
        const send = () => fetch(form.action, {method: 'POST', body, redirect: 'follow'}).then((r) => r.url);
        return Promise.all([send(), send(), send()]);
    }""")
    assert len(set(answers)) == 1
    page.goto(f"{server.url}/runs")
    expect(page.get_by_text("only once", exact=True)).to_have_count(1)


def test_runs_side_by_side(server: Server, page: Page, finished: dict[str, str]) -> None:
    page.goto(f"{server.url}/runs?status=succeeded")
    go = page.get_by_role("button", name="Compare")
    expect(go).to_be_disabled()
    for run in ("first", "second"):
        page.check(f"input[value='{finished[run].rsplit('/', 1)[1]}']")
    go.click()
    expect(page.locator("h1")).to_have_text("2 runs side by side")
    assert sorted(page.locator(".compare thead a").all_inner_texts()) == ["first", "second"]
    expect(page.locator(".compare .best").first).to_be_visible()
    hidden = page.locator(".compare").evaluate("e => getComputedStyle(e).overflowY === 'visible' ? 0 : e.scrollHeight")
    assert not hidden, "two runs fit: there is nothing to scroll within the page"


def test_a_file_that_is_no_table_is_refused_beside_the_field(server: Server, page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 and then nothing")
    page.goto(server.url)
    page.set_input_files("#file", broken)
    expect(page.locator("#upload-error")).to_be_visible(timeout=SLOW)
    expect(page.locator("#upload-error")).not_to_be_empty()
    assert page.url.rstrip("/") == server.url


def test_it_goes_without_scripts(server: Server, open_page: Callable[..., Page], table: Path) -> None:
    page = open_page(script=False)
    page.goto(server.url)
    page.set_input_files("#file", table)
    page.click("button:has-text('Upload')")
    page.click("text=Go on without scripts")
    page.select_option("#method", "gaussian_copula")
    page.click("text=Queue the run")
    for _ in range(60):
        if page.locator(".verdicts").count():
            break
        page.wait_for_timeout(500)
        page.reload()
    expect(page.locator(".verdicts")).to_be_visible()
