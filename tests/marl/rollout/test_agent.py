"""Built-in agents: fair draws by key, a search that finds wins; and the referee, whatever a stranger returns."""

from functools import partial

import numpy as np
import pyspiel
import pytest

from games.contract import Array, Box, Spec
from games.errors import UserError
from games.keys import fold
from games.references import parse
from games.registry import make
from marl.rollout import agent
from marl.rollout.agent import Agent, Mcts, Random, Referee, Stateless, digest_of_code
from marl.rollout.types import Decision, View
from marl.search.agent import UctAgent

TTT = make("openspiel:tic_tac_toe", 1).spec
BOX = Spec("box", 2, Array((2,)), Box(3, -2.0, 1.0), "general_sum", "simultaneous", True, False, False)


def view(rows, mask=None, key=1, states=None):
    """Make up the views of `rows` seats, two an environment."""
    seats = np.arange(rows)
    mask = np.ones((rows, 9), bool) if mask is None else np.broadcast_to(mask, (rows, len(mask)))
    obs = np.zeros((rows, 27), np.float32)
    return View(obs, mask, seats % 2, seats, np.ones(rows, bool), fold(key, seats), states)


def box_view(rows):
    return view(rows, mask=np.zeros(0, bool))


def test_random_is_uniform_over_legal_actions():
    mask = np.array([1, 0, 1, 1, 0, 0, 0, 0, 1], bool)
    actions = Random(TTT).act(view(40_000, mask), None)[0].action
    share = np.bincount(actions, minlength=9) / 40_000
    np.testing.assert_allclose(share, mask / 4, atol=0.01)
    assert not share[~mask].any()


def test_random_fills_the_box():
    actions = Random(BOX).act(box_view(20_000), None)[0].action
    assert actions.shape == (20_000, 3) and actions.dtype == np.float32
    assert actions.min() >= -2 and actions.max() <= 1
    np.testing.assert_allclose(actions.mean(0), -0.5, atol=0.03)
    np.testing.assert_allclose(actions.std(0), 3 / 12**0.5, atol=0.02)
    assert abs(np.corrcoef(actions.T)[0, 1]) < 0.03


def test_random_draws_by_key_alone():
    whole = Random(TTT).act(view(20), None)[0].action
    assert whole.tolist() == [Random(TTT).act(view(20).take(i), None)[0].action[0] for i in range(20)]
    assert whole.tolist() != Random(TTT).act(view(20, key=2), None)[0].action.tolist()


def position(moves):
    venv = make("openspiel:tic_tac_toe", 1)
    venv.reset(np.array([1], np.uint64))
    for move in moves:
        venv.step(np.array([[move, move]]))
    return venv.states(np.array([0]))[0]


def searched(moves, key=1, simulations=200):
    state = position(moves)
    legal = np.isin(np.arange(9), state.legal_actions(state.acting()[0]))
    return Mcts(TTT, simulations).act(view(1, legal, key, lambda: [state]), None)[0].action[0]


@pytest.mark.parametrize("key", [1, 2, 3])
def test_mcts_wins_and_blocks(key):
    """x plays 0, 1 and o plays 3, 4: x wins by 2; with o to move at 3, 4 against 0, 1, 8: o wins by 5."""
    assert searched([0, 3, 1, 4], key) == 2
    assert searched([0, 3, 1, 4, 8], key) == 5
    assert searched([0, 4, 1], key) == 2  # o must block


def test_mcts_draws_by_key_and_leaves_the_position_alone():
    state = position([])
    agent = Mcts(TTT, 3)
    found = [int(agent.act(view(1, key=k, states=lambda: [state]), None)[0].action[0]) for k in range(20)]
    assert found == [int(agent.act(view(1, key=k, states=lambda: [state]), None)[0].action[0]) for k in range(20)]
    assert len(set(found)) > 1 and state.native.history() == []


@pytest.mark.parametrize(
    "game, said",
    [
        ("openspiel:leduc_poker", "needs turns and perfect information"),
        ("openspiel:goofspiel(num_cards=4)", "needs turns and perfect information"),
        ("openspiel:matrix_pd", "needs turns and perfect information"),
    ],
)
def test_mcts_refuses(game, said):
    with pytest.raises(UserError, match=said):
        Mcts(make(game, 1).spec)


def test_mcts_refuses_what_it_cannot_search():
    with pytest.raises(UserError, match="searches OpenSpiel's games, got 'box'"):
        Mcts(BOX)
    with pytest.raises(UserError, match="at least 1 simulation, got 0"):
        Mcts(TTT, 0)


class Returns(Stateless):
    """Return whatever a test wants: `what(view)`."""

    def __init__(self, what):
        self.what = what

    def act(self, view, hidden):
        return Decision(self.what(view)), None


def judged(spec, what, rows=4, seen=None):
    """Let a referee watch one call; return the actions that went through and the first forfeit of each environment."""
    referee = Referee(spec.action)
    seen = seen or (view(rows) if isinstance(spec.action, type(TTT.action)) else box_view(rows))
    decision, _ = referee.watch(Returns(what)).act(seen, None)
    return decision.action, {e: forfeits[0] for e, forfeits in referee.take(2).items()}


def test_legal_actions_pass_as_they_are():
    actions, forfeits = judged(TTT, lambda v: np.array([3, 0, 8, 5]))
    assert actions.tolist() == [3, 0, 8, 5] and forfeits == {}
    actions, forfeits = judged(TTT, lambda v: np.array([3.0, 0.0, 8.0, 5.0]))
    assert actions.tolist() == [3, 0, 8, 5] and forfeits == {} and actions.dtype == np.int64
    actions, forfeits = judged(TTT, lambda v: [3, 0, 8, 5])
    assert actions.tolist() == [3, 0, 8, 5] and forfeits == {}


@pytest.mark.parametrize("bad", [9, -1, 1.5, float("nan"), float("inf"), 2**40])
def test_an_action_that_is_none_forfeits_its_row_alone(bad):
    actions, forfeits = judged(TTT, lambda v: np.array([3, 0, bad, 5]))
    assert actions.tolist() == [3, 0, 0, 5]
    assert list(forfeits) == [1] and forfeits[1].player == 0 and forfeits[1].how == "illegal_action"


def test_a_masked_action_is_illegal_and_a_legal_one_is_put_in_its_place():
    mask = np.array([0, 0, 1, 0, 1, 0, 0, 0, 0], bool)
    actions, forfeits = judged(TTT, lambda v: np.array([4, 3]), seen=view(2, mask))
    assert actions.tolist() == [4, 2]
    assert forfeits[0].player == 1 and forfeits[0].detail == "chose 3"


def raises(v):
    if (v.row == 2).any():
        raise ZeroDivisionError("oh")
    return np.full(len(v), 5)


def test_an_error_forfeits_its_row_alone():
    actions, forfeits = judged(TTT, raises)
    assert actions.tolist() == [5, 5, 0, 5]
    assert list(forfeits) == [1] and forfeits[1].how == "agent_error"
    assert forfeits[1].detail == "raised ZeroDivisionError: oh"


@pytest.mark.parametrize(
    "what",
    [
        lambda v: None,
        lambda v: 3,
        lambda v: np.zeros(len(v) + 1, int),
        lambda v: np.zeros((len(v), 1), int),
        lambda v: np.array(["a"] * len(v)),
        lambda v: [object()] * len(v),
        lambda v: [[1, 2], [3]],
    ],
)
def test_what_is_no_row_of_actions_forfeits(what):
    actions, forfeits = judged(TTT, what)
    assert actions.tolist() == [0, 0, 0, 0]
    assert set(forfeits) == {0, 1} and all(forfeit.how == "agent_error" for forfeit in forfeits.values())


def test_forfeits_are_taken_once():
    referee = Referee(TTT.action)
    referee.watch(Returns(lambda v: np.full(len(v), 99))).act(view(2), None)
    assert set(referee.take(2)) == {0} and referee.take(2) == {}


def test_a_referee_in_a_box():
    actions, forfeits = judged(BOX, lambda v: np.full((len(v), 3), 0.5))
    assert (actions == 0.5).all() and forfeits == {}
    actions, forfeits = judged(BOX, lambda v: np.zeros((len(v), 2)))
    assert (
        actions.shape == (4, 3) and all(f.how == "agent_error" for f in forfeits.values()) and set(forfeits) == {0, 1}
    )

    def one_raises(v):
        if (v.row == 3).any():
            raise RuntimeError
        return np.zeros((len(v), 3), np.float32)

    actions, forfeits = judged(BOX, one_raises)
    assert actions.shape == (4, 3) and set(forfeits) == {1} and forfeits[1].player == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 5.0, -2.5, 1e300])
def test_a_point_outside_the_box_forfeits_its_row_alone(bad):
    def what(v):
        actions = np.zeros((len(v), 3))
        actions[v.row == 1, 2] = bad
        return actions

    actions, forfeits = judged(BOX, what)
    assert (actions >= -2).all() and (actions <= 1).all()
    assert set(forfeits) == {0} and forfeits[0].player == 1 and forfeits[0].how == "illegal_action"


class Remembers:
    """Keep the sum of the rows it saw, and raise at one of them."""

    def initial_hidden(self, rows):
        return np.zeros(rows, np.int64)

    def act(self, view, hidden):
        if (view.row == 2).any():
            raise RuntimeError
        return Decision(view.action_mask.argmax(1)), hidden + 1


def test_the_hidden_states_of_the_others_survive_an_error():
    _, hidden = Referee(TTT.action).watch(Remembers()).act(view(4), np.array([5, 6, 7, 8]))
    assert hidden.tolist() == [6, 7, 7, 9]


class Shifts(Remembers):
    """Return one row too few wherever there is more than one: what it says of a row alone is right."""

    def act(self, view, hidden):
        rows = max(1, len(view) - 1)
        return Decision(np.full(rows, 4)), hidden + 1


def test_a_retry_begins_from_the_hidden_states_before():
    referee = Referee(TTT.action)
    decision, hidden = referee.watch(Shifts()).act(view(3), np.array([5, 6, 7]))
    assert decision.action.tolist() == [4, 4, 4] and hidden.tolist() == [6, 7, 8] and referee.take(2) == {}


@pytest.mark.parametrize("after", [np.zeros(17), np.zeros(0), None, 5])
def test_hidden_states_that_are_none_forfeit(after):
    agent = Remembers()
    agent.act = lambda view, hidden: (Decision(np.zeros(len(view), int)), after)
    referee = Referee(TTT.action)
    decision, hidden = referee.watch(agent).act(view(2), np.array([5, 6]))
    assert decision.action.tolist() == [0, 0] and hidden.tolist() == [5, 6]
    assert referee.take(2)[0][0].how == "agent_error"


def test_digest_of_code_says_who_it_is():
    one = digest_of_code(Mcts, parse("mcts(simulations=5)"))
    assert one == digest_of_code(Mcts, parse("mcts(simulations=5)")) and len(one) == 64
    assert one != digest_of_code(Mcts, parse("mcts(simulations=6)")) != digest_of_code(Random, parse("random"))
    assert len(digest_of_code(pyspiel.MCTSBot, parse("pyspiel:MCTSBot"))) == 64  # no source to read


def first(spec, skip=0):
    return Random(spec)


LAMBDA, OTHER, ONE, TWO = lambda spec: Random(spec), lambda spec: first(spec), partial(first, skip=1), partial(first)


def test_what_is_no_class_is_what_it_is_called_and_where():
    """A lambda, and a partial, which functools would pass for its own."""
    found = [digest_of_code(globals()[name], parse(f"{__name__}:{name}")) for name in ("LAMBDA", "OTHER", "ONE", "TWO")]
    assert len(set(found)) == 4


def test_code_counts_wherever_it_stands(monkeypatch):
    reference, source = parse(f"{__name__}:ONE"), agent._source
    one = digest_of_code(ONE, reference)
    monkeypatch.setattr(agent, "_source", lambda module: source(module) + "# edited" * (module.__name__ == __name__))
    assert digest_of_code(ONE, reference) != one


def test_another_python_is_no_other_agent(monkeypatch):
    class Protocolled(Agent):
        pass

    one, source = digest_of_code(Protocolled, parse("x:Protocolled")), agent._source
    monkeypatch.setattr(agent, "_source", lambda module: "" if module.__name__ == "typing" else source(module))
    assert digest_of_code(Protocolled, parse("x:Protocolled")) == one


def test_an_agent_is_also_what_it_is_made_of(monkeypatch):
    one = digest_of_code(UctAgent, parse("uct"))
    monkeypatch.setattr(UctAgent, "made_of", UctAgent.made_of[1:])
    assert digest_of_code(UctAgent, parse("uct")) != one
