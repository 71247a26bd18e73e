"""A visit leaves every file as it was, and aggregates lie outside the folder."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from marl.base.lock import FILE as LOCK
from marl.base.lock import held
from tests.marl.training.logs import write_run
from tests.web.stores import games, open_store, write_store
from tournaments.records.store import STORE
from tournaments.web import index as indexes
from tournaments.web.places import Places

KILLED = """
import os, sys
from pathlib import Path
from tests.web.stores import games, open_store
store = open_store(Path(sys.argv[1]))
store.add(games([f"{place:064x}" for place in range(3)]))
os.kill(os.getpid(), 9)
"""


def everything(folder):
    """Every file below a folder, with its bytes and its times."""
    return {
        path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino)
        if path.is_file()
        else path.stat().st_mtime_ns
        for path in sorted(folder.rglob("*"))
    }


def visit(page):
    """Ask for every kind of page."""
    agents = "&".join(f"agent={place:064x}" for place in range(2))
    paths = ["/", "/tournaments", "/runs/one", "/api/runs/one", "/api/curves?run=one", "/compare?run=one&run=two"]
    paths += ["/sweeps/sweep", "/tournaments/board", f"/tournaments/board?{agents}", "/tournaments/killed"]
    for path in paths:
        answer = page.ask(path)
        assert answer.status == 200, (path, answer.text)
    return {path: page.ask(path).text for path in paths}


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    for place, name in enumerate(("one", "two", "sweep/members/a_seed-0", "sweep/members/a_seed-1")):
        write_run(folder / name, seed=place, metrics=[{"step": step, "entropy": 1.0 / step} for step in (100, 200)])
    write_store(folder / "board")
    (folder / "killed").mkdir()
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder / "killed")])
    assert done.returncode == -9 and (folder / "killed" / f"{STORE}-wal").stat().st_size
    return folder


def test_a_visit_writes_nothing(runs, serve):
    before = everything(runs)
    page = serve(runs)
    texts = visit(page)
    visit(page)
    assert everything(runs) == before
    assert ">24</a></b><span>games" in texts["/tournaments/killed"]  # those in the log of the killed process too


def test_a_store_that_stayed_in_its_log_mode_gets_no_log(runs, serve):
    """SQLite itself would create one to read it."""
    db = sqlite3.connect(runs / "board" / STORE)
    assert db.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
    db.close()
    before = everything(runs)
    assert sorted(path.name for path in (runs / "board").iterdir()) == [STORE]
    assert ">24</a></b><span>games" in serve(runs).ask("/tournaments/board").text
    assert everything(runs) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(runs, serve):
    for path in [*runs.rglob("*"), runs]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        visit(serve(runs))
    finally:
        for path in [runs, *runs.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_no_file_of_the_folder_is_opened_to_be_written(runs, serve, monkeypatch):
    """Where tests run as root, and permissions do not hold: by what is asked of the system."""
    asked = []

    def hear(event, arguments):
        if event == "open" and str(arguments[0]).startswith(str(runs)) and isinstance(arguments[2], int):
            asked.append((arguments[0], arguments[2]))

    sys.addaudithook(hear)
    visit(serve(runs))
    assert asked and not [path for path, flags in asked if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)]


def test_a_folder_that_cannot_be_read_is_left_out(runs, serve, monkeypatch):
    (runs / "locked").mkdir()
    stat = Path.stat

    def refused(path, **options):
        if path.parent == runs / "locked":
            raise PermissionError(path)
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refused)
    page = serve(runs)
    assert page.ask("/").status == 200 and page.ask("/runs/locked").status == 404


def test_a_store_that_is_being_written(tmp_path, serve):
    ids = [f"{place:064x}" for place in range(3)]
    with held(tmp_path / "board", "a tournament"), open_store(tmp_path / "board") as store:
        store.add(games(ids, seeds=range(2)))
        page = serve(tmp_path)
        text = page.ask("/tournaments/board").text
        assert ">12</a></b><span>games" in text and ">playing</span>" in text
        store.add(games(ids, seeds=range(2, 9)))
        end = time.monotonic() + 20
        while ">54</a></b><span>games" not in page.ask("/tournaments/board").text and time.monotonic() < end:
            time.sleep(0.1)
        assert ">54</a></b><span>games" in page.ask("/tournaments/board").text
    assert "at rest" in page.ask("/tournaments/board").text


def log_of(run, many, start=0):
    with (run / "metrics.jsonl").open("a") as file:
        for step in range(start + 1, start + many + 1):
            file.write(json.dumps({"step": step, "entropy": step / 2}) + "\n")


class TestAggregates:
    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch):
        monkeypatch.setattr("tournaments.web.growing.WORTH_KEEPING", 1)
        monkeypatch.setattr("tournaments.web.growing.PART", 1000)

    @pytest.fixture
    def run(self, tmp_path):
        run = write_run(tmp_path / "runs" / "one")
        log_of(run, 500)
        return run

    def index(self, tmp_path):
        return indexes.Index(tmp_path / "cache", lambda name: None)

    def read(self, index, run):
        growing = index.growing(Places(run.parent).find("one", "run"))
        growing.read(None)
        return growing

    def test_only_what_is_new_is_read(self, run, tmp_path):
        index = self.index(tmp_path)
        assert len(self.read(index, run).logs.metrics) == 500
        log_of(run, 3, 500)
        growing = self.read(index, run)
        before = growing._metrics.reached
        log_of(run, 1, 503)
        assert len(self.read(index, run).logs.metrics) == 504 and growing._metrics.reached > before
        step, value = growing.logs.metrics.points("entropy")
        assert step.tolist() == list(range(1, 505)) and value.tolist() == [s / 2 for s in range(1, 505)]

    def test_they_are_kept_and_are_the_same(self, run, tmp_path, monkeypatch):
        growing = self.read(self.index(tmp_path), run)
        growing.keep()
        assert [path.suffix for path in (tmp_path / "cache").rglob("*.*")] == [".npz"]
        log_of(run, 5, 500)
        parsed = []
        monkeypatch.setattr(
            "tournaments.web.growing.parse_lines", lambda lines: parsed.extend(lines) or [json.loads(e) for e in lines]
        )
        again = self.read(self.index(tmp_path), run)
        assert len(parsed) == 5 + 3  # the log of evaluations is not kept
        assert again.logs.metrics.points("entropy")[1].tolist() == [s / 2 for s in range(1, 506)]

    def test_those_of_another_file_are_not_taken(self, run, tmp_path):
        self.read(self.index(tmp_path), run).keep()
        (run / "metrics.jsonl").unlink()
        log_of(run, 7, 1000)
        assert self.read(self.index(tmp_path), run).logs.metrics.points("entropy")[0].tolist() == list(
            range(1001, 1008)
        )

    @pytest.mark.parametrize("harm", [b"", b"nonsense", b"PK\x05\x06" + b"\0" * 18])
    def test_damaged_ones_are_made_anew(self, run, tmp_path, harm):
        self.read(self.index(tmp_path), run).keep()
        (kept,) = (tmp_path / "cache").rglob("*.npz")
        kept.write_bytes(harm)
        assert len(self.read(self.index(tmp_path), run).logs.metrics) == 500

    def test_a_resumed_run_whose_log_was_cut(self, run, tmp_path):
        index = self.index(tmp_path)
        self.read(index, run)
        text = (run / "metrics.jsonl").read_text().splitlines(keepends=True)[:100]
        (run / "metrics.jsonl").write_text("".join(text))
        assert len(self.read(index, run).logs.metrics) == 100

    def test_a_run_that_is_deleted_while_it_is_read(self, run, tmp_path, monkeypatch):
        asked = []

        def gone(file):
            asked.append(file)
            raise FileNotFoundError(file.path)

        monkeypatch.setattr("tournaments.web.growing.GrowingFile.lines", gone)
        self.index(tmp_path).growing(Places(run.parent).find("one", "run"), seconds=0.5)
        assert len(asked) <= 2  # here, and behind the page

    def test_a_torn_line_is_waited_for_and_a_damaged_one_is_said(self, run, tmp_path):
        index = self.index(tmp_path)
        with (run / "metrics.jsonl").open("a") as file:
            file.write('{"step": 501, "ent')
        growing = self.read(index, run)
        assert len(growing.logs.metrics) == 500 and not growing.fault and growing.whole
        with (run / "metrics.jsonl").open("a") as file:
            file.write('ropy": 1.0}\nnonsense\n')
        growing = self.read(index, run)
        assert len(growing.logs.metrics) in (500, 501) and "metrics.jsonl' is damaged" in growing.fault

    def test_without_a_cache_folder_the_page_works(self, run, tmp_path):
        (tmp_path / "cache").write_text("a file")
        growing = self.read(self.index(tmp_path), run)
        growing.keep()
        assert len(growing.logs.metrics) == 500

    def test_a_large_store_is_summarised_in_a_process_of_its_own_and_kept(self, tmp_path, monkeypatch):
        monkeypatch.setattr(indexes, "LARGE_STORE", 1)
        monkeypatch.setattr(indexes, "SOON", 0.0)
        write_store(tmp_path / "runs" / "board")
        place, told = Places(tmp_path / "runs").find("board", "tournament"), []
        index = indexes.Index(tmp_path / "cache", told.append)
        assert index.store(place).facts is None  # the page says that the games are being read
        end = time.monotonic() + 60
        while not told and time.monotonic() < end:
            time.sleep(0.05)
        known = index.store(place)
        assert told == ["board"] and known.facts["games"] == 24 and not known.stale
        process = index._worker._process
        process.kill()  # while it has nothing to do
        process.wait()
        with open_store(tmp_path / "runs" / "board") as store:
            store.add(games([f"{number:064x}" for number in range(3)], seeds=[9]))
        known.due = 0.0
        index.store(place).making.result(60)
        assert index.store(place).facts["games"] == 30
        process = index._worker._process
        index.close()
        assert process.poll() is not None  # nobody reads on for a page that has ended
        again = indexes.Index(tmp_path / "cache", told.append)
        monkeypatch.setattr(again, "_make", None)
        assert again.store(place).facts == json.loads(json.dumps(known.facts))

    def test_a_damaged_store_is_one_sentence(self, tmp_path, serve):
        (tmp_path / "runs" / "board").mkdir(parents=True)
        (tmp_path / "runs" / "board" / STORE).write_bytes(b"nonsense" * 1000)
        page = serve(tmp_path / "runs")
        assert "which is not one" in page.ask("/tournaments").text
        answer = page.ask("/tournaments/board")
        assert answer.status == 422 and "which is not one" in answer.text


class TestStates:
    def test_of_a_run(self, tmp_path, serve):
        runs = tmp_path / "runs"
        finished = write_run(runs / "finished", metrics=[{"step": 200, "entropy": 1.0}])
        config = (finished / "config.yaml").read_text()
        (finished / "config.yaml").write_text(config.replace("steps: 1000000", "steps: 200"))
        write_run(runs / "stopped", metrics=[{"step": 200, "entropy": 1.0}])
        killed = write_run(runs / "killed")
        (killed / LOCK).write_text("{")
        other = write_run(runs / "unreadable")
        (other / "config.yaml").write_text("game: [")
        with held(runs / "running", "a training run"):
            write_text = write_run(tmp_path / "made")
            for path in write_text.iterdir():
                path.rename(runs / "running" / path.name)
            text = serve(runs).ask("/").text
        for name in ("finished", "stopped", "killed", "unreadable", "running"):
            row = next(row for row in text.split("<tr>") if f'/runs/{name}"' in row)
            assert f'class="state {name}"' in row, row

    def test_a_run_of_another_version_is_shown_as_far_as_it_can_be(self, tmp_path, serve):
        run = write_run(tmp_path / "runs" / "one", metrics=[{"step": 100, "entropy": 0.5}])
        with (run / "config.yaml").open("a") as file:
            file.write("of_another_version: true\n")
        answer = serve(tmp_path / "runs").ask("/runs/one")
        assert answer.status == 200 and "of_another_version" in answer.text and "+0.00" not in answer.text
