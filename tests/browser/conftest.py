"""A browser, servers, tables, and one finished run to look at."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser_for_tests import FLAGS, SLOW, Server, chromium, queue, upload, write_table
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

EXPECTED = (
    "Failed to load resource", "net::ERR_", "htmx:sendError", "htmx:afterRequest", "htmx:responseError",
    "Response Status Error Code",
)
"""What browser and htmx say in the console when an answer is an error or none comes."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = chromium()
    assert found, "no Chromium is installed: `apt-get install chromium`, or name one in CHROMIUM"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, headless=True, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all who leave it as it was."""
    made = Server(tmp_path_factory.mktemp("server"), SYNTHLOOM_WORKER_SLOTS="2")
    yield made.start()
    made.stop()


@pytest.fixture(autouse=True)
def nothing_goes_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test leaves the shared worker busy for the next one, whatever became of it."""
    yield
    if "server" in request.fixturenames:
        request.getfixturevalue("server").cancel_all()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Makes servers that a test may kill, set up otherwise, or fill."""
    made: list[Server] = []

    def make(**environment: str) -> Server:
        made.append(Server(tmp_path, **environment))
        return made[-1].start()

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Makes pages in contexts of their own; afterwards none may have met an error of a script or of its policy."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def make(*, script: bool = True, width: int = 1280, dark: bool = False) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 860}, color_scheme="dark" if dark else "light",
            java_script_enabled=script, accept_downloads=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(SLOW)
        watch(page, complaints)
        return page

    yield make
    for context in contexts:
        context.close()
    assert not complaints


def watch(page: Page, complaints: list[str]) -> None:
    """Note what scripts and the policy complain of; answers such as 422 and lost connections are no faults."""
    page.on("pageerror", lambda error: complaints.append(f"script: {error}"))
    page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("console", lambda said: complaints.append(said.text) if (
        said.type == "error" and not any(expected in said.text for expected in EXPECTED)
    ) else None)


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patients: numbers, words, an order, a gap here and there; no row is anybody."""
    draw = random.Random(7)
    rows = []
    for number in range(260):
        age = min(max(int(draw.gauss(55, 12)), 20), 90)
        grade = draw.choices(["low", "medium", "high"], [5, 3, 2])[0]
        stage = draw.choices(["I", "II", "III"], [4, 3, 3 + age // 30])[0]
        rows.append({
            "age": age, "grade": grade, "stage": stage, "treated": draw.choice(["yes", "no"]),
            "size": round(draw.lognormvariate(3, 0.5), 1) if draw.random() > 0.1 else "",
            "time": draw.randint(5, 2500), "event": draw.choice([0, 1]), "patient": f"P-{10000 + number * 7}",
        })
    return write_table(tmp_path_factory.mktemp("tables") / "patients.csv", rows)


@pytest.fixture(scope="session")
def finished(browser: Browser, server: Server, table: Path) -> dict[str, str]:
    """Addresses of a dataset and of two runs of it that are done."""
    page = browser.new_page()
    dataset = upload(page, server.url, table)
    runs = []
    for name, method in (("first", "gaussian_copula"), ("second", "cart")):
        page.goto(dataset)
        page.wait_for_selector("#method")
        page.check("input[name=target][value='3']")
        runs.append(queue(page, method=method, name=name))
    for run in runs:
        page.goto(run)
        page.wait_for_selector(".verdicts", timeout=SLOW)
    page.close()
    return {"dataset": dataset, "first": runs[0], "second": runs[1]}
