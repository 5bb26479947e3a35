"""A run's page while the run goes on: reloads, lost connections, other tabs, restarts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from browser_for_tests import SLOW, Server, cancel, queue_endless, upload
from playwright.sync_api import Page, expect


def fraction(page: Page) -> float:
    return float(page.locator("#now progress").get_attribute("value") or 0)


def wait_for_news(page: Page) -> None:
    """Wait until the running step says something else."""
    said = page.locator(".now .what small").inner_text()
    page.wait_for_function("old => document.querySelector('.now .what small').innerText !== old", arg=said)


def test_a_reload_in_the_middle_changes_nothing(server: Server, page: Page, table: Path) -> None:
    upload(page, server.url, table)
    queue_endless(page)
    expect(page.locator("#details svg.chart").first).to_be_visible(timeout=SLOW)
    before = fraction(page)
    page.reload()
    expect(page.locator(".now .what")).to_contain_text("Learning")
    expect(page.locator("#details svg.chart").first).to_be_visible()
    expect(page.locator(".steps .done")).to_have_count(4)
    assert fraction(page) >= before > 0
    expect(page.locator("#line")).to_have_text("Live", timeout=SLOW)
    cancel(page)


def test_what_is_read_is_not_taken_away_by_news(server: Server, page: Page, table: Path) -> None:
    upload(page, server.url, table)
    queue_endless(page)
    expect(page.locator(".now .what")).to_contain_text("Learning", timeout=SLOW)
    page.get_by_role("button", name="Cancel").focus()
    page.evaluate("window.kept = document.querySelector('#timeline')")
    wait_for_news(page)
    assert page.evaluate("window.kept === document.querySelector('#timeline')"), "the timeline had not changed"
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".headline")).to_have_text("The run was cancelled.", timeout=SLOW)


def test_two_tabs_tell_the_same(server: Server, page: Page, table: Path) -> None:
    upload(page, server.url, table)
    run = queue_endless(page)
    other = page.context.new_page()
    other.goto(run)
    for tab in (page, other):
        expect(tab.locator(".now .what")).to_contain_text("Learning", timeout=SLOW)
    cancel(other)
    expect(page.locator(".headline")).to_have_text("The run was cancelled.", timeout=SLOW)
    expect(page.locator("#status .pill")).to_have_text("cancelled")


def test_offline_and_back(server: Server, page: Page, table: Path) -> None:
    upload(page, server.url, table)
    queue_endless(page)
    expect(page.locator("#line")).to_have_text("Live", timeout=SLOW)
    expect(page.locator(".now .what")).to_contain_text("Learning", timeout=SLOW)
    page.context.set_offline(True)
    expect(page.locator("#line")).to_contain_text("Reconnecting", timeout=SLOW)
    page.context.set_offline(False)
    expect(page.locator("#line")).to_have_text("Live", timeout=SLOW)
    wait_for_news(page)
    cancel(page)


def test_a_server_that_dies_comes_back_to_the_same_page(
    own_server: Callable[..., Server], page: Page, table: Path
) -> None:
    server = own_server()
    upload(page, server.url, table)
    run = queue_endless(page)
    expect(page.locator(".now .what")).to_contain_text("Learning", timeout=SLOW)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(
        f"{request.url} {request.headers.get('last-event-id', '')}") if "/events" in request.url else None)
    server.kill()
    expect(page.locator("#line")).to_contain_text("Reconnecting", timeout=SLOW)
    expect(page.locator(".now .what")).to_contain_text("Learning")
    server.start()
    expect(page.locator("#line")).to_have_text("Live", timeout=SLOW)
    assert any("after=" in url or url.split(" ")[1] for url in asked), "it must go on where it broke off"
    expect(page.locator(".log")).to_contain_text("Begun again by another worker", timeout=SLOW)
    expect(page.locator(".now .what")).to_contain_text("Learning", timeout=SLOW)
    assert page.url == run
    cancel(page)  # with a form's token of the new server, though the page was never loaded again


def test_a_form_outlives_a_restart(own_server: Callable[..., Server], page: Page, table: Path) -> None:
    server = own_server()
    upload(page, server.url, table)
    page.fill("#name", "typed before the restart")
    page.select_option("#c2-kind", "ordered")
    server.kill()
    server.start()
    page.click("text=Queue the run")
    expect(page.locator("#summary")).to_contain_text("send it again")
    expect(page.locator("#name")).to_have_value("typed before the restart")
    expect(page.locator("#c2-kind")).to_have_value("ordered")
    page.select_option("#method", "gaussian_copula")
    page.click("text=Queue the run")
    page.wait_for_url("**/runs/*")


def test_without_a_worker_the_page_says_so_and_a_queued_run_is_cancelled_at_once(
    server: Server, page: Page, table: Path
) -> None:
    upload(page, server.url, table)
    runs = []
    dataset = page.url
    for name in ("one", "two", "three"):  # the server works on two at a time
        page.goto(dataset)
        page.wait_for_selector("#method")
        runs.append(queue_endless(page, name))
    expect(page.locator("#status .pill")).to_have_text("queued")
    expect(page.locator(".now .what")).to_contain_text("Waiting for a worker")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".headline")).to_have_text("The run was cancelled.", timeout=10_000)
    for run in runs[:2]:
        page.goto(run)
        cancel(page)


def test_a_table_whose_columns_did_not_come_can_be_asked_for_again(page: Page, finished: dict[str, str]) -> None:
    page.route("**/form*", lambda route: route.abort())
    page.goto(finished["dataset"])
    expect(page.locator("#flash")).to_contain_text("cannot be reached")
    expect(page.locator(".wait")).to_have_count(0)
    page.unroute("**/form*")
    page.get_by_role("link", name="Try again").click()
    page.wait_for_selector("#method", timeout=SLOW)
