"""The page in a real browser: `make web-test`. Skipped, with the reason, where there is none."""

import json
import os
import re
import subprocess
import sys
import time

import pytest

from marl.base.lock import held
from tests.marl.training.logs import write_run
from tests.web.stores import games, open_store, write_store

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; make web-test installs it")

pytestmark = pytest.mark.browser


def append(run, steps):
    """Log some steps as training does."""
    with (run / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps({"step": step, "entropy": 1 / step}) + "\n" for step in steps)
    with (run / "evaluations.jsonl").open("a") as file:
        file.writelines(
            json.dumps({"step": step, "against": "random", "return_mean": [step / 1e6] * 2, "length_mean": 7.0}) + "\n"
            for step in steps
        )


def points(window):
    """How many points the first curve of the large chart has."""
    return window.locator("#large path.line").first.get_attribute("d").count(",")


def test_a_run_that_is_training_grows(tmp_path, serve, tab):
    run = tmp_path / "runs" / "one"
    with held(run, "a training run"):
        made = write_run(tmp_path / "made", steps=(), returns=())
        for path in made.iterdir():
            path.rename(run / path.name)
        window = tab(serve(tmp_path / "runs"), "/runs/one")
        sync_api.expect(window.locator("#large")).to_contain_text("nothing is known yet")
        sync_api.expect(window.locator("#live")).to_have_text("live")
        append(run, (1000, 2000, 3000))
        window.wait_for_selector("#large path.line")
        assert points(window) == 3 and window.locator(".state.running").count() == 1
        window.select_option("#metric", "entropy")
        sync_api.expect(window.locator("#large h3")).to_have_text("entropy, nats")
        append(run, (4000, 5000))
        sync_api.expect(window.locator("#large path.line")).to_have_attribute(
            "d", re.compile(r"^([ML][\d.]+,[\d.]+){5}$")
        )
        sync_api.expect(window.locator("#head")).to_contain_text("5,000")
        assert window.locator("#metric").input_value() == "entropy"  # as it was chosen
        sync_api.expect(window.locator("#evaluations")).to_contain_text("+0.005")
    window.wait_for_selector(".state.stopped")


@pytest.mark.slow
def test_a_real_run_grows(tmp_path, serve, tab):
    command = [sys.executable, "-m", "marl", "train", "ippo_tic_tac_toe", "--run-dir", "runs/real"]
    for change in ("steps=60000", "stretch=10000", "evaluation.seeds=5"):
        command += ["--set", change]
    (tmp_path / "runs").mkdir()
    training = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    try:
        window = tab(serve(tmp_path / "runs"), "/")
        window.click("a:text-is('real')", timeout=120_000)  # it appears in the list while it trains
        window.wait_for_selector("#large path.line", timeout=120_000)
        window.wait_for_selector(".state.finished", timeout=300_000)
        sync_api.expect(window.locator("#large path.line")).to_have_attribute(
            "d", re.compile(r"^([ML][\d.]+,[\d.]+){7}$")
        )
    finally:
        training.kill()
        training.wait()


def test_a_leaderboard_moves_while_a_tournament_plays(tmp_path, serve, tab):
    ids = [f"{place:064x}" for place in range(3)]
    with held(tmp_path / "board", "a tournament"), open_store(tmp_path / "board") as store:
        store.add(games(ids[:2], seeds=range(3)))
        window = tab(serve(tmp_path), "/tournaments/board")
        sync_api.expect(window.locator("#board .facts")).to_contain_text("6games")
        assert window.locator("table.board").first.locator("tbody tr").count() == 2
        store.add(games(ids, seeds=range(3, 9)))
        sync_api.expect(window.locator("#board .facts")).to_contain_text("42games")
        sync_api.expect(window.locator("table.board").first.locator("tbody tr")).to_have_count(3)
        assert window.locator("table.board").first.locator("tbody td.name").all_text_contents() == [
            "strong",
            "middling",
            "weak",
        ]


def test_from_the_leaderboard_to_the_games_of_two_agents(tmp_path, serve, tab):
    write_store(tmp_path / "runs" / "board")
    window = tab(serve(tmp_path / "runs"), "/")
    window.click("text=Tournaments")
    window.click("text=board")
    window.locator("table.matrix a").first.click()
    sync_api.expect(window.locator("h1")).to_have_text("strong – middling")
    assert window.locator("tbody tr").count() == 8
    assert window.locator("tbody tr a").first.get_attribute("href").startswith("/games/board/")


def test_curves_by_keyboard_and_as_numbers(tmp_path, serve, tab):
    for seed in range(3):
        returns = [0.0, 0.5 + seed / 10, 1.0]
        write_run(tmp_path / "runs" / "sweep" / "members" / f"a_seed-{seed}", seed=seed, returns=returns)
    write_run(tmp_path / "runs" / "sweep" / "members" / "b_seed-0", settings={"learning_rate": 0.01})
    window = tab(serve(tmp_path / "runs"), "/sweeps/sweep")
    window.wait_for_selector("#large polygon.band")  # the range of three seeds
    assert window.locator("#large path.line").count() == 2
    window.locator("#large svg.plot").focus()
    window.keyboard.press("Home")
    window.keyboard.press("ArrowRight")
    sync_api.expect(window.locator("#large .readout")).to_contain_text("0.6 (0.5 to 0.7)")
    window.locator("#large summary").click()
    assert window.locator("#large details tbody tr").count() == 3
    window.locator("#large button", has_text="log y").click()
    assert window.locator("#large button", has_text="log y").get_attribute("aria-pressed") == "true"
    window.locator("#large .legend button").first.click()
    sync_api.expect(window.locator("#large path.line")).to_have_count(1)


def test_runs_that_are_ticked_are_compared(tmp_path, serve, tab):
    for seed in range(2):
        write_run(tmp_path / "runs" / f"run-{seed}", seed=seed)
    window = tab(serve(tmp_path / "runs"), "/")
    for box in window.locator("input[type=checkbox]").all():
        box.check()
    window.click("text=Compare those ticked")
    window.wait_for_selector("#large path.line")
    assert "mean of 2 seeds, range" in window.locator("#large .legend").text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1920])
def test_no_page_is_wider_than_its_window(tmp_path, serve, tab, width, scheme):
    write_run(
        tmp_path / "runs" / "a_run_whose_name_is_longer_than_a_small_screen_is_wide",
        metrics=[{"step": 1, "entropy": 1.0}],
    )
    write_store(tmp_path / "runs" / "board", agents=[f"uct(simulations=1000, c=1.25, seed={k})" for k in range(4)])
    page = serve(tmp_path / "runs")
    for path in (
        "/",
        "/tournaments",
        "/tournaments/board",
        "/runs/a_run_whose_name_is_longer_than_a_small_screen_is_wide",
    ):
        window = tab(page, path, width, scheme)
        window.wait_for_selector("h1")
        wide = window.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, path
        ink, paper = window.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
        )
        assert (max(map(int, paper[4:-1].split(", "))) < 60) == (scheme == "dark") and ink != paper


def test_windows_share_one_stream_and_a_server_that_is_gone_is_said(tmp_path, serve, browser):
    write_run(tmp_path / "runs" / "one")
    page = serve(tmp_path / "runs")
    context = browser.new_context()
    windows = [context.new_page() for _ in range(7)]  # browsers allow six connections to a server
    for window in windows:
        window.goto(f"{page.url}/runs/one")
        window.wait_for_selector("#large path.line")
    for window in windows:
        sync_api.expect(window.locator("#live")).to_have_text("live")
    assert len(page.app.state.events._listeners) == 1
    windows[0].close()
    end = time.monotonic() + 10
    while len(page.app.state.events._listeners) != 1 and time.monotonic() < end:
        time.sleep(0.05)
    windows[1].reload()
    sync_api.expect(windows[1].locator("#live")).to_have_text("live")
    page.__exit__()
    sync_api.expect(windows[2].locator("#live")).to_have_text("offline")
    context.close()
