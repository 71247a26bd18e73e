"""Minimax equals brute force where all moves are proposed, keeps to its budget, and uses nothing hidden."""

from dataclasses import replace

import numpy as np
import pytest

from games.adapters.openspiel import load
from games.errors import UserError
from games.keys import fold, fold_one, uniform_one
from games.registry import make
from marl.agents.load import load_entrant
from marl.equilibria.stage import linear_programs
from marl.rollout.agent import Random, Stateless
from marl.rollout.referee import AgentFailed
from marl.rollout.types import Decision, View
from marl.search import proposal_trees
from marl.search.minimax import MinimaxAgent
from tests.benchmarks.look_ahead import returns

TTT = load("tic_tac_toe", {})
FOUR = load("connect_four", {"rows": 4, "columns": 4, "x_in_row": 3})
GOOFSPIEL = load("goofspiel", {"num_cards": 3, "imp_info": False, "points_order": "descending"})


class Valued(Random):
    """Value a view by a hash of it: any known numbers will do."""

    def value(self, view, hidden):
        name = (view.obs.reshape(len(view), -1) @ 3.0 ** (np.arange(np.prod(view.obs.shape[1:])) % 40)).astype(np.int64)
        return np.array([uniform_one(fold_one(7, int(n))) - 0.5 for n in name], np.float32)


def positions(game, count, moves):
    """Return positions after some random moves."""
    found = []
    for seed in range(count):
        state = game.initial_state()
        for move in range(seed % moves):
            joint = [0] * 2
            for player in state.acting():
                legal = state.legal_actions(player)
                joint[player] = legal[int(uniform_one(fold_one(seed, 2 * move + player)) * len(legal))]
            state.apply(joint)
        if not state.is_terminal():
            found.append(state)
    return found


def brute_force(game, state, player, depth, evaluator, matrix):
    """Return the matrix of values below a position [own actions, the other's actions]; an action for who waits."""
    own, other = ([*state.legal_actions(p)] if p in state.acting() else [0] for p in (player, 1 - player))
    table = np.zeros((len(own), len(other)))
    for i, ours in enumerate(own):
        for j, theirs in enumerate(other):
            after = state.clone()
            joint = [0, 0]
            joint[player], joint[1 - player] = ours, theirs
            after.apply(joint)
            assert after.acting() or after.is_terminal(), "games of this test have no chance"
            table[i, j] = worth(game, after, player, depth - 1, evaluator, matrix)
    return table


def worth(game, state, player, depth, evaluator, matrix):
    if state.is_terminal():
        return state.returns()[player]
    if depth == 0:
        mover = player if player in state.acting() else state.acting()[0]
        view = View.of(game.spec, [state], fold(1, 0), first=False, players=np.array([mover]))
        return state.returns()[player] + (1 if mover == player else -1) * float(evaluator.value(view, None)[0])
    table = brute_force(game, state, player, depth, evaluator, matrix)
    return linear_programs(table[None]).values[0] if matrix else table.min(1).max()


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize(("game", "solve"), [(FOUR, "maximin"), (GOOFSPIEL, "maximin"), (GOOFSPIEL, "matrix")])
def test_with_all_moves_proposed_it_is_brute_force(game, solve, depth):
    evaluator, everything = Valued(game.spec), [Random(game.spec)]
    agent = MinimaxAgent(game.spec, everything, everything, evaluator, depth=depth, width=99, samples=2, solve=solve)
    compared = 0
    for state in positions(game, 12, 3):
        for player in state.acting():
            view = View.of(game.spec, [state], fold(2, 0), first=False, players=np.array([player]))
            table = brute_force(game, state, player, depth, evaluator, solve == "matrix")
            mixed = linear_programs(table[None])
            best = mixed.values[0] if solve == "matrix" else table.min(1).max()
            assert agent.value(view, None)[0] + state.returns()[player] == pytest.approx(best, abs=2e-3)
            action = agent.act(view, None)[0].action[0]
            index = [*state.legal_actions(player)].index(action)
            assert mixed.rows[0, index] > 0 if solve == "matrix" else table.min(1)[index] == pytest.approx(best)
            compared += 1
    assert compared >= 10


def test_simultaneous_moves_are_not_answered_in_turn():
    """Matching pennies: whoever takes pure actions for certain loses; mixed ones are worth 0, half each."""
    game = load("matrix_mp", {})
    everything = [Random(game.spec)]
    view = View.of(game.spec, [game.initial_state()] * 40, fold(1, np.arange(40)), first=True)
    pure = MinimaxAgent(game.spec, everything, everything, samples=1)
    assert (pure.value(view, None) == -1).all() and (pure.act(view, None)[0].action == 0).all()
    mixed = MinimaxAgent(game.spec, everything, everything, samples=1, solve="matrix")
    assert mixed.value(view, None) == pytest.approx(np.zeros(40), abs=1e-9)
    assert 8 < mixed.act(view, None)[0].action.sum() < 32


def dealt(game, cards):
    state = game.initial_state()
    for card in cards:
        state.apply_chance(card)
    return state


def test_nothing_hidden_is_used():
    game = load("leduc_poker", {})
    everything = [Random(game.spec)]
    for per_sample in (False, True):
        agent = MinimaxAgent(game.spec, everything, everything, samples=4, per_sample=per_sample)
        states = [dealt(game, (2, other)) for other in (0, 1, 3, 4, 5)]
        view = View.of(game.spec, states, np.full(5, 7, np.uint64), first=True)
        assert len(set(agent.value(view, None).tolist())) == 1
        cheat = MinimaxAgent(replace(game.spec, perfect_information=True), everything, everything, samples=4)
        assert len(set(cheat.value(view, None).tolist())) > 1  # the test can fail


def test_a_reply_to_every_sample_is_more_pessimistic_than_one_to_all():
    game = load("leduc_poker", {})
    everything, evaluator = [Random(game.spec)], Valued(game.spec)
    states = [dealt(game, (k % 6, (k + 1) % 6)) for k in range(12)]
    view = View.of(game.spec, states, fold(3, np.arange(12)), first=True)
    shared, each = (
        MinimaxAgent(game.spec, everything, everything, evaluator, samples=6, per_sample=per_sample).value(view, None)
        for per_sample in (False, True)
    )
    assert (each <= shared + 1e-6).all() and (each < shared - 1e-3).any()


class Ranks(Stateless):
    """Propose what it is told to, whatever is legal; choose the first of it."""

    def __init__(self, *ranked):
        self.ranked, self.asked = ranked, 0

    def act(self, view, hidden):
        self.asked += len(view)
        return Decision(np.full(len(view), self.ranked[0])), None

    def preferences(self, view, hidden):
        self.asked += len(view)
        found = np.full(view.action_mask.shape, -np.inf)
        found[:, list(self.ranked)] = -np.arange(len(self.ranked))
        return found


def test_proposals_that_are_illegal_are_dropped_and_counted():
    state = TTT.initial_state()
    for square in (4, 0):
        state.apply([square] * 2)
    view = View.of(TTT.spec, [state, TTT.initial_state()], fold(1, [0, 1]), first=False)
    agent = MinimaxAgent(TTT.spec, [Ranks(4, 0, 8, 2)], [Random(TTT.spec)], Valued(TTT.spec), depth=1)
    decision = agent.act(view, None)[0]
    assert decision.extras["illegal_proposals"].tolist() == [2, 0]
    assert decision.action[0] in (8, 2)
    assert decision.extras["calls"].tolist() == [1 + 2, 1 + 4]


def test_proposers_take_turns_and_ties_go_to_the_first_proposal():
    state = TTT.initial_state()
    view = View.of(TTT.spec, [state], fold(1, 0), first=True)

    class Even(Random):
        def value(self, view, hidden):
            return np.zeros(len(view), np.float32)

    agent = MinimaxAgent(TTT.spec, [Ranks(3, 5), Ranks(3, 7)], [Ranks(8, 0)], Even(TTT.spec), width=3, depth=1)
    assert agent.act(view, None)[0].action.tolist() == [3]
    assert agent.act(view, None)[0].extras["calls"].tolist() == [2 + 3]


@pytest.mark.parametrize("calls", [6, 40, 60, 150, None])
def test_a_budget_of_calls_is_kept(calls):
    proposer, evaluator = Ranks(0, 1, 2, 3, 4, 5, 6, 7, 8), Valued(TTT.spec)
    agent = MinimaxAgent(TTT.spec, [proposer], [proposer], evaluator, depth=3, width=5, calls=calls)
    view = View.of(TTT.spec, positions(TTT, 9, 3), fold(1, np.arange(9)), first=False)
    used = agent.act(view, None)[0].extras["calls"]
    most = {6: 1 + 5, 40: 1 + 5 + 25, 60: 1 + 5 + 25, 150: 1 + 5 + 25, None: 1 + 5 + 25 + 125}
    assert (used <= (calls or 1000)).all() and used.max() == most[calls] and proposer.asked < used.sum()


def test_who_expects_no_number_fails():
    class Lost(Random):
        def value(self, view, hidden):
            return np.full(len(view), np.nan, np.float32)

    view = View.of(TTT.spec, [TTT.initial_state()], fold(1, 0), first=True)
    one = Random(TTT.spec)
    with pytest.raises(AgentFailed, match="expected nan while it looked ahead"):
        MinimaxAgent(TTT.spec, [one], [one], evaluate=Lost(TTT.spec), depth=1).act(view, None)


def test_who_proposes_nothing_legal_fails():
    state = TTT.initial_state()
    state.apply([4, 4])
    view = View.of(TTT.spec, [state], fold(1, 0), first=False)
    for proposers in ([Ranks(4)], [Ranks(4, 4)]):
        agent = MinimaxAgent(TTT.spec, proposers, [Random(TTT.spec)], depth=1)
        with pytest.raises(AgentFailed) as failed:
            agent.act(view, None)
        assert failed.value.how == "illegal_action" and "proposed no legal action" in failed.value.detail


def test_a_decision_does_not_depend_on_its_batch():
    game = load("leduc_poker", {})
    agent = MinimaxAgent(game.spec, [Random(game.spec)], [Random(game.spec)], samples=3, width=2)
    states = [dealt(game, (k % 6, (k + 1) % 6)) for k in range(6)]
    view = View.of(game.spec, states, fold(3, np.arange(6)), first=True)
    assert agent.value(view.take(4), None)[0] == agent.value(view, None)[4]


def test_a_mixed_value_does_not_depend_on_its_batch():
    """Beside a node with more candidates, the sums of another must not be rounded otherwise."""
    rng = np.random.default_rng(0)
    matrices = [rng.normal(size=shape) for shape in [(4, 6)] * 50 + [(11, 12)]]
    together = proposal_trees._solved(matrices, 12)
    assert together == [proposal_trees._solved([matrix], 12)[0] for matrix in matrices]
    assert np.allclose(together, [linear_programs(matrix[None]).values[0] for matrix in matrices], atol=0.02)


@pytest.mark.parametrize(
    ("text", "game", "said"),
    [
        ("minimax", "spread", "minimax needs positions to search"),
        ("minimax", "openspiel:phantom_ttt", "minimax draws positions that a player cannot tell"),
        ("minimax", "openspiel:matrix_pd", "minimax plays zero-sum games of two players"),
        ("minimax", "mastermind", "minimax plays zero-sum games of two players"),
        ("minimax(calls=0)", "openspiel:tic_tac_toe", "minimax needs calls of at least 1, got 0"),
        ("minimax(calls=4)", "openspiel:tic_tac_toe", "minimax may ask about 5 positions for one step"),
        ("minimax(propose=[])", "openspiel:tic_tac_toe", "minimax needs an agent of propose=..., got none"),
        ("minimax(width=0)", "openspiel:tic_tac_toe", "minimax needs width of at least 1, got 0"),
        (
            "minimax(solve=mixed)",
            "openspiel:tic_tac_toe",
            "expected solve of minimax as maximin or matrix, got 'mixed'",
        ),
        ("minimax(per_sample=true, solve=matrix)", "battle", "minimax takes one of per_sample=true"),
        ("minimax(evaluate=random)", "openspiel:tic_tac_toe", "evaluate=... needs an agent that tells its value"),
        ("minimax(propose='uct(reuse=true)')", "openspiel:tic_tac_toe", "an agent of propose=... decides by what it"),
        ("minimax(propose=rnadom)", "openspiel:tic_tac_toe", "got 'rnadom'; did you mean 'random'?"),
        ("minimax(evaluate=max_damage)", "openspiel:tic_tac_toe", "best_switch play battle, got 'openspiel:tic"),
    ],
)
def test_what_does_not_fit_is_refused(text, game, said):
    with pytest.raises(UserError) as refused:
        load_entrant(text, make(game, 1).spec)
    assert said in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.slow
def test_it_beats_the_damage_calculator():
    venv = make("battle", 50)
    text = "minimax(propose=[max_damage, best_switch, random], reply=max_damage, evaluate=max_damage, samples=2)"
    found = returns(venv, load_entrant(text, venv.spec), load_entrant("max_damage", venv.spec), 50)
    assert (found > 0).mean() > 0.55  # 400 battles: docs/explanation/results/search.md
