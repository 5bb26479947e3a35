"""Who may come in, on the page."""

from __future__ import annotations

import json
from collections.abc import Callable

from browser_for_tests import Server, audit, wider
from playwright.sync_api import Page, expect


def test_keys_open_the_page_and_are_looked_after_on_it(
    own_server: Callable[..., Server], open_page: Callable[..., Page]
) -> None:
    server = own_server(SYNTHLOOM_AUTH="keys")
    made = server.command("keys", "create", "--name", "first", "--scopes", "read,write,admin", "--json")
    secret = json.loads(made)["result"]["secret"]
    page = open_page(width=390)

    page.goto(f"{server.url}/runs")
    expect(page.locator("h1")).to_have_text("Log in")
    assert audit(page) == []
    page.fill("#key", "syn_wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#key-error")).to_contain_text("not valid")
    page.fill("#key", secret)
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs")

    page.click("text=Keys")
    page.uncheck("input[value=read]")
    page.uncheck("input[value=write]")
    page.fill("#days", "soon")
    page.click("text=Make the key")
    for field in ("name", "scopes", "days"):
        expect(page.locator(f"#{field}-error")).to_be_visible()
    expect(page.locator("#days")).to_have_value("soon")
    page.fill("#name", "a <i>second</i>")
    page.fill("#days", "30")
    page.check("input[value=read]")
    page.click("text=Make the key")
    second = page.locator(".secret").inner_text()
    expect(page.locator("[data-focus]")).to_be_focused()
    assert audit(page) == []
    assert wider(page) is None
    page.goto(f"{server.url}/keys")
    expect(page.locator(".secret")).to_have_count(0)

    reader = open_page()
    reader.goto(f"{server.url}/login")
    reader.fill("#key", second)
    reader.keyboard.press("Enter")
    reader.wait_for_url(f"{server.url}/")
    expect(reader.get_by_role("link", name="Keys")).to_have_count(0)
    expect(reader.locator("#main")).to_contain_text("Your key may look, not upload")
    assert audit(reader) == []
    reader.goto(f"{server.url}/keys")
    expect(reader.locator("h1")).to_have_text("Not allowed")

    page.locator("tr", has_text="second").get_by_role("button", name="Revoke").click()
    expect(page.locator("tr", has_text="second")).to_contain_text("revoked")
    reader.goto(server.url)
    expect(reader.locator("h1")).to_have_text("Log in")
    page.click("text=Log out")
    page.goto(f"{server.url}/keys")
    expect(page.locator("h1")).to_have_text("Log in")


def test_what_another_site_sends_does_nothing(
    own_server: Callable[..., Server], open_page: Callable[..., Page]
) -> None:
    server = own_server()
    page = open_page()
    page.goto("about:blank")
    page.set_content(
        f"<form method=post action='{server.url}/datasets/example'>"
        "<input name=csrf_token value=guess><button>go</button></form>"
    )
    page.click("text=go")
    expect(page.locator("h1")).to_have_text("Not allowed")
    page.goto(server.url)
    expect(page.locator("#datasets-title ~ .list")).to_have_count(0)
