"""Environments in several processes: the same episodes, every failure said in one sentence, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Timer

import numpy as np
import pytest

from games.check import FIELDS, record
from games.errors import GameFailed, RunFailed, UserError, WorkerDied
from games.keys import fold
from games.registry import make
from games.workers import Workers
from games.wrappers import Wrapper
from marl.agents.mcts import Mcts

TIC_TAC_TOE = "openspiel:tic_tac_toe"
SPREAD = "pettingzoo:mpe2.simple_spread_v3(max_cycles=10)"
LEDUC = "openspiel:leduc_poker | messy(phi=0.3, steps=2) | agent_id"
SEEDS = fold(1, np.arange(5))


class Odd(Wrapper):
    """Do something odd at the first step of the episode with seed 4."""

    def __init__(self, venv, do):
        super().__init__(venv, venv.spec)
        self.do = do

    def _see(self, timestep, actions):
        env = np.flatnonzero(timestep.seed == 4)
        if actions is not None and len(env):
            getattr(self, self.do)(int(env[0]))
        return timestep

    def sleep(self, env):
        time.sleep(60)

    def leave(self, env):
        sys.exit(3)

    def haunt(self, env):
        if child := os.fork():
            Path(os.environ["HAUNTS"]).write_text(str(child))
            os._exit(3)
        time.sleep(600)
        os._exit(0)

    def complain(self, env):
        raise UserError("expected tea, got coffee; boil water")

    def stumble(self, env):
        raise ValueError("a stone\nlay there")

    def fail(self, env):
        raise GameFailed("odd", env, 1, 4, "fell")


def odd(do):
    """Return two workers and five environments; the last, of seed 4, is going to be odd."""
    venv = Workers(f"{TIC_TAC_TOE} | tests.games.test_workers:Odd(do={do})", 5, 2)
    venv.reset(np.arange(5, dtype=np.uint64))
    return venv


@pytest.fixture
def started(monkeypatch):
    """Return the processes that are started, as they come."""
    processes = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            processes.append(self)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    return processes


def ended(processes):
    return bool(processes) and all(process.returncode is not None for process in processes)


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("reference", [TIC_TAC_TOE, SPREAD, LEDUC])
def test_episodes_are_those_of_one_process(reference, workers):
    expected, venv = record(make(reference, 5), SEEDS, 12), Workers(reference, 5, workers)
    assert (venv.spec, venv.num_envs) == (replace(expected.spec, searchable=False), 5)
    played = record(venv, SEEDS, 12)
    venv.close()
    assert (played.actions == expected.actions).all() and not played.misfits
    for field in FIELDS:
        assert (played.seen[field] == expected.seen[field]).all(), field


def test_continuous_actions_reach_the_game():
    reference = "pettingzoo:mpe2.simple_spread_v3(max_cycles=4,continuous_actions=True)"
    venv = Workers(reference, 3, 2)
    played, expected = record(venv, SEEDS[:3], 6), record(make(reference, 3), SEEDS[:3], 6)
    venv.close()
    assert played.actions.dtype == np.float32 and (played.reward == expected.reward).all()


@pytest.mark.parametrize("chosen", [[0, 3], [4], []])
def test_reset_of_chosen_environments_leaves_the_others_alone(chosen):
    where = np.isin(np.arange(5), chosen)
    venv, plain = Workers(TIC_TAC_TOE, 5, 3), make(TIC_TAC_TOE, 5)
    for each in (venv, plain):
        each.reset(SEEDS)
        each.step(np.full((5, 2), 4))
    timestep, expected = venv.reset(SEEDS[::-1], where), plain.reset(SEEDS[::-1], where) if chosen else plain.timestep
    for field in FIELDS:
        assert (getattr(timestep, field) == getattr(expected, field)).all(), field
    venv.close()


@pytest.mark.parametrize("workers", [0, 6])
def test_workers_that_do_not_fit_are_refused(workers):
    with pytest.raises(UserError, match=f"expected 1 to 5 workers, .* got {workers}"):
        Workers(TIC_TAC_TOE, 5, workers)


def test_a_bad_reference_is_a_user_error_and_leaves_no_process(started):
    with pytest.raises(UserError, match="did you mean 'tic_tac_toe'") as error:
        Workers("openspiel:tic_tac_to", 5, 2)
    assert type(error.value) is UserError and len(started) == 2 and ended(started)


@pytest.mark.parametrize(
    ("do", "kind", "sentence"),
    [
        ("fail", GameFailed, "'odd' fell: environment 4, step 1 of the episode with seed 4; "),
        ("complain", UserError, "expected tea, got coffee; boil water"),
        ("stumble", RunFailed, "worker 1 of '.*' .environments 2 to 4. raised ValueError: a stone lay there; "),
        ("leave", WorkerDied, "worker 1 of '.*' .environments 2 to 4. died with exit code 3; "),
    ],
)
def test_what_a_worker_raises_is_raised_here(do, kind, sentence, started):
    venv = odd(do)
    with pytest.raises(kind, match=sentence) as error:
        venv.step(np.full((5, 2), 4))
    assert type(error.value) is kind and ended(started)


@pytest.mark.parametrize("busy", [True, False])
def test_a_killed_worker_is_noticed(busy, started):
    venv = odd("sleep")
    kill = Timer(0.3 if busy else 0, started[1].kill)
    kill.start()
    if not busy:
        kill.join()
    with pytest.raises(RunFailed, match=r"worker 1 of .* died with exit code -9, .*run again"):
        venv.step(np.full((5, 2), 4))
    assert ended(started)


def test_a_dead_worker_is_noticed_while_its_own_child_holds_its_connection(started, tmp_path, monkeypatch):
    monkeypatch.setenv("HAUNTS", str(tmp_path / "pid"))
    venv = odd("haunt")
    with pytest.raises(RunFailed, match="died with exit code 3"):
        venv.step(np.full((5, 2), 4))
    assert ended(started)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)  # raises if the child had to end first


def test_search_is_refused():
    venv = Workers(TIC_TAC_TOE, 2, 1)
    venv.close()
    with pytest.raises(UserError, match="env_workers: 0"):
        Mcts(venv.spec)


def test_nothing_is_left_behind(started):
    files = set(os.listdir("/dev/fd"))
    venv = Workers(TIC_TAC_TOE, 4, 2)
    timestep = venv.reset(SEEDS[:4])
    venv.close()
    venv.close()
    assert ended(started) and timestep.first.all()  # the arrays last as long as somebody holds them
    forgotten = Workers(TIC_TAC_TOE, 4, 2)
    del venv, timestep, forgotten
    assert ended(started) and set(os.listdir("/dev/fd")) <= files


PARENT = f"""
import numpy as np
from games.workers import Workers
venv = Workers("{TIC_TAC_TOE} | tests.games.test_workers:Odd(do=sleep)", 5, 2)
venv.reset(np.arange(5, dtype=np.uint64))
print("playing", flush=True)
"""


@pytest.mark.parametrize(
    ("then", "end", "code", "complaint"),
    [
        ("pass", None, 0, ""),  # who forgets to close
        ("input()", signal.SIGKILL, -signal.SIGKILL, ""),
        ("venv.step(np.full((5, 2), 4))", signal.SIGINT, -signal.SIGINT, "KeyboardInterrupt"),
    ],
)
def test_however_the_parent_ends_its_workers_end(then, end, code, complaint):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT + then],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    assert parent.stdout.readline() == "playing\n"
    if end:
        time.sleep(0.2)
        os.killpg(parent.pid, end)
    _, errors = parent.communicate(timeout=120)  # returns when nobody holds the pipes: the workers held them too
    assert parent.returncode == code
    assert errors.strip().endswith(complaint) and errors.count("Traceback") == bool(complaint)
