"""Evaluation: a fixed quota of episodes, every seat of every seed, returns put down to who earned them."""

import json

import numpy as np
import pytest

from games.contract import MOST_STEPS
from games.errors import RunFailed
from games.registry import make
from marl.agents.entrants import Entrant
from marl.agents.load import load_entrant
from marl.evaluation.evaluate import evaluate_entrant
from marl.rollout.agent import Random, Stateless
from marl.rollout.loop import Episode, most_steps
from marl.rollout.types import AgentFailed, Decision


class Plays(Stateless):
    """Choose the same action wherever it is legal."""

    def __init__(self, action):
        self.action = action

    def act(self, view, hidden):
        legal = view.action_mask[:, self.action]
        return Decision(np.where(legal, self.action, view.action_mask.argmax(1))), None


def entrant(agent, digest="1" * 64):
    return Entrant("x", "x", digest, agent, draws=int(digest[:16], 16))


COOPERATE, DEFECT = entrant(Plays(0)), entrant(Plays(1), "2" * 64)


def test_returns_are_the_agents_own_by_seat():
    """Player 0 alone is paid for heads: an agent that always matches earns 1 in seat 0 and -1 in seat 1."""
    venv = make("openspiel:matrix_mp", 3)
    found = evaluate_entrant(venv, COOPERATE, COOPERATE, seeds=4, key=1)
    assert found.return_mean == [1.0, -1.0] and found.return_ci95 == [0.0, 0.0]
    assert found.episodes == 8 and found.length_mean == 1.0
    assert evaluate_entrant(venv, COOPERATE, DEFECT, seeds=4, key=1).return_mean == [-1.0, 1.0]


def test_of_team_against_team_the_agent_holds_a_team():
    """At tag the chasers who stand still catch nobody: who does so is paid -1 a seat, and 3 as the runner."""
    found = evaluate_entrant(make("tag(chasers=3, turns=4)", 2), COOPERATE, COOPERATE, seeds=5, key=1)
    assert found.episodes == 10 and found.return_mean == [-1.0, -1.0, -1.0, 3.0]
    hunter = load_entrant("uct(simulations=20)", make("tag(chasers=3, turns=4)", 1).spec)
    caught = evaluate_entrant(make("tag(chasers=3, turns=4)", 2), hunter, COOPERATE, seeds=5, key=1)
    assert caught.return_mean[0] == caught.return_mean[1] == caught.return_mean[2] > -1.0  # paid alike, as a team


@pytest.mark.parametrize(
    "returns, half",
    [
        ([1.0, 2.0], 12.7062 * 0.5),  # t(0.975) of 1, 2 and 4 degrees of freedom, and the standard error by hand
        ([1.0, 3.0, 5.0], 4.302653 * np.sqrt(4 / 3)),
        ([0.0, 0.0, 0.0, 0.0, 10.0], 2.776445 * 2.0),
        ([3.0], None),
    ],
)
def test_the_interval_is_students_over_seeds(returns, half, monkeypatch):
    """Both seats of a seed are paid the same, so a second seat adds nothing to what the seeds say."""

    def episodes(venv, roster, streams, seeds, seatings, **_):
        for index in range(len(seeds)):
            paid = np.full(2, returns[index // 2])
            yield Episode(index, paid, rounding=0, length=1, truncated=False, cut=False, forfeits=(), moves=paid)

    monkeypatch.setattr("marl.evaluation.evaluate.play_episodes", episodes)
    found = evaluate_entrant(make("openspiel:matrix_pd", 1), COOPERATE, DEFECT, seeds=len(returns), key=1)
    assert found.return_mean == pytest.approx([np.mean(returns)] * 2)
    expected = [half] * 2 if half is None else pytest.approx([half] * 2, rel=1e-5)
    assert found.to_json()["return_ci95"] == expected


def test_the_defector_is_paid_and_the_cooperator_is_not():
    venv = make("openspiel:matrix_pd", 2)
    assert evaluate_entrant(venv, DEFECT, COOPERATE, seeds=3, key=1).return_mean == [10.0, 10.0]
    assert evaluate_entrant(venv, COOPERATE, DEFECT, seeds=3, key=1).return_mean == [0.0, 0.0]


def test_against_nobody_it_plays_itself():
    found = evaluate_entrant(make("openspiel:matrix_mp", 2), COOPERATE, None, seeds=5, key=1)
    assert found.episodes == 5 and found.return_mean == [1.0, -1.0]


class Notes(Plays):
    """Note which seats it was asked to play."""

    def __init__(self, action):
        super().__init__(action)
        self.seats = []

    def act(self, view, hidden):
        self.seats += view.player.tolist()
        return super().act(view, hidden)


def test_an_opponent_holds_all_other_seats():
    """Three players of goofspiel with two cards decide once each: three rotations, two seeds."""
    venv = make("openspiel:goofspiel(players=3,num_cards=2)", 4)
    one, other = Notes(0), Notes(0)
    found = evaluate_entrant(venv, entrant(one), entrant(other), seeds=2, key=1)
    assert found.episodes == 6
    counts = [np.bincount(agent.seats, minlength=3).tolist() for agent in (one, other)]
    assert counts[0][0] > 0 and counts == [[counts[0][0]] * 3, [2 * counts[0][0]] * 3]


class Raises(Stateless):
    def act(self, view, hidden):
        raise ZeroDivisionError("oh")


class Cheats(Stateless):
    def act(self, view, hidden):
        return Decision(np.full(len(view), 99)), None


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (Raises(), "the agent 'x' raised ZeroDivisionError: oh"),
        (Cheats(), "the agent 'x' moved illegally: it chose 99"),
    ],
)
def test_what_an_agent_breaks_is_said_of_it(agent, said):
    venv = make("openspiel:tic_tac_toe", 2)
    with pytest.raises(RunFailed, match=said):
        evaluate_entrant(venv, load_entrant("random", venv.spec), entrant(agent), seeds=3, key=1)


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("exit", "raised SystemExit: 0, as player 1; mend it, or leave it out"),
        ("os-exit", "stopped because its process ended with exit code 0, as player 1"),
        ("interrupt", "raised KeyboardInterrupt, as player 1"),
        ("raise, where=begin", "raised ValueError: no, as an episode began"),
    ],
)
def test_a_foreign_agent_that_fails_is_named(way, said):
    venv = make("openspiel:tic_tac_toe", 2)
    against = load_entrant(f"tests.bots:Bad(how={way})", venv.spec)
    with pytest.raises(RunFailed) as failed:
        evaluate_entrant(venv, load_entrant("random", venv.spec), against, seeds=3, key=1)
    against.rest()
    assert str(failed.value).startswith(f"the agent 'tests.bots:Bad(how={way})' {said}") and failed.value.exit_code == 1


def test_a_slow_batch_is_no_breach():
    """A batch that takes too long is asked again row by row, outside tournaments, too."""

    class Slow(Stateless):
        def act(self, view, hidden):
            if len(view) > 1:
                raise AgentFailed("timeout", "took longer than 60 s to answer")
            return Decision(view.action_mask.argmax(1)), None

    venv = make("openspiel:tic_tac_toe", 4)
    assert evaluate_entrant(venv, entrant(Slow()), None, seeds=4, key=1).episodes == 4


def test_an_episode_that_does_not_end_is_cut():
    venv = make("tests.games.endless:Ring", 3)
    found = evaluate_entrant(venv, entrant(Plays(0)), None, seeds=5, key=1, max_steps=30)
    assert (found.episodes, found.cut, found.length_mean) == (5, 5, 30)
    assert found.to_json()["cut"] == 5 and found.to_json()["cut_after"] == 30
    assert found.note("self").startswith("5 of 5 episodes against self had not ended after 30 steps")
    ended = evaluate_entrant(venv, entrant(Plays(1)), None, seeds=5, key=1, max_steps=30)
    assert (ended.cut, ended.note("self"), "cut" in ended.to_json()) == (0, "", False)


def test_every_game_has_a_most_number_of_steps():
    assert most_steps(make("openspiel:tic_tac_toe", 1).spec) == 9
    assert most_steps(make("tests.games.endless:Ring", 1).spec) == MOST_STEPS


class Batched(Stateless):
    """Raise for a batch, and for no row alone."""

    def act(self, view, hidden):
        if len(view) > 1:
            raise MemoryError("too many")
        return Decision(view.action_mask.argmax(1)), None


class Widens(Stateless):
    def initial_hidden(self, rows):
        return np.zeros((rows, 2))

    def act(self, view, hidden):
        return Decision(view.action_mask.argmax(1)), np.zeros((len(view), 3))


class Never(Stateless):
    def initial_hidden(self, rows):
        raise LookupError("nothing")


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (Batched(), "agent 'x' raised MemoryError: too many"),
        (Widens(), r"agent 'x' raised ValueError: expected hidden states of shape \(\d, 2\), got \(\d, 3\)"),
        (Never(), "agent 'x' raised LookupError: nothing, as an episode began"),
    ],
)
def test_an_agent_answers_for_its_memory_and_its_batches(agent, said):
    venv = make("openspiel:tic_tac_toe", 4)
    with pytest.raises(RunFailed, match=said):
        evaluate_entrant(venv, entrant(agent), None, seeds=4, key=1)


def test_the_same_whatever_the_batch():
    results = []
    for num_envs in (1, 5, 32):
        venv = make("openspiel:leduc_poker", num_envs)
        agent, other = entrant(Random(venv.spec)), entrant(Random(venv.spec), "2" * 64)
        results.append(evaluate_entrant(venv, agent, other, seeds=20, key=3))
    assert results[0] == results[1] == results[2]
    assert evaluate_entrant(venv, agent, other, seeds=20, key=4) != results[0]


def test_the_interval_is_the_textbooks_and_covers_the_truth():
    """Random against itself at tic-tac-toe: the first player is paid +0.2970 (58.5 % wins, 28.8 % losses)."""
    venv = make("openspiel:tic_tac_toe", 64)
    found = evaluate_entrant(venv, load_entrant("random", venv.spec), None, seeds=1000, key=1)
    assert abs(found.return_mean[0] - 0.297) < 2 * found.return_ci95[0]
    spread = np.sqrt(0.585 + 0.288 - 0.297**2)
    assert found.return_ci95[0] == pytest.approx(1.96 * spread / np.sqrt(1000), rel=0.05)
    assert found.return_mean[1] == -found.return_mean[0]


def test_one_seed_has_no_interval():
    found = evaluate_entrant(make("openspiel:matrix_mp", 1), COOPERATE, DEFECT, seeds=1, key=1)
    assert found.return_ci95 == [np.inf, np.inf]
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["return_ci95"] == [None, None]


def test_a_few_seeds_have_a_wide_interval():
    """Returns of +1 and -1 with mean m over n seeds: the unbiased variance is (1 - m^2) n / (n - 1)."""
    venv = make("openspiel:matrix_mp", 4)
    found = evaluate_entrant(venv, load_entrant("random", venv.spec), None, seeds=5, key=2)
    (m, _), (ci95, _) = found.return_mean, found.return_ci95
    assert abs(m) < 1 and ci95 == pytest.approx(2.776445 * np.sqrt((1 - m**2) * (5 / 4) / 5), abs=1e-6)
