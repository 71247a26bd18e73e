"""Populations on every engine: the same bytes in one process, in several and on a Ray cluster, whoever dies."""

import importlib.util
import itertools
import os
import signal
from dataclasses import replace

import pytest

from marl.agents import checkpoint
from marl.base import cluster as clusters
from marl.base import engine
from tests.tournaments.populations import test_diversity, test_league_loop, test_loop, test_partners_loop, test_pbt_loop
from tests.tournaments.populations.bytes import contents, games
from tests.tournaments.populations.test_loop import run
from tournaments.records.store import STORE

POPULATIONS = {
    "psro": lambda **fields: test_loop.config(**test_loop.PIPED | fields),
    "league": test_league_loop.config,
    "pbt": test_pbt_loop.config,
    "partners": test_partners_loop.config,
    "entropy": lambda **fields: test_diversity.small("entropy", **fields),
    "cross_play": lambda **fields: test_diversity.small("cross_play", **fields),
}
DEATHS = (2, 5, 9)  # the checkpoints and ends of tasks, counted over all workers, with which one dies

pytestmark = pytest.mark.slow
every_method = pytest.mark.parametrize("method", POPULATIONS)
on_ray = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a function that runs a population of each method, in this process, once; it returns the folder."""
    made = {}

    def of(method):
        if method not in made:
            made[method] = tmp_path_factory.mktemp(method) / "whole"
            run(POPULATIONS[method](), made[method])
        return made[method]

    return of


@pytest.fixture(scope="module")
def cluster():
    """Start a cluster of two machines, which are processes of this one, with one core each."""
    import ray
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        started.add_node(num_cpus=1)
        patch.setenv("RAY_ADDRESS", started.address)
        yield
        ray.shutdown()
        started.shutdown()


@pytest.fixture
def deadly(tmp_path, monkeypatch):
    """Let workers die, never this process; return the folder that has a file for each event."""
    events, outcomes = tmp_path / "events", engine.outcomes
    events.mkdir()

    def with_deaths(function, tasks, *others):
        return outcomes(dying, ((str(events), os.getpid(), function, *task) for task in tasks), *others)

    monkeypatch.setattr(engine, "outcomes", with_deaths)
    return events


def dying(events, parent, function, *task):
    """Do a task, and kill this process where it has written the checkpoint, or done the task, whose turn it is."""

    def event():
        for number in itertools.count():
            try:
                os.close(os.open(f"{events}/{number}", os.O_CREAT | os.O_EXCL))
                break
            except FileExistsError:
                continue
        if number in DEATHS and os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    def write(*arguments, **named):
        digest = checkpoint_written(*arguments, **named)
        event()
        return digest

    with pytest.MonkeyPatch.context() as patch:
        checkpoint_written = checkpoint.write
        patch.setattr(checkpoint, "write", write)
        result = function(*task)
    event()
    return result


def same(folder, whole):
    """Check that two populations are equal to the byte, their games included."""
    assert contents(folder) == contents(whole)
    if (whole / STORE).exists():
        assert games(folder) == games(whole)


@every_method
def test_workers_that_die_change_no_byte(tmp_path, whole, deadly, method):
    run(POPULATIONS[method](workers=2), tmp_path / "run")
    same(tmp_path / "run", whole(method))
    assert len(list(deadly.iterdir())) > max(DEATHS)


class TestRay:
    pytestmark = on_ray

    @every_method
    def test_a_cluster_gives_the_same_bytes(self, tmp_path, whole, cluster, method):
        run(POPULATIONS[method](engine="ray"), tmp_path / "run")
        same(tmp_path / "run", whole(method))

    def test_files_travel_where_its_machines_share_no_drive(self, tmp_path, whole, cluster, monkeypatch):
        def unseeing(ray, probe):
            return [replace(machine, sees=False) for machine in machines(ray, probe)]

        machines = clusters._machines
        monkeypatch.setattr(clusters, "_machines", unseeing)
        run(POPULATIONS["psro"](engine="ray"), tmp_path / "run")
        same(tmp_path / "run", whole("psro"))

    @every_method
    def test_its_workers_that_die_change_no_byte(self, tmp_path, whole, cluster, deadly, method):
        run(POPULATIONS[method](engine="ray"), tmp_path / "run")
        same(tmp_path / "run", whole(method))
        assert len(list(deadly.iterdir())) > max(DEATHS)
