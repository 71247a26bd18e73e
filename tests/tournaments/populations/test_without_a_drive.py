"""Populations on a cluster whose machines do not see the run's folder: files travel with tasks, to the same bytes."""

import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest

from marl.base import cluster
from marl.base.origin import Origin
from marl.base.schema import validate
from marl.base.terminal import Terminal
from marl.training.config import PopulationConfig
from marl.training.population import train_members
from tests.tournaments.populations import test_league_loop, test_loop, test_partners_loop, test_pbt_loop
from tests.tournaments.populations.bytes import games
from tests.tournaments.populations.test_engines import same
from tests.tournaments.populations.test_loop import run
from tournaments import tournament
from tournaments.tournament import TournamentConfig

POPULATIONS = {
    "psro": lambda **fields: test_loop.config(**test_loop.PIPED | fields),
    "league": test_league_loop.config,
    "pbt": test_pbt_loop.config,
    "fitness": lambda **fields: test_pbt_loop.config(fitness="league", seeds=16, **fields),
    "partners": test_partners_loop.config,
}
SLOW = {"league", "fitness", "partners"}


class Elsewhere:
    """Stands for Ray: a task runs when its result is asked for, while the run's folder is not where it was."""

    def __init__(self, folder):
        self._folder, self.tasks = folder, 0
        names = ("WorkerCrashedError", "NodeDiedError", "OutOfMemoryError", "ObjectLostError", "RayError")
        self.exceptions = SimpleNamespace(**{name: type(name, (Exception,), {}) for name in names})

    def init(self, *_, **__):
        """Connect."""

    def shutdown(self):
        """Leave."""

    def put(self, content):
        return (content,)

    def remote(self, **_):
        return lambda attempt: SimpleNamespace(remote=lambda *task: partial(attempt, *task))

    def wait(self, waiting):
        return waiting[-1:], waiting[:-1]

    def get(self, asked):
        if isinstance(asked, tuple):
            return asked[0]
        away = self._folder.with_name("away")
        self._folder.rename(away)
        self.tasks += 1
        try:
            return asked()
        finally:
            assert not self._folder.exists()
            away.rename(self._folder)


@pytest.fixture
def ray(tmp_path, monkeypatch):
    stub = Elsewhere(tmp_path / "run")
    monkeypatch.setitem(sys.modules, "ray", stub)
    monkeypatch.setattr("marl.base.engine.require", lambda engine: None)
    monkeypatch.setattr(cluster, "_machines", lambda ray, probe: [replace(cluster.this_machine(), sees=False)])
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_DEDUP_LOGS"):
        monkeypatch.setenv(name, "0")
    return stub


@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in POPULATIONS]
)
def test_files_that_travel_change_no_byte(tmp_path, ray, caplog, method):
    run(POPULATIONS[method](), tmp_path / "whole")
    run(POPULATIONS[method](engine="ray"), tmp_path / "run")
    same(tmp_path / "run", tmp_path / "whole")
    assert ray.tasks and "does not see the folder" in caplog.text


def test_members_side_by_side_and_agents_of_a_tournament_travel_too(tmp_path, ray, monkeypatch):
    monkeypatch.setattr("marl.training.population.require", lambda engine: None)
    quiet, settings = Terminal(quiet=True), {"train": "ippo_kuhn", "set": test_pbt_loop.TINY["set"]}
    stored = []
    for folder, engine in (("whole", "processes"), ("run", "ray")):
        given = {"members": {"a": settings}, "workers": 1, "engine": engine}
        config = validate(PopulationConfig, given, Origin("a test"))
        train_members(config, tmp_path / folder, resume=False, device="cpu", console=quiet)
        met = {
            "game": "openspiel:kuhn_poker",
            "agents": ["random", str(tmp_path / folder)],
            "seeds": 5,
            "workers": 1,
            "engine": engine,
        }
        config = validate(TournamentConfig, met | {"engine": engine}, Origin("a test"))
        stored.append(games(tournament.run(config, tmp_path / f"games of {folder}", quiet).parent))
    found = [(tmp_path / folder / "population.json").read_bytes() for folder in ("whole", "run")]
    assert found[0] == found[1] and stored[0] == stored[1] and ray.tasks == 2
