"""For everybody: by keyboard, by ear, on small and dark screens; whatever columns and files are called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from browser_for_tests import SLOW, Server, audit, cancel, queue_endless, upload, wider, write_table
from playwright.sync_api import Page, expect

HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "{{ 7 * 7 }}", "Größe 🙂 بعض")


@pytest.fixture(params=[(1280, False), (390, True)], ids=["wide-light", "narrow-dark"])
def look(request: pytest.FixtureRequest, open_page: Callable[..., Page]) -> Page:
    width, dark = request.param
    return open_page(width=width, dark=dark)


def test_every_page_can_be_read_by_everybody(server: Server, look: Page, finished: dict[str, str]) -> None:
    ids = [finished[name].rsplit("/", 1)[1] for name in ("first", "second")]
    pages = {
        "start": server.url, "dataset": finished["dataset"], "runs": f"{server.url}/runs", "run": finished["first"],
        "compare": f"{server.url}/compare?run={ids[0]}&run={ids[1]}", "nothing": f"{server.url}/runs/{'0' * 32}",
    }
    ready = {"dataset": "#method", "run": "#evidence .measures"}
    for name, address in pages.items():
        look.goto(address)
        if name in ready:
            look.evaluate("window.scrollTo(0, document.body.scrollHeight / 2)")
            look.wait_for_selector(ready[name], timeout=SLOW)
        look.evaluate("document.querySelectorAll('details:not(.menu)').forEach((d) => { d.open = true; })")
        assert audit(look) == [], name
        assert wider(look) is None, name


def test_a_run_that_goes_on_can_be_read_by_everybody(server: Server, look: Page, table: Path) -> None:
    upload(look, server.url, table)
    look.fill("#rows", "x")
    look.click("text=Queue the run")
    look.wait_for_selector("#summary")
    assert audit(look) == []
    assert wider(look) is None
    look.fill("#rows", "")
    queue_endless(look)
    chart = look.locator("#details svg.chart:visible").first
    expect(chart).to_be_visible(timeout=SLOW)
    letters = chart.locator("text").first.evaluate("e => e.getBoundingClientRect().height")
    assert letters > 9, "the letters of a chart are too small to read"
    assert audit(look) == []
    assert wider(look) is None
    expect(look.locator("#said")).to_contain_text("Learning")
    cancel(look)
    assert audit(look) == []


def test_by_keyboard_alone(server: Server, page: Page, table: Path) -> None:
    page.goto(server.url)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator("#file")).to_be_focused()
    with page.expect_file_chooser() as choosing:
        page.keyboard.press("Space")
    choosing.value.set_files(table)
    page.wait_for_url("**/datasets/*", timeout=SLOW)
    page.wait_for_selector("#method", timeout=SLOW)

    reached: list[str] = []
    for _ in range(90):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.name || document.activeElement.textContent.trim()"))
        assert page.evaluate("""() => {
            const style = getComputedStyle(document.activeElement);
            const zone = document.activeElement.closest('.drop, label');
            return style.outlineStyle !== 'none' || (zone && getComputedStyle(zone).outlineStyle !== 'none');
        }"""), f"the focus on {reached[-1]} cannot be seen"
        if reached[-1] == "method":
            break
    assert [name for name in reached if name.startswith("c") and name.endswith(".kind")] == [
        f"c{i}.kind" for i in range(8)
    ]
    page.keyboard.type("Gauss")
    expect(page.locator("#method")).to_have_value("gaussian_copula")
    page.locator("#name").focus()
    page.keyboard.type("by hand")
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/*")
    expect(page.locator(".verdicts")).to_be_visible(timeout=SLOW)
    expect(page.locator("#title")).to_be_focused()


def test_names_are_text_wherever_they_stand(server: Server, page: Page, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {HOSTILE[0]: i % 9, HOSTILE[1]: "<b>a</b>" if i % 2 else "b&amp;", HOSTILE[2]: i / 7, HOSTILE[3]: i % 5}
        for i in range(120)
    ]
    upload(page, server.url, write_table(tmp_path / "<img src=x onerror=alert(3)>.csv", rows))
    expect(page.locator("h1")).to_have_text("<img src=x onerror=alert(3)>.csv")
    for index, name in enumerate(HOSTILE):
        expect(page.locator(f"#c{index}-name .name")).to_have_text(name)
    page.check("input[name=target][value='1']")
    page.fill("#name", "<u>x</u>")
    page.select_option("#method", "gaussian_copula")
    page.click("text=Queue the run")
    page.wait_for_url("**/runs/*")
    expect(page.locator(".verdicts")).to_be_visible(timeout=SLOW)
    expect(page.locator("h1")).to_have_text("<u>x</u>")
    page.locator("#evidence-title").scroll_into_view_if_needed()
    expect(page.locator("#evidence .card").first).to_be_visible(timeout=SLOW)
    assert page.locator("#evidence img, #evidence script, main u, main img").count() == 0


def test_three_hundred_columns(server: Server, page: Page, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {f"measurement_with_a_rather_long_name_{k}": (i * (k + 3)) % 17 for k in range(300)} for i in range(60)
    ]
    upload(page, server.url, write_table(tmp_path / "wide.csv", rows))
    expect(page.locator(".schema tbody tr")).to_have_count(300)
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 860})
        assert wider(page) is None
        assert page.evaluate("document.documentElement.scrollHeight") < 5000, "the columns must not push the form away"
    page.fill("#find", "name_217")
    expect(page.locator(".schema tbody tr:visible")).to_have_count(1)
    page.check(".schema tbody tr:visible input[name=target]")
    page.fill("#find", "")
    page.select_option("#method", "gaussian_copula")
    page.click("text=Queue the run")
    page.wait_for_url("**/runs/*")
    page.click("text=What was asked for")
    expect(page.locator("#run")).to_contain_text("measurement_with_a_rather_long_name_217")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".headline")).to_be_visible(timeout=SLOW)


def test_less_motion_where_that_is_asked_for(server: Server, page: Page, finished: dict[str, str]) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.goto(finished["dataset"])
    page.wait_for_selector("#method")
    moving = page.evaluate("document.getAnimations().length")
    assert moving == 0
