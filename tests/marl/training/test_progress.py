"""Returns and lengths of training episodes: against a plain loop, across trajectories, with idle environments."""

from dataclasses import replace

import numpy as np
import pytest

from games.registry import make
from marl.rollout.agent import Random
from marl.rollout.seating import EMPTY, by_turns, self_play
from marl.rollout.training_episodes import Episodes
from marl.training.collectors import Collector, beginning
from marl.training.progress import EPISODES, LENGTH, RETURN, in_words, metrics_of


class Loop:
    """Sum up episodes one step at a time."""

    def __init__(self, num_envs, num_players):
        self.paid, self.length = np.zeros((num_envs, num_players)), np.zeros(num_envs, int)

    def add(self, trajectory):
        """Return what the episodes that end paid, their lengths, and who held their seats."""
        found = []
        for e in range(len(self.length)):
            for t in range(trajectory.recorded, len(trajectory.reward)):
                if trajectory.first[t + 1, e] or (trajectory.seating[t, e] == EMPTY).all():
                    continue
                self.paid[e] += trajectory.reward[t, e]
                self.length[e] += 1
                if (trajectory.terminated[t + 1, e] | trajectory.truncated[t + 1, e]).all():
                    found.append((self.paid[e].copy(), self.length[e], trajectory.seating[t, e]))
                    self.paid[e], self.length[e] = 0, 0
        return found


def trajectories(game, seating, length, closing):
    """Yield the trajectories of random players: three, and then those that only play the open episodes on."""
    venv = make(game, len(seating))
    roster = [Random(venv.spec) for _ in range(seating.max() + 1)]
    collector = Collector(venv, length)
    collector.open(roster, [], beginning(7, seating, len(roster)))
    for k in range(3 + closing):
        collector.begin(closing=k >= 3)
        yield collector.take()


GAMES = [
    ("openspiel:tic_tac_toe", 5, 0),
    ("openspiel:tic_tac_toe", 2, 6),  # an episode spans several trajectories
    ("openspiel:leduc_poker", 4, 3),
    ("matrix(game=prisoners_dilemma, steps=3)", 8, 2),
    ("matrix(game=prisoners_dilemma, steps=1)", 4, 0),
    ("spread(horizon=6)", 4, 3),
    ("foraging(horizon=9)", 16, 2),
]


@pytest.mark.parametrize(("game", "length", "closing"), GAMES)
def test_as_a_plain_loop_sums_them_up(game, length, closing):
    spec = make(game, 1).spec
    seating = by_turns(self_play(5, spec.num_players), [0], 1, 2, 0.5)
    episodes, loop = Episodes(5, spec.num_players), Loop(5, spec.num_players)
    ended = 0
    for trajectory in trajectories(game, seating, length, closing):
        found, metrics = loop.add(trajectory), metrics_of(episodes.add(trajectory), spec, [0])
        ended += len(found)
        assert metrics.pop(EPISODES) == len(found)
        wanted = {LENGTH: [n for _, n, _ in found]}
        if spec.payoff == "team":
            wanted[RETURN] = [paid.mean() for paid, _, _ in found]
        else:
            for p in range(spec.num_players):
                wanted[f"{RETURN}.player_{p}"] = [paid[p] for paid, _, who in found if who[p] == 0]
        assert metrics == pytest.approx({name: np.mean(values) for name, values in wanted.items() if values})
    assert ended > 0


def test_each_learner_of_several_has_its_return():
    """Their seats differ between environments, so a player's return would mix them."""
    game = "matrix(game=prisoners_dilemma, steps=3)"
    seating = np.array([[0, 1], [1, 0], [0, 1]])
    spec, episodes, loop = make(game, 1).spec, Episodes(3, 2), Loop(3, 2)
    for trajectory in trajectories(game, seating, 8, 0):
        found, metrics = loop.add(trajectory), metrics_of(episodes.add(trajectory), spec, [0, 1])
        for k in (0, 1):
            mean = np.mean([paid[who == k] for paid, _, who in found])
            assert metrics[f"{RETURN}.learner_{k}"] == pytest.approx(mean)


def test_seats_of_others_do_not_count():
    game = "matrix(game=prisoners_dilemma, steps=3)"
    seating = np.array([[0, 1], [1, 1], [2, 0]])
    for trajectory in trajectories(game, seating, 4, 0):
        ended = Episodes(3, 2).add(trajectory)
        metrics, alone = (metrics_of(ended, make(game, 1).spec, [entry]) for entry in (0, 3))
        assert metrics[EPISODES] in (1, 2) and alone == {EPISODES: 0}


def test_the_number_of_environments_of_a_trajectory_does_not_matter():
    """Each environment's sums are its own, so workers change nothing."""
    whole, parts = Episodes(6, 2), [Episodes(3, 2) for _ in range(2)]
    for trajectory in trajectories("openspiel:leduc_poker", self_play(6, 2), 5, 0):
        returns = whole.add(trajectory).returns
        halves = []
        for part, envs in zip(parts, (slice(0, 3), slice(3, 6)), strict=True):
            names = ("terminated", "truncated", "first", "reward", "seating")
            halves.append(part.add(replace(trajectory, **{n: getattr(trajectory, n)[:, envs] for n in names})).returns)
        assert sorted(map(bytes, np.concatenate(halves))) == sorted(map(bytes, returns))


def test_in_words():
    assert in_words({EPISODES: 0}) == "" and in_words({RETURN: -65.25, LENGTH: 3}) == "return -65.2"
    assert in_words({f"{RETURN}.player_{p}": p / 2 for p in range(3)}) == "return +0 +0.5 +1"
    assert in_words({f"{RETURN}.player_{p}": p for p in range(5)}) == "return +2"  # of many, their mean
