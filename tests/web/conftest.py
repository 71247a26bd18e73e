"""A page that is served while a test asks it, of a folder that the test fills, and a browser that shows it."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.web.served import Served

# Without the extra `web` there is no page to test.
collect_ignore_glob = [] if find_spec("starlette") and find_spec("uvicorn") else ["test_*.py"]

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
QUIET = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
LONG = 60_000  # milliseconds that something may take


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Serve folders: `serve(folder)` returns what answers, until the test ends; pages wait for what is being made."""
    from tests.web.served import Served

    monkeypatch.setattr("tournaments.web.index.SOON", LONG / 1000)
    opened: list[Served] = []

    def begin(folder: Path, token: str | None = None) -> "Served":
        served = Served(folder, tmp_path / "cache", token)
        opened.append(served.__enter__())
        return served

    yield begin
    for served in opened:
        served.__exit__()


@pytest.fixture(scope="module")
def browser():
    """Start Chromium; skipped, with the reason, where it or playwright is missing."""
    reason = "playwright is not installed; make web-test installs it"
    sync_api = pytest.importorskip("playwright.sync_api", reason=reason)
    sync_api.expect.set_options(timeout=LONG)
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed; install chromium, or name one by the variable CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def tab(browser):
    """Open windows: `tab(page, path, width, scheme)`; what the browser complains of fails the test."""
    contexts, complaints = [], []

    def visit(page, path, width=1400, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        window = context.new_page()
        window.set_default_timeout(LONG)
        window.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        window.on("pageerror", lambda error: complaints.append(str(error)))
        window.on(
            "request", lambda request: request.url.startswith((page.url, "data:")) or complaints.append(request.url)
        )
        window.goto(f"{page.url}{path}")
        return window

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []
