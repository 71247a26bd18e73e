"""The one loop: the same games whatever the batch, every decision handed over once, forfeits that cost one game."""

import numpy as np
import pytest

from games.contract import Array, Discrete, Spec
from games.keys import fold, fold_one
from games.registry import make
from games.vector import Vector
from marl.agents.mcts import Mcts
from marl.algorithms.policy_gradient.ippo import Ippo
from marl.rollout.agent import Random, Stateless
from marl.rollout.loop import Carry, play_episodes, rollout
from marl.rollout.types import Decision

STREAMS = np.array([11, 12, 13], np.uint64)


def policy(spec: Spec):
    return Ippo(Ippo.Config(hidden=(16,)), spec, key=3, total_steps=1000, device="cpu").agent()


def played(game, agents, num_envs, seeds=6, **options):
    """Play every seed in two rotations and return the games by index."""
    venv = make(game, num_envs)
    roster = [agent(venv.spec) for agent in agents]
    players = np.arange(venv.spec.num_players)
    seatings = np.stack([(players + k) % len(roster) for k in range(2)] * seeds)
    found = list(play_episodes(venv, roster, STREAMS, np.repeat(fold(5, np.arange(seeds)), 2), seatings, **options))
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


@pytest.mark.parametrize(
    "game", ["openspiel:connect_four", "openspiel:goofspiel(num_cards=4)", "openspiel:leduc_poker"]
)
def test_games_of_one_seed_open_alike_whoever_plays(game):
    agents = [policy, Random]
    games = played(game, agents, num_envs=5, opening_moves=2)
    for seed in range(6):
        one, other = games[2 * seed], games[2 * seed + 1]
        assert one.moves[:2].tolist() == other.moves[:2].tolist()
    others = played(game, agents[::-1], num_envs=3, opening_moves=2)
    assert [e.moves[:2].tolist() for _, e in sorted(games.items())] == [
        e.moves[:2].tolist() for _, e in sorted(others.items())
    ]
    assert len({str(e.moves[:2].tolist()) for e in games.values()}) > 1
    assert any((games[k].moves[:2].tolist() != e.moves[:2].tolist()) for k, e in played(game, agents, 5).items())


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
    lost = {index for index, episode in one.items() if episode.forfeits}
    assert 0 < len(lost) < len(one)
    for index, episode in one.items():
        assert episode.moves.tolist() == many[index].moves.tolist()
        assert episode.forfeits == many[index].forfeits
        if episode.forfeits:
            (forfeit,) = episode.forfeits
            assert forfeit.how == how and forfeit.player == index % 2


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


class Cut:
    """Two players at once; player 1 may die on the way, and the recording is truncated after three to six steps."""

    spec = Spec("cut", 2, Array((2,)), Discrete(3), "general_sum", "simultaneous", True, False, False)

    def __init__(self, row):
        self.row = row

    def reset(self, seed):
        self.t, self.dies, self.length = 0, fold_one(seed, 1) % 8, 3 + fold_one(seed, 2) % 4
        self._see([0, 1])

    def step(self, actions):
        self.t += 1
        self.row.reward[:] = [actions[0], 10 * actions[1]]
        if self.t == self.dies:
            self.row.terminated[1] = True
        over = self.t == self.length
        alive = [p for p in (0, 1) if not self.row.terminated[p]]
        self.row.truncated[alive] = over
        self._see([0, 1] if over else alive, acting=not over)
        return over

    def _see(self, players, acting=True):
        for p in players:
            self.row.obs[p] = [self.t, p]
            self.row.acting[p] = acting
            self.row.action_mask[p] = acting


def recorded(game, length, num_envs=4, seating=None, seed=1):
    """Roll out once with two agents; return the trajectory and the Spec."""
    venv = Vector(Cut.spec, Cut, num_envs) if game == "cut" else make(game, num_envs)
    roster = [policy(venv.spec), Random(venv.spec)]
    seating = np.zeros((num_envs, venv.spec.num_players), np.int64) if seating is None else seating
    carry = Carry(venv, roster, STREAMS[:2], fold(seed, np.arange(num_envs)))
    return rollout(venv, roster, seating, carry, length), venv.spec


@pytest.mark.parametrize("game", ["cut", "openspiel:leduc_poker", "openspiel:goofspiel(num_cards=4)"])
def test_shapes_and_dtypes(game):
    trajectory, spec = recorded(game, 30)
    seen, done = (31, 4, spec.num_players), (30, 4, spec.num_players)
    rows = (trajectory.index >= 0).sum()
    expected = {
        "obs": ((rows, *spec.observation.shape), "float32"),
        "action_mask": ((rows, spec.num_actions), "bool"),
        "index": (seen, "int64"),
        "acting": (seen, "bool"),
        "terminated": (seen, "bool"),
        "truncated": (seen, "bool"),
        "first": ((31, 4), "bool"),
        "global_state": ((31, 4, 0), "float32"),
        "action": (done, "int64"),
        "reward": (done, "float32"),
        "seating": (done, "int64"),
        "complete": (done, "bool"),
    }
    found = {name: (getattr(trajectory, name).shape, str(getattr(trajectory, name).dtype)) for name in expected}
    assert found == expected
    assert trajectory.extras["log_prob"].shape == done and trajectory.extras["log_prob"].dtype == np.float32
    viewed = trajectory.acting | (trajectory.truncated & ~trajectory.terminated)
    assert ((trajectory.index >= 0) == viewed).all()
    assert sorted(trajectory.index[viewed]) == list(range(rows))
    assert trajectory.steps == (~trajectory.first[1:]).sum()
    legal = trajectory.action_mask[trajectory.index[:-1][trajectory.acting[:-1]]]
    assert legal[np.arange(len(legal)), trajectory.action[trajectory.acting[:-1]]].all()


def test_the_last_views_of_a_cut_game_and_who_was_paid():
    """The index leads to what was seen at that moment by that player, above all at the cut itself."""
    trajectory, _ = recorded("cut", 40)
    t, e, p = np.nonzero(trajectory.index >= 0)
    since = np.maximum.accumulate(np.where(trajectory.first, np.arange(41)[:, None], 0))[t, e]
    assert trajectory.obs[trajectory.index[t, e, p]].tolist() == np.stack([t - since, p], 1).tolist()
    assert (trajectory.truncated & (trajectory.index >= 0)).sum() > 10 and trajectory.terminated.sum() > 10
    assert trajectory.acting.sum(2).min() == 0 and (trajectory.acting.sum(2) == 1).any()
    idle = trajectory.first[1:]
    paid = trajectory.action * [1, 10] * ~idle[:, :, None]
    acting = trajectory.acting[:-1]
    assert (trajectory.reward[acting] == paid[acting]).all() and not trajectory.reward[idle].any()
    known = trajectory.complete
    assert known[:-1][acting[:-1]].all() and not known[~acting].any()


def test_the_same_seeds_give_the_same_trajectory():
    one, twin, other = (recorded("openspiel:leduc_poker", 25, seed=seed)[0] for seed in (1, 1, 2))
    for name in vars(one):
        if name != "extras":
            assert np.array_equal(getattr(one, name), getattr(twin, name)), name
    assert np.array_equal(one.extras["log_prob"], twin.extras["log_prob"])
    assert not np.array_equal(one.action, other.action)


def test_an_environment_does_not_depend_on_the_others():
    """The first two of eight environments are the two of two."""
    two, eight = (recorded("openspiel:leduc_poker", 25, num_envs=n)[0] for n in (2, 8))
    assert np.array_equal(two.action, eight.action[:, :2]) and np.array_equal(two.reward, eight.reward[:, :2])
    assert np.array_equal(two.extras["log_prob"], eight.extras["log_prob"][:, :2])


def test_only_the_decisions_of_ones_own_seats_are_learnable():
    seating = np.array([[0, 1], [1, 0], [0, 0], [1, 1]])
    trajectory, _ = recorded("openspiel:tic_tac_toe", 30, seating=seating)
    mine, theirs = trajectory.learnable({0}), trajectory.learnable({1})
    assert (mine | theirs).sum() == trajectory.complete.sum() and not (mine & theirs).any()
    assert not mine[:, seating != 0].any() and mine.any(0).tolist() == (seating == 0).tolist()
    assert (trajectory.extras["log_prob"][mine] < 0).any() and not trajectory.extras["log_prob"][theirs].any()


class Notes(Stateless):
    """Note who was asked to decide; play the first legal action."""

    def __init__(self):
        self.asked = []

    def act(self, view, hidden):
        self.asked += list(zip(view.row.tolist(), view.player.tolist(), view.first.tolist(), strict=True))
        return Decision(view.action_mask.argmax(1)), None


def test_seatings_are_respected():
    """Playing the first empty square, x wins at its fourth move: four decisions for x, three for o, in each game."""
    venv, roster = make("openspiel:tic_tac_toe", 1), [Notes(), Notes(), Notes()]
    seatings = np.array([[0, 1], [2, 0], [1, 2]])
    found = list(play_episodes(venv, roster, STREAMS, fold(1, np.arange(3)), seatings))
    assert [episode.moves[:, 0].tolist()[::2] for episode in found] == [[0, 2, 4, 6]] * 3
    assert [episode.returns.tolist() for episode in found] == [[1, -1]] * 3
    x, o = [(0, 0, k == 0) for k in range(4)], [(1, 1, k == 0) for k in range(3)]
    assert [agent.asked for agent in roster] == [x + o, o + x, x + o]


def test_who_takes_over_from_an_opening_begins():
    """Three moves are nobody's; of the rest each player's first decision is its agent's first."""
    venv, roster = make("openspiel:connect_four", 3), [Notes(), Notes()]
    seatings = np.tile([0, 1], (7, 1))
    found = list(play_episodes(venv, roster, STREAMS[:2], fold(1, np.arange(7)), seatings, opening_moves=3))
    assert sum(len(agent.asked) for agent in roster) == sum(episode.length - 3 for episode in found)
    for agent in roster:
        assert sum(first for *_, first in agent.asked) == 7


def test_more_environments_than_episodes():
    venv = make("openspiel:tic_tac_toe", 8)
    roster = [Notes()]
    found = list(play_episodes(venv, roster, STREAMS[:1], fold(1, np.arange(3)), np.zeros((3, 2), np.int64)))
    assert sorted(episode.index for episode in found) == [0, 1, 2]
    assert {row // 2 for row, *_ in roster[0].asked} == {0, 1, 2}  # the other environments ask nobody


def test_no_episodes_at_all():
    venv = make("openspiel:tic_tac_toe", 2)
    assert list(play_episodes(venv, [Notes()], STREAMS[:1], fold(1, np.arange(0)), np.zeros((0, 2), np.int64))) == []


def test_a_cut_episode_says_so():
    venv = Vector(Cut.spec, Cut, 3)
    found = list(
        play_episodes(venv, [Random(Cut.spec)], STREAMS[:1], fold(1, np.arange(10)), np.zeros((10, 2), np.int64))
    )
    assert all(episode.truncated and 3 <= episode.length <= 6 for episode in found) and len(found) == 10


class Counted(Counts):
    """Play by what the hidden state says: a state that leaks from game to game, or seat to seat, changes the moves."""

    def act(self, view, hidden):
        legal = view.action_mask.sum(1)
        nth = (hidden * 7 + 3) % legal
        return Decision((np.cumsum(view.action_mask, 1) > nth[:, None]).argmax(1)), hidden + 1


@pytest.mark.parametrize("forfeits", [False, True])
def test_hidden_states_do_not_leak_between_games(forfeits):
    agents = [lambda spec: Counted(), Random]
    one, many = (played("openspiel:leduc_poker", agents, n, seeds=20, forfeits=forfeits) for n in (1, 7))
    for index, episode in one.items():
        assert episode.moves.tolist() == many[index].moves.tolist()


class Stumbles(Raises):
    """Play as random does, and raise at the third decision of some games."""

    def initial_hidden(self, rows):
        return np.zeros(rows, np.int64)

    def act(self, view, hidden):
        if ((hidden == 2) & (view.key % np.uint64(2) == 0)).any():
            raise RuntimeError("stumbled")
        return self.random.act(view, None)[0], hidden + 1


def test_the_games_that_nobody_forfeits_are_as_without_forfeits():
    agents = [Stumbles, Random]
    strict, loose = [Random, Random], dict(seeds=20, forfeits=True)
    found, fair = (played("openspiel:tic_tac_toe", roster, 16, **loose) for roster in (agents, strict))
    lost = {index for index, episode in found.items() if episode.forfeits}
    assert 0 < len(lost) < len(found)
    for index, episode in found.items():
        if index in lost:
            before = len(episode.moves) - 1
            assert episode.moves[:before].tolist() == fair[index].moves[:before].tolist()
            assert "stumbled" in episode.forfeits[0].detail and not episode.truncated
        else:
            assert episode.moves.tolist() == fair[index].moves.tolist()
            assert episode.returns.tolist() == fair[index].returns.tolist()


class Keys(Stateless):
    """Note every decision's key; play the first legal action."""

    def __init__(self):
        self.keys = []

    def act(self, view, hidden):
        self.keys += view.key.tolist()
        return Decision(view.action_mask.argmax(1)), None


def test_every_decision_has_a_key_of_its_own():
    """Of its agent, episode, player and decision: two players who move at once, the same agent, draw other numbers."""
    venv, roster = make("openspiel:goofspiel(num_cards=4)", 3), [Keys(), Keys()]
    seatings = np.array([[0, 0], [1, 1], [0, 1], [1, 0]] * 2)
    list(play_episodes(venv, roster, STREAMS[:2], fold(1, np.repeat(np.arange(2), 4)), seatings))
    mine, theirs = (set(agent.keys) for agent in roster)
    assert len(mine) == len(theirs) == 2 * 2 * 3  # seeds, players, decisions; the same in whatever company
    assert len(roster[0].keys) == 2 * len(mine) and not mine & theirs
