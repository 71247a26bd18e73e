"""The one loop: the same games whatever the batch, every decision handed over once, forfeits that cost one game."""

import numpy as np
import pytest

from games.contract import Spec
from games.keys import fold
from games.registry import make
from marl.agent import Mcts, Random, Stateless
from marl.algorithms.ippo import Ippo
from marl.rollout import Carry, episodes, rollout
from marl.types import Decision

STREAMS = np.array([11, 12, 13], np.uint64)


def policy(spec: Spec):
    return Ippo(Ippo.Config(hidden=(16,)), spec, key=3, total_steps=1000, device="cpu").agent()


def played(game, agents, num_envs, seeds=6, **options):
    """Play every seed in two rotations and return the games by index."""
    venv = make(game, num_envs)
    roster = [agent(venv.spec) for agent in agents]
    players = np.arange(venv.spec.num_players)
    seatings = np.stack([(players + k) % len(roster) for k in range(2)] * seeds)
    found = list(episodes(venv, roster, STREAMS, np.repeat(fold(5, np.arange(seeds)), 2), seatings, **options))
    assert sorted(e.index for e in found) == list(range(2 * seeds))
    return {e.index: e for e in found}


@pytest.mark.parametrize(
    "game, agents",
    [
        ("openspiel:tic_tac_toe", [policy, lambda spec: Mcts(spec, simulations=5)]),
        ("openspiel:connect_four", [policy, Random]),
        ("openspiel:leduc_poker", [policy, Random]),
        ("openspiel:goofspiel(num_cards=4)", [policy, Random]),
        ("openspiel:kuhn_poker(players=3)", [policy, Random]),
    ],
)
def test_the_same_games_whatever_the_batch(game, agents):
    one, eight, many = (played(game, agents, num_envs) for num_envs in (1, 8, 64))
    for index, episode in one.items():
        for other in (eight[index], many[index]):
            assert episode.moves.tolist() == other.moves.tolist()
            assert episode.returns.tolist() == other.returns.tolist()
            assert episode.length == other.length == len(episode.moves)


def collect(game, lengths, seed=1):
    """Roll out in pieces; return the decisions handed over, in order, by (environment, player)."""
    venv = make(game, 3)
    roster = [policy(venv.spec)]
    seating = np.zeros((3, venv.spec.num_players), np.int64)
    carry = Carry(venv, roster, STREAMS[:1], fold(seed, np.arange(3)))
    found: dict = {}
    steps = 0
    for length in lengths:
        trajectory = rollout(venv, roster, seating, carry, length)
        steps += trajectory.steps
        learn = trajectory.learnable({0})
        assert not trajectory.learnable({1}).any()
        for t, e, p in np.argwhere(learn):
            obs = trajectory.obs[trajectory.index[t, e, p]]
            decision = (obs.tobytes(), int(trajectory.action[t, e, p]), float(trajectory.extras["log_prob"][t, e, p]))
            found.setdefault((e, p), []).append(decision)
    return found, steps


@pytest.mark.parametrize("game", ["openspiel:tic_tac_toe", "openspiel:kuhn_poker(players=3)", "openspiel:leduc_poker"])
def test_every_decision_is_handed_over_once(game):
    whole, steps = collect(game, [60])
    pieces, same_steps = collect(game, [1, 2, 3, 4, 5, 20, 25])
    assert steps == same_steps
    assert whole.keys() == pieces.keys()
    for seat, decisions in whole.items():
        assert decisions == pieces[seat]


def test_a_decision_whose_successor_is_unknown_waits():
    venv = make("openspiel:tic_tac_toe", 1)
    carry = Carry(venv, [policy(venv.spec)], STREAMS[:1], np.array([1], np.uint64))
    trajectory = rollout(venv, [policy(venv.spec)], np.zeros((1, 2), np.int64), carry, 3)
    assert trajectory.acting[:, 0].tolist() == [[True, False], [False, True], [True, False], [False, True]]
    assert trajectory.complete[:, 0].tolist() == [[True, False], [False, True], [False, False]]
    after = rollout(venv, [policy(venv.spec)], np.zeros((1, 2), np.int64), carry, 1)
    assert after.complete[:, 0].tolist() == [[True, False], [False, False]] and after.steps == 1


class Raises(Stateless):
    """Raise wherever a key is odd."""

    def __init__(self, spec):
        self.random = Random(spec)

    def act(self, view, hidden):
        if (view.key % np.uint64(5) == 0).any():
            raise RuntimeError("odd")
        return self.random.act(view, hidden)


class Cheats(Raises):
    """Choose an illegal action wherever a key is odd."""

    def act(self, view, hidden):
        decision, _ = self.random.act(view, hidden)
        return Decision(np.where(view.key % np.uint64(5) == 0, 99, decision.action)), None


@pytest.mark.parametrize("agent, how", [(Raises, "agent_error"), (Cheats, "illegal_action")])
def test_a_forfeit_costs_one_game(agent, how):
    one, many = (played("openspiel:tic_tac_toe", [agent, Random], n, seeds=20, forfeits=True) for n in (1, 16))
    lost = {index for index, episode in one.items() if episode.forfeit}
    assert 0 < len(lost) < len(one)
    for index, episode in one.items():
        assert episode.moves.tolist() == many[index].moves.tolist()
        assert episode.forfeit == many[index].forfeit
        if episode.forfeit:
            assert episode.forfeit.how == how and episode.forfeit.player == index % 2


def test_without_forfeits_an_agents_error_is_raised():
    with pytest.raises(RuntimeError, match="odd"):
        played("openspiel:tic_tac_toe", [Raises, Random], 4)


class Counts:
    """Remember, in its hidden state alone, how many decisions it has taken, and report it."""

    def initial_hidden(self, rows):
        return np.zeros(rows, np.int64)

    def act(self, view, hidden):
        return Decision(view.action_mask.argmax(1), {"count": hidden}), hidden + 1


@pytest.mark.parametrize("game", ["openspiel:tic_tac_toe", "openspiel:leduc_poker", "openspiel:goofspiel(num_cards=4)"])
def test_hidden_states_advance_at_own_decisions_and_are_zeroed_at_first(game):
    venv = make(game, 3)
    roster = [Counts()]
    carry = Carry(venv, roster, STREAMS[:1], fold(1, np.arange(3)))
    trajectory = rollout(venv, roster, np.zeros((3, 2), np.int64), carry, 40)
    count = np.zeros((3, 2), np.int64)
    for t in range(40):
        count[trajectory.first[t]] = 0
        acting = trajectory.acting[t]
        assert (trajectory.extras["count"][t][acting] == count[acting]).all()
        count += acting
