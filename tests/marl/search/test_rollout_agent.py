"""Rollout is nowhere worse than its base, uses nothing hidden, and depends on keys alone."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from games.adapters.openspiel import load
from games.errors import UserError
from games.keys import fold, uniform
from games.registry import make
from games.solvers.exhaustive import edges
from marl.agents.load import load_entrant
from marl.rollout.agent import Random, Stateless, log_probs_of
from marl.rollout.loop import play_episodes
from marl.rollout.referee import AgentFailed
from marl.rollout.types import Decision, View
from marl.search import rollout_agent
from marl.search.rollout_agent import RolloutAgent, _best
from tests.marl.search.lookups import LENGTH, Chain, ChainState

TTT = load("tic_tac_toe", {})


class Fixed(Stateless):
    """Choose by a hash of the view, always the same: a policy without noise, and no good one."""

    def __init__(self, salt):
        self.salt, self.asked = salt, 0

    def act(self, view, hidden):
        self.asked += 1
        name = fold(self.salt, (view.obs.reshape(len(view), -1) @ 3.0 ** np.arange(27)).astype(np.uint64))
        likes = np.where(view.action_mask, uniform(name, view.action_mask.shape[1]), -1)
        return Decision(likes.argmax(1)), None


def reachable(game):
    """Return every position of a game at which somebody acts, by its key."""
    found, todo = {}, [game.initial_state()]
    while todo:
        state = todo.pop()
        if state.key() not in found and not state.is_terminal():
            found[state.key()] = state
            todo += [edge.state for edge in edges(state)]
    return found


def actions_of(agent, spec, positions):
    """Return an agent's action at each position."""
    view = View.of(spec, list(positions.values()), fold(5, np.arange(len(positions))), first=False)
    return dict(zip(positions, agent.act(view, agent.initial_hidden(len(view)))[0].action.tolist(), strict=True))


@pytest.mark.parametrize("salt", [1, 2])
def test_at_no_position_of_tic_tac_toe_it_is_worse_than_its_base(salt):
    """Base and game are certain, so that one sample is the expectation, and the improvement exact."""
    positions, base = reachable(TTT), Fixed(salt)
    plays = actions_of(base, TTT.spec, positions)
    looks = actions_of(RolloutAgent(TTT.spec, base, samples=1), TTT.spec, positions)
    known = {}

    def worth(state, player, own):
        """Return what a player gets that plays by `own`, as the others play by the base."""
        if state.is_terminal():
            return state.returns()[player]
        name = (state.key(), player, own is looks)
        if name not in known:
            mover, after = state.acting()[0], state.clone()
            after.apply([(own if mover == player else plays)[state.key()]] * 2)
            known[name] = worth(after, player, own)
        return known[name]

    gains = [worth(s, s.acting()[0], looks) - worth(s, s.acting()[0], plays) for s in positions.values()]
    assert len(gains) == 4520 and min(gains) >= 0 and np.mean(gains) > 0.2


def chain_values(game, policy, steps=ChainState.MOST):
    """Return what each place is worth [LENGTH] under a policy [LENGTH, 2], and each action there [LENGTH, 2]."""
    value = np.zeros(LENGTH)
    for _ in range(steps):
        around = np.concatenate([[0.0], value, [10.0]])
        go = (1 - game.slips) * around[2:] + game.slips * around[:-2]
        actions = np.stack([go, Chain.PAYS], 1)
        value = (policy * actions).sum(1)
    return value, actions


@pytest.mark.parametrize("slips", [0.0, 0.3])
def test_at_no_place_of_a_chain_it_is_worse_than_its_base(slips):
    """By exact expectations, for every base that is certain at some places and mixes at others."""
    game = Chain(slips)
    for choices in product((0.0, 1.0), repeat=LENGTH // 2):
        go = np.append(choices, [0.5] * (LENGTH - len(choices)))
        base = np.stack([go, 1 - go], 1)
        before, actions = chain_values(game, base)
        liking = np.where(base == base.max(1, keepdims=True), np.inf, 0.0)
        after, _ = chain_values(game, np.eye(2)[_best(actions, liking)])
        assert (after >= before - 1e-9).all()


def test_its_estimates_are_the_expectations():
    game = Chain(0.3)
    agent = RolloutAgent(game.spec, Random(game.spec), samples=4000)
    states = [ChainState(game, place) for place in range(LENGTH)]
    found = agent.action_values(View.of(game.spec, states, fold(1, np.arange(LENGTH)), first=True), None)
    expected = chain_values(game, np.full((LENGTH, 2), 0.5))[1]
    np.testing.assert_allclose(found[:, 1], expected[:, 1])  # leaving is certain
    np.testing.assert_allclose(found[:, 0], expected[:, 0], atol=4 * 3.5 / 4000**0.5)


def test_two_steps_choose_twice():
    """Q_2 is what going on pays if the next choice is the better one of the base's values."""
    game = Chain(0.0)
    agent = RolloutAgent(game.spec, Leaves(), samples=1, steps=2)
    states = [ChainState(game, place) for place in range(LENGTH)]
    found = agent.action_values(View.of(game.spec, states, fold(1, np.arange(LENGTH)), first=True), None)
    pays = np.append(Chain.PAYS, 10.0)
    after = np.maximum(pays[1:-1], pays[2:])  # leave there, or go on and leave after that
    np.testing.assert_allclose(found[:-1, 0], after)
    assert found[-1, 0] == 10


class Leaves(Stateless):
    def act(self, view, hidden):
        return Decision(np.ones(len(view), np.int64)), None

    def value(self, view, hidden):
        return view.obs.argmax(1).astype(np.float32)  # the place


@pytest.mark.parametrize("horizon", [1, 2])
def test_a_horizon_is_served_by_the_value_of_the_base(horizon):
    game = Chain(0.0)
    base = Leaves()
    base.act = lambda view, hidden: (Decision(np.zeros(len(view), np.int64)), None)
    agent = RolloutAgent(game.spec, base, samples=1, horizon=horizon)
    view = View.of(game.spec, [ChainState(game, 3)], fold(1, 0), first=True)
    assert agent.action_values(view, None).tolist() == [[3 + horizon, Chain.PAYS[3]]]
    assert agent.value(view, None).tolist() == [3 + horizon]


class Likes(Stateless):
    """Choose the fourth square, and like the others by their numbers."""

    def act(self, view, hidden):
        return Decision(np.where(view.action_mask[:, 4], 4, view.action_mask.argmax(1))), None

    def policy(self, view, hidden):
        return log_probs_of(np.arange(1, 10) * view.action_mask), None


def test_ties_go_to_the_base_and_then_to_what_it_likes():
    values = np.array([[1.0, 2.0, 2.0 - 1e-12], [1.0, 3.0, 2.0], [0.0, 5.0, 5.0]])
    liking = np.array([[0.0, 0.0, np.inf], [np.inf, 0.0, 0.0], [np.inf, 1.0, 2.0]])
    assert _best(values, liking).tolist() == [2, 1, 2]


def test_top_tries_what_the_base_likes_best():
    agent = RolloutAgent(TTT.spec, Likes(), Random(TTT.spec), samples=1, top=3)
    view = View.of(TTT.spec, [TTT.initial_state()], fold(1, 0), first=True)
    assert np.flatnonzero(agent.action_values(view, None)[0] > -np.inf).tolist() == [4, 7, 8]


def dealt(game, cards):
    state = game.initial_state()
    for card in cards:
        state.apply_chance(card)
    return state


@pytest.mark.parametrize("steps", [1, 2])
def test_nothing_hidden_is_used(steps):
    """Whatever the other player holds, the values are the same to the last bit."""
    game = load("leduc_poker", {})
    agent = RolloutAgent(game.spec, Random(game.spec), samples=6, steps=steps)

    def values(*cards):
        states = [dealt(game, (2, other)) for other in cards]
        return agent.action_values(View.of(game.spec, states, np.full(len(cards), 7, np.uint64), first=True), None)

    found = values(0, 1, 3, 4, 5)
    assert (found == found[0]).all()
    true = RolloutAgent(replace(game.spec, perfect_information=True), Random(game.spec), samples=6)
    states = [dealt(game, (2, other)) for other in (0, 4)]
    cheats = true.action_values(View.of(game.spec, states, np.full(2, 7, np.uint64), first=True), None)
    assert (cheats[0] != cheats[1]).any()  # the test can fail


class Knows(Random):
    """Play at random, and note the positions that it is asked about."""

    def act(self, view, hidden):
        self.keys = view.key
        self.states = view.states()
        return super().act(view, hidden)


def test_all_actions_are_tried_in_the_same_positions_with_the_same_numbers():
    game = load("leduc_poker", {})
    base = Knows(game.spec)
    agent = RolloutAgent(game.spec, Random(game.spec), base, samples=5)
    state = dealt(game, (2, 0))
    agent.act(View.of(game.spec, [state], fold(1, 0), first=True), None)
    rollouts = []
    play_on = rollout_agent.Continuations.play_on

    def noted(self, games, first, decisions=None):
        rollouts.append([(key, str(s), int(a)) for key, s, a in zip(games.key, games.states, first, strict=True)])
        return play_on(self, games, first, decisions)

    rollout_agent.Continuations.play_on = noted
    try:
        agent.act(View.of(game.spec, [state], fold(1, 0), first=True), None)
    finally:
        rollout_agent.Continuations.play_on = play_on
    tried = {}
    for key, position, action in rollouts[0]:
        tried.setdefault(action, []).append((key, position))
    assert len(tried) == 2 and len({tuple(pairs) for pairs in tried.values()}) == 1
    assert len({key for key, _ in tried[1]}) == 5 and len({position for _, position in tried[1]}) > 1


def test_a_decision_depends_neither_on_the_batch_nor_on_memory(monkeypatch):
    agent = RolloutAgent(TTT.spec, Random(TTT.spec), samples=3)
    states = [*reachable(TTT).values()][:20]
    view = View.of(TTT.spec, states, fold(3, np.arange(20)), first=True)
    together = agent.action_values(view, None)
    alone = agent.action_values(view.take(7), None)
    assert np.array_equal(alone[0], together[7])
    monkeypatch.setattr(rollout_agent, "MEMORY", 1)
    assert np.array_equal(agent.action_values(view, None), together)
    assert not np.array_equal(agent.action_values(replace(view, key=fold(4, np.arange(20))), None), together)


class Counts:
    """Go on until its third decision, and leave then: hidden [B], its decisions so far."""

    def initial_hidden(self, rows):
        return np.zeros(rows, np.int64)

    def act(self, view, hidden):
        return Decision((hidden >= 2).astype(np.int64)), hidden + 1


def test_a_base_with_memory_remembers_in_the_simulated_games():
    game = Chain(0.0)
    agent = RolloutAgent(game.spec, Counts(), samples=1)
    view = View.of(game.spec, [ChainState(game, 3)] * 3, fold(1, np.arange(3)), first=True)
    for decisions, leaves_at in ((0, 5), (1, 4), (5, 4)):
        hidden = np.full(3, decisions)
        values = agent.action_values(view, hidden)
        assert values[0].tolist() == [Chain.PAYS[leaves_at], Chain.PAYS[3]]
        assert agent.act(view, hidden)[1].tolist() == [decisions + 1] * 3 and (hidden == decisions).all()


def test_it_beats_its_base():
    venv = make("openspiel:connect_four(rows=4, columns=4, x_in_row=3)", 16)
    agent = RolloutAgent(venv.spec, Random(venv.spec), samples=4)
    played = play_episodes(
        venv, [agent, Random(venv.spec)], fold(1, [0, 1]), fold(2, np.arange(32)), np.array([[0, 1], [1, 0]] * 16)
    )
    won = [episode.returns[episode.index % 2] for episode in played]
    assert np.mean(won) > 0.4


@pytest.mark.parametrize(
    ("text", "game", "said"),
    [
        ("rollout", "openspiel:tic_tac_toe", "'rollout' needs the argument 'base'"),
        ("rollout(base=random)", "spread", "rollout needs positions to search, and 'spread' has none here"),
        ("rollout(base=random)", "openspiel:phantom_ttt", "rollout draws positions that a player cannot tell"),
        ("rollout(base=random, samples=0)", "openspiel:tic_tac_toe", "rollout needs samples of at least 1, got 0"),
        ("rollout(base=random, steps=0)", "openspiel:tic_tac_toe", "rollout needs steps of at least 1, got 0"),
        ("rollout(base=random, horizon=4)", "openspiel:tic_tac_toe", "horizon=... needs a base that tells its value"),
        ("rollout(base=mcts, top=2)", "openspiel:tic_tac_toe", "top=... needs a base that ranks its actions"),
        ("rollout(base=tit_for_tat)", "openspiel:tic_tac_toe", "tit_for_tat plays matrix games"),
        ("rollout(base='uct(reuse=true)')", "openspiel:tic_tac_toe", "cannot know what the other players remember"),
        ("rollout(base=random, sample=2)", "openspiel:tic_tac_toe", "got 'sample'; did you mean 'samples'?"),
    ],
)
def test_what_does_not_fit_is_refused(text, game, said):
    with pytest.raises(UserError) as refused:
        load_entrant(text, make(game, 1).spec)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_a_base_that_moves_illegally_in_a_simulated_game_fails():
    class Stubborn(Stateless):
        def act(self, view, hidden):
            return Decision(np.zeros(len(view), np.int64)), None

    agent = RolloutAgent(TTT.spec, Stubborn(), samples=1)
    view = View.of(TTT.spec, [TTT.initial_state()], fold(1, 0), first=True)
    with pytest.raises(AgentFailed) as failed:
        agent.act(view, None)
    assert failed.value.how == "illegal_action" and "chose 0 while it looked ahead" in failed.value.detail


def test_a_part_that_fails_fails_the_whole():
    """A silent opponent is not replaced by one that plays at random."""

    class Silent(Stateless):
        def act(self, view, hidden):
            legal = view.action_mask.argmax(1)
            return Decision(legal, failed={len(view) - 1: AgentFailed("timeout", "took too long")}), None

    view = View.of(TTT.spec, [TTT.initial_state()], fold(1, 0), first=True)
    for parts in ({"base": Silent()}, {"base": Random(TTT.spec), "opponents": Silent()}):
        with pytest.raises(AgentFailed, match="timeout"):
            RolloutAgent(TTT.spec, **parts, samples=1).act(view, None)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_fails(value):
    class Lost(Random):
        def value(self, view, hidden):
            return np.full(len(view), value, np.float32)

    view = View.of(TTT.spec, [TTT.initial_state()], fold(1, 0), first=True)
    with pytest.raises(AgentFailed, match=f"expected {value} while it looked ahead"):
        RolloutAgent(TTT.spec, Lost(TTT.spec), samples=1, horizon=1).act(view, None)
