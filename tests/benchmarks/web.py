"""How fast the page opens: a run of five million steps, and a store of a million games.

    python -m tests.benchmarks.web

Times are wall time as a browser waits, each the median of several requests; what is made in the first visit, once.
`again` is by a server that has just begun and finds the aggregates of another in the cache folder. --only NAME measures
one part:

    log     a run of 5 million steps that has logged 25 metrics every 32 steps: its page, its curves, all small curves
    store   a store of a million games of 20 agents: its page, the list of tournaments, the games of two agents
    small   the first page of a folder with 50 runs: its bytes with all that it loads, and its time
"""

import argparse
import json
import random
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from games.keys import stream
from tests.benchmarks import timing
from tests.benchmarks.timing import Row
from tests.marl.training.logs import write_run
from tests.web.served import Served
from tests.web.stores import open_store
from tournaments.records.fixture import Fixture
from tournaments.records.played import PlayedGame

STEPS, EVERY, METRICS = 5_000_000, 32, 25
GAMES, AGENTS, BATCH = 1_000_000, 20, 50_000
SECONDS = "< 2 s"


def seconds(page: Served, path: str, repetitions: int = 1) -> float:
    """Return the seconds in which a page is there: the median of some visits."""
    times = []
    for _ in range(repetitions):
        began = time.perf_counter()
        assert page.ask(path).status == 200, path
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def until(page: Served, path: str, text: str) -> float:
    """Return the seconds until a page no longer says something."""
    began = time.perf_counter()
    while text in page.ask(path).text:
        time.sleep(0.2)
    return time.perf_counter() - began


def log(options: argparse.Namespace) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = write_run(folder / "runs" / "long")
        rng = random.Random(0)
        with (run / "metrics.jsonl").open("w") as file:
            for step in range(EVERY, STEPS + 1, EVERY):
                file.write(json.dumps({"step": step} | {f"metric_{k}": rng.random() for k in range(METRICS)}) + "\n")
        size = (run / "metrics.jsonl").stat().st_size
        paths = {"page": "/runs/long", "curve": "/api/curves?run=long&metric=metric_3", "small": "/api/runs/long"}
        with Served(folder / "runs", folder / "cache") as page:
            yield (
                f"run of {STEPS:,} steps ({size / 1e6:.0f} MB), first page, log not read",
                f"{seconds(page, paths['page']):.2f} s",
                SECONDS,
            )
            yield (
                "until its log is read, once",
                f"{until(page, paths['page'], 'being read for the first time'):.1f} s",
                "",
            )
            time.sleep(2)  # it is kept behind the page
            yield "its page", f"{seconds(page, paths['page'], options.repetitions):.2f} s", SECONDS
            yield "a curve of it", f"{seconds(page, paths['curve'], options.repetitions):.2f} s", SECONDS
        with Served(folder / "runs", folder / "cache") as page:
            yield "its page, again", f"{seconds(page, paths['page']):.2f} s", SECONDS
            yield "all its small curves, again", f"{seconds(page, paths['small']):.2f} s", SECONDS


def store(options: argparse.Namespace) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ids = [f"{place:064x}" for place in range(AGENTS)]
        rng, games = random.Random(0), []
        with open_store(folder / "runs" / "large", [f"agent {place}" for place in range(AGENTS)]) as opened:
            for number in range(GAMES):
                a, b = divmod(number % (AGENTS * (AGENTS - 1)), AGENTS - 1)
                b += b >= a
                won = 1.0 if rng.random() < 0.5 + 0.02 * (b - a) else -1.0
                fixture = Fixture("openspiel:tic_tac_toe", (ids[a], ids[b]), stream(number // 380, "bench"), 0, None)
                games.append(PlayedGame(fixture, (won, -won), "finished", 7, bytes(7)))
                if len(games) == BATCH:
                    opened.add(games)
                    games.clear()
            opened.add(games)
        board, pair = "/tournaments/large", f"/tournaments/large?agent={ids[0]}&agent={ids[1]}"
        with Served(folder / "runs", folder / "cache") as page:
            yield f"store of {GAMES:,} games, first page, games not read", f"{seconds(page, board):.2f} s", SECONDS
            yield "until its games are read, once", f"{until(page, board, 'being read'):.1f} s", ""
            yield "its page", f"{seconds(page, board, options.repetitions):.2f} s", SECONDS
        with Served(folder / "runs", folder / "cache") as page:
            yield "its page, again", f"{seconds(page, board):.2f} s", SECONDS
            yield "the list of tournaments", f"{seconds(page, '/tournaments', options.repetitions):.2f} s", SECONDS
            yield "the games of two of its agents", f"{seconds(page, pair, options.repetitions):.2f} s", SECONDS


def small(options: argparse.Namespace) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(50):
            write_run(folder / "runs" / f"run-{seed}", seed=seed, metrics=[{"step": 100, "entropy": 0.5}])
        with Served(folder / "runs", folder / "cache") as page:
            first = seconds(page, "/")
            text = page.ask("/").text
            files = {"/", "/static/chart.js", *re.findall(r'(?:src|href)="(/(?:static/)?[\w.]+\.\w+)"', text)}
            yield "first page of 50 runs, first visit", f"{1000 * first:.0f} ms", ""
            yield "first page of 50 runs", f"{1000 * seconds(page, '/', options.repetitions):.0f} ms", "< 200 ms"
            total = sum(len(page.ask(path).body) for path in files)
            yield "its bytes with all that it loads", f"{total / 1024:.0f} KiB", "< 300 KiB"


if __name__ == "__main__":
    timing.run("tests.benchmarks.web", {"log": log, "store": store, "small": small}, argparse.ArgumentParser())
