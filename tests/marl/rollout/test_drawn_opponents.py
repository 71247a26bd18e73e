"""Opponents are drawn by the episode's seed: by weight, in each seat, and the same whatever else is played."""

from collections import Counter

import numpy as np
import pytest

from games.keys import fold, uniform
from games.registry import make
from marl.agents.load import load_entrant
from marl.rollout.agent import Random
from marl.rollout.loop import Carry, rollout
from marl.rollout.seating import EMPTY, Draw, self_play
from marl.rollout.training_episodes import Episodes, opened
from marl.training.collectors import Collector, WorkerCollector, beginning
from tests.games.quits import Quits

SEEDS = fold(5, np.arange(20_000))
GAME = "tests.games.quits:Quits"
QUITS = make(GAME, 1).spec
SHORT, LONG = "always_defect", "always_cooperate"  # they play 2 moves and 40
EVEN = Draw(1, np.ones((2, 2)), 1.0, (0,), np.arange(2))
LENGTH = 22  # steps of a rollout


def near(found: float, expected: float) -> bool:
    """Whether a share of the SEEDS is as expected, within four standard errors."""
    return abs(found - expected) <= 4 * np.sqrt(expected * (1 - expected) / len(SEEDS))


def test_the_opponent_is_drawn_by_the_number_that_the_seed_names():
    seating = Draw(1, np.tile([1.0, 3.0, 0.0, 4.0], (2, 1)), 1.0, (0,), np.arange(2)).seat(
        self_play(len(SEEDS), 2), SEEDS
    )
    u = uniform(fold(SEEDS, 2_838_637_311))  # the CRC-32 of "opponent"
    expected = 1 + np.searchsorted([1 / 8, 4 / 8, 4 / 8, 1.0], u, side="right")
    assert np.array_equal(seating.max(1), expected)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("players", [1, 2, 4])
def test_share_seats_and_weights(players, share):
    """The share is of episodes; the learner keeps one seat, and one opponent has all others; nothing is correlated."""
    weights = np.array([2.0, 1.0, 5.0])
    seating = Draw(1, np.tile(weights, (players, 1)), share, (0,), np.arange(players)).seat(
        self_play(len(SEEDS), players), SEEDS
    )
    if players == 1:
        assert not seating.any()
        return
    mixed = seating[(seating != 0).any(1)]
    assert near(len(mixed) / len(SEEDS), share)
    assert ((mixed == 0).sum(1) == 1).all() and all(len(set(row)) == 2 for row in mixed[:100].tolist())
    for seat in range(players):
        for entry, weight in enumerate(weights / weights.sum(), start=1):
            held = (mixed[:, seat] == 0) & (mixed.max(1) == entry)
            assert near(held.sum() / len(SEEDS), share * weight / players)


def test_weights_by_the_seat_that_the_learner_keeps():
    """An opponent of weight 0 in a seat is never met there; without weights by seat all is drawn as before."""
    weights = np.array([[1.0, 3.0, 0.0], [0.0, 2.0, 6.0]])
    own = self_play(len(SEEDS), 2)
    seating = Draw(1, weights, 1.0, (0,), np.arange(2)).seat(own, SEEDS)
    for seat, shares in enumerate(weights / weights.sum(1, keepdims=True)):
        kept = seating[:, seat] == 0
        found = [(seating[kept].max(1) == entry).mean() for entry in (1, 2, 3)]
        assert near(kept.mean(), 0.5) and np.abs(found - shares).max() < 0.02
        assert np.array_equal(np.array(found) == 0, shares == 0)
        plain = Draw(1, np.tile(weights[seat], (2, 1)), 1.0, (0,), np.arange(2)).seat(own, SEEDS)
        assert np.array_equal(plain[kept], seating[kept])


def test_a_team_is_kept_or_taken_whole():
    """Three against one: who keeps a seat keeps its team, so the team of three is kept three times as often."""
    side_of = np.array([0, 1, 0, 0])
    seating = Draw(1, np.ones((4, 1)), 1.0, (0,), side_of).seat(self_play(len(SEEDS), 4), SEEDS)
    kept_by = (seating == 0).astype(int)
    assert {tuple(row) for row in kept_by.tolist()} == {(1, 0, 1, 1), (0, 1, 0, 0)}
    assert near(kept_by[:, 0].mean(), 0.75)


def test_only_leaders_keep_seats_each_as_often():
    """Past selves keep none; two learners at one table keep theirs by halves."""
    own = np.tile([[0, 1], [2, 0]], (len(SEEDS) // 2, 1))
    seating = Draw(3, np.ones((2, 1)), 1.0, (0,), np.arange(2)).seat(own, SEEDS)
    assert seating[:2].tolist() == [[0, 3], [3, 0]]
    seating = Draw(3, np.ones((2, 1)), 1.0, (0, 1, 2), np.arange(2)).seat(own, SEEDS)
    assert ((seating == 3).sum(1) == 1).all() and near((seating[:, 0] == 3).mean(), 0.5)


def first_seatings(num_envs: int, workers: int, episodes: int) -> list[list[tuple[int, ...]]]:
    """Play until so many episodes have opened; return the seatings of each environment's, in order."""
    if workers:
        collector: Collector = WorkerCollector(GAME, num_envs, workers, LENGTH)
    else:
        collector = Collector(Quits(num_envs), LENGTH)
    actor, *opponents = (load_entrant(name, QUITS) for name in (LONG, SHORT, LONG))
    collector.open([actor.agent], opponents, beginning(7, self_play(num_envs, 2), 3, EVEN))
    found: list[list[tuple[int, ...]]] = [[] for _ in range(num_envs)]
    while sum(map(len, found)) < episodes:
        collector.begin()
        trajectory = collector.take()
        first = trajectory.first[:-1].copy()
        first[: trajectory.recorded] = False
        for t, env in np.argwhere(first).tolist():
            found[env].append(tuple(trajectory.seating[t, env].tolist()))
        held = trajectory.seating[1:][~trajectory.first[1:-1]]
        assert np.array_equal(held, trajectory.seating[:-1][~trajectory.first[1:-1]])  # for whole episodes
    collector.close()
    return found


@pytest.fixture(scope="module")
def alone() -> list[tuple[int, ...]]:
    """The seatings of 2,000 episodes of one environment."""
    return first_seatings(1, 0, 2_000)[0]


@pytest.mark.parametrize("num_envs, workers", [(1, (1,)), (8, (2,)), (64, (1, 2))])
def test_short_and_long_opponents_hold_equal_numbers_of_episodes(num_envs, workers, alone):
    """Of the episodes opened, whose lengths are 2 and 40: who is drawn does not depend on who ends sooner.

    Episode k of environment e is the same episode for any number of environments and of workers: it has the same seed,
    and the learner the same opponent in the same seat.
    """
    here = [alone] if num_envs == 1 else first_seatings(num_envs, 0, 2_000)
    met = Counter(max(seating) for row in here for seating in row)
    total = sum(met.values())
    assert total >= 2_000 and set(met) == {1, 2} and abs(met[1] / total - 0.5) <= 0.03
    for env, row in enumerate(here):
        root = fold(7, env)
        seeds = np.append(root, fold(root, np.arange(1, len(row))))[: len(row)]
        assert EVEN.seat(self_play(len(row), 2), seeds).tolist() == [list(seating) for seating in row]
    both = min(len(alone), len(here[0]))
    assert here[0][:both] == alone[:both]
    for count in workers:
        there = first_seatings(num_envs, count, 100 if num_envs == 1 else 2_000)
        assert there == ([alone[: len(there[0])]] if num_envs == 1 else here)


def test_an_episode_keeps_its_opponent_where_no_other_opens():
    """With `closing`, an environment whose episode is over becomes idle; the others keep their holders."""
    venv, streams = Quits(8), fold(1, np.arange(3))
    roster = [load_entrant(name, QUITS).agent for name in (LONG, SHORT, LONG)]
    carry = Carry(venv, roster, streams, fold(7, np.arange(8)))
    before = rollout(venv, roster, self_play(8, 2), carry, 5, EVEN)
    after = rollout(venv, roster, self_play(8, 2), carry, 45, EVEN, closing=True)
    held = after.seating[after.recorded :]
    assert np.array_equal(held[0], before.seating[-1]) or before.first[-1].any()
    assert (held[-1] == EMPTY).all() and set(np.unique(held)) == {EMPTY, 0, 1, 2}
    for env in range(8):
        assert len({tuple(row) for row in held[:, env].tolist()}) <= 2


def test_episodes_are_followed_from_recording_to_recording():
    """Whole and in pieces: the same episodes open and end, with their returns and lengths."""

    def followed(lengths):
        venv = Quits(4)
        roster = [load_entrant(LONG, QUITS).agent, load_entrant(SHORT, QUITS).agent, Random(QUITS)]
        carry, episodes = Carry(venv, roster, fold(1, np.arange(3)), fold(9, np.arange(4))), Episodes(4, 2)
        played = [rollout(venv, roster, self_play(4, 2), carry, length, EVEN) for length in lengths]
        ended = [episodes.add(trajectory) for trajectory in played]
        begun = np.concatenate([opened(trajectory) for trajectory in played])
        return begun, *(np.concatenate([getattr(part, name) for part in ended]) for name in vars(ended[0]))

    whole, pieces = followed([120]), followed([50, 1, 2, 67])
    for one, other in zip(whole, pieces, strict=True):
        assert np.array_equal(one, other)
    begun, seating, returns, rounding, length = whole
    assert len(begun) - len(seating) in range(5) and (length == 2).any()  # up to one is open in each environment
    short = seating.max(1) == 1  # who chose 1 loses, in its second move
    assert (length[short] == 2).all() and not rounding.any()
    assert (returns[short] == np.where(seating[short] == 0, 1, -1)).all()


def test_idle_environments_have_no_episodes():
    venv, roster = Quits(2), [Random(QUITS)]
    carry = Carry(venv, roster, fold(1, np.arange(1)), fold(9, np.arange(2)))
    episodes = Episodes(2, 2)
    trajectory = rollout(venv, roster, self_play(2, 2), carry, 2)
    episodes.add(trajectory)
    assert len(opened(trajectory)) == 2
    trajectory = rollout(venv, roster, self_play(2, 2), carry, 60, closing=True)
    assert len(opened(trajectory)) == 0 and len(episodes.add(trajectory).length) <= 2
