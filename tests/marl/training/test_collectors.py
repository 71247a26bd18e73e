"""Collectors: the same games in one worker and in several, one generation behind, through any death of a worker."""

import os
import signal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from games.errors import RunFailed, UserError, WorkerDied
from games.keys import fold
from games.registry import make
from marl.agents.load import load_entrant
from marl.rollout.agent import Random
from marl.rollout.loop import play_steps
from marl.rollout.recording import side_by_side
from marl.rollout.seating import Draw, self_play
from marl.rollout.types import Decision, Trajectory
from marl.training.collectors import Collector, WorkerCollector, beginning
from marl.training.config import PopulationConfig, TrainConfig
from marl.training.population import check_members
from marl.training.train import prepare, train
from tests.marl.training.test_train import files, lines, same
from tests.properties import examples

GAME = "openspiel:tic_tac_toe"
TINY = {
    "game": GAME,
    "algorithm": {
        "name": "alphazero",
        "simulations": 4,
        "channels": 4,
        "blocks": 1,
        "batch_size": 16,
        "steps_per_update": 32,
    },
    "steps": 420,
    "stretch": 210,
    "num_envs": 5,
    "rollout_length": 8,
    "rollout_workers": 2,
    "opponents": {"agents": ("random",), "share": 0.4},
    "evaluation": {"panel": ()},
}

RANDOM = [load_entrant("random", make(GAME, 1).spec)]
DRAW = Draw(1, np.ones((2, 1)), 0.4, (0,), np.arange(2))


def config(**changes) -> TrainConfig:
    return TrainConfig.model_validate(TINY | changes)


class Versioned:
    """Play at random, and write down which version of itself it was."""

    def __init__(self, spec):
        self.random, self.version = Random(spec), 0

    def initial_hidden(self, rows):
        return np.zeros(rows, np.int64)

    def act(self, view, hidden):
        chosen = self.random.act(view, None)[0]
        return Decision(chosen.action, {"version": np.full(len(view), self.version), "turn": hidden}), hidden + 1


class Mortal(Versioned):
    """Die where it is told to, however often it is tried."""

    def act(self, view, hidden):
        if self.version == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().act(view, hidden)


class Clumsy(Versioned):
    def act(self, view, hidden):
        raise ValueError("a stone lay there")


def collected(collector: Collector, actor: Versioned, generations: int, kill=()) -> list[Trajectory]:
    """Play a stretch, with a new version after each generation; kill worker 0 while it plays those in `kill`."""
    collector.open([actor], RANDOM, beginning(7, self_play(5, 2), 2, DRAW))
    collector.begin()
    taken = []
    for generation in range(generations):
        if generation in kill:
            collector._workers[0]._process.kill()
        taken.append(collector.take())
        if generation < generations - 1:
            collector.begin()
        actor.version += 1
    return taken


@pytest.fixture(scope="module")
def two():
    """Two workers, which play one stretch after another: to start them is most of these tests' time."""
    collector = WorkerCollector(GAME, 5, 2, 6)
    yield collector
    collector.close()


def alike(one: dict, other: dict) -> bool:
    names = [name for name in one if name != "extras"]
    return set(one) == set(other) and all(np.array_equal(one[name], other[name]) for name in names)


def equal(one: Trajectory, other: Trajectory) -> bool:
    return alike(vars(one) | one.extras, vars(other) | other.extras)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(1, 12))
@settings(max_examples=examples(20))
def test_shares_of_a_batch_side_by_side_are_the_batch(sizes, length):
    bounds = np.cumsum([0, *sizes]).tolist()
    how = beginning(3, self_play(bounds[-1], 2), 1)

    def played(start, stop):
        venv, share = make(GAME, stop - start), how.share(start, stop)
        roster = [Versioned(venv.spec)]
        return play_steps(venv, roster, share.seating, share.carry(venv, roster), length)

    whole = played(0, bounds[-1])
    parts = side_by_side([played(start, stop) for start, stop in pairwise(bounds)])
    for moment, joined in zip(whole, parts, strict=True):
        assert alike(vars(moment) | moment.extras, vars(joined) | joined.extras)


def test_workers_play_what_one_process_plays_one_generation_behind(two):
    one = WorkerCollector(GAME, 5, 1, 6)
    played = [collected(how, Versioned(make(GAME, 1).spec), 5) for how in (Collector(make(GAME, 5), 6), one, two)]
    one.close()
    for generation, (plain, a, b) in enumerate(zip(*played, strict=True)):
        assert equal(a, b)
        new = a.acting[a.recorded : -1] & (a.seating[a.recorded :] == 0)
        assert (a.extras["version"][a.recorded :][new] == max(0, generation - 1)).all()
        assert (plain.extras["version"][plain.recorded :][new] == generation).all()
        assert np.array_equal(plain.action, a.action) and np.array_equal(plain.obs, a.obs)


@pytest.mark.parametrize("kill", [(), (0, 4)])
def test_workers_end_the_open_episodes_as_one_process_does(two, kill):
    def closed(collector):
        """Play three generations, and three more of the open episodes."""
        collector.open([Versioned(make(GAME, 1).spec)], RANDOM, beginning(7, self_play(5, 2), 2, DRAW))
        taken = []
        for generation in range(6):
            collector.begin(closing=generation > 2)
            if generation in kill and isinstance(collector, WorkerCollector):
                collector._workers[0]._process.kill()
            taken.append(collector.take())
        return taken

    here, there = closed(Collector(make(GAME, 5), 6)), closed(two)
    assert all(equal(a, b) for a, b in zip(here, there, strict=True))
    assert here[2].played.all() and not here[5].played[here[5].recorded :].any()


def test_a_worker_that_dies_is_replaced_and_its_games_are_played_again(two):
    expected = collected(two, Versioned(make(GAME, 1).spec), 5)
    survived = collected(two, Versioned(make(GAME, 1).spec), 5, kill=(0, 3))
    assert all(equal(a, b) for a, b in zip(expected, survived, strict=True))


def test_a_worker_that_dies_again_and_again_ends_the_run():
    with pytest.raises(WorkerDied, match=r"rollout worker 0 of '.*' .environments 0 to 1. died with exit code -9"):
        collected(WorkerCollector(GAME, 5, 2, 6), Mortal(make(GAME, 1).spec), 5)


def test_what_an_agent_raises_in_a_worker_is_said_in_one_sentence():
    with pytest.raises(RunFailed, match=r"rollout worker 0 .* raised ValueError: a stone lay there"):
        collected(WorkerCollector(GAME, 5, 1, 6), Clumsy(make(GAME, 1).spec), 1)


@pytest.mark.processor
def test_one_worker_and_two_give_the_same_bytes_and_so_does_a_resumed_run(tmp_path):
    """One worker plays the whole run; two play its first half, and three the second."""
    train(config(rollout_workers=1), tmp_path / "whole", resume=False)
    train(config(steps=210), tmp_path / "parts", resume=False)
    train(config(rollout_workers=3), tmp_path / "parts", resume=True)
    assert same(tmp_path / "whole", tmp_path / "parts") and len(files(tmp_path / "whole")) >= 4
    train(config(rollout_workers=0), tmp_path / "none", resume=False)
    assert lines(tmp_path / "none" / "metrics.jsonl") != lines(tmp_path / "whole" / "metrics.jsonl")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rollout_workers": 6}, "expected up to 5 rollout_workers"),
        ({"algorithm": {"name": "ippo"}}, "ippo learns from its present policy; set rollout_workers to 0"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        prepare(config(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_workers_cannot_be_added_to_a_run_that_had_none(tmp_path):
    train(config(rollout_workers=0, steps=1, stretch=1), tmp_path / "run", resume=False)
    with pytest.raises(UserError, match="begun with rollout_workers: 0, the config now says 2"):
        train(config(steps=1, stretch=1), tmp_path / "run", resume=True)


def test_keys_of_a_share_are_those_of_the_whole():
    how = beginning(5, self_play(6, 2), 1)
    assert np.array_equal(how.share(2, 5).seeds, fold(5, np.arange(6))[2:5])


def test_a_worker_that_dies_while_it_answers_is_replaced():
    """A batch whose moments do not fit into a pipe: the worker waits in the middle of its answer."""
    taken, collector = [], WorkerCollector(GAME, 600, 1, 12)
    for kill in (False, True):
        collector.open([Versioned(make(GAME, 1).spec)], [], beginning(7, self_play(600, 2), 1))
        collector.begin()
        assert collector._workers[0].connection.poll(60)
        if kill:
            collector._workers[0]._process.kill()
        taken.append(collector.take())
        assert collector.elsewhere > 0
    collector.close()
    assert equal(*taken)


def test_a_run_with_rollout_workers_that_cannot_be_is_told_before_any_member_trains(tmp_path):
    (tmp_path / "a.yaml").write_text("game: openspiel:tic_tac_toe\nalgorithm: {name: ippo}\nrollout_workers: 2\n")
    members = PopulationConfig.model_validate({"members": {"a": {"train": str(tmp_path / "a.yaml")}}})
    with pytest.raises(UserError, match="ippo learns from its present policy; set rollout_workers to 0"):
        check_members(members, tmp_path / "population", resume=False)
