"""The referee: whatever an agent returns, it costs that agent its own game alone."""

import numpy as np
import pytest

from marl.rollout.agent import Stateless
from marl.rollout.referee import Referee
from marl.rollout.types import AgentFailed, Decision
from tests.marl.views import BOX, TTT, box_view, view


class Returns(Stateless):
    """Return whatever a test wants: `what(view)`."""

    def __init__(self, what):
        self.what = what

    def act(self, view, hidden):
        return Decision(self.what(view)), None


def judged(spec, what, rows=4, seen=None):
    """Let a referee watch one call; return the actions that went through and the first forfeit of each environment."""
    referee = Referee(spec)
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
    referee = Referee(TTT)
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
    _, hidden = Referee(TTT).watch(Remembers()).act(view(4), np.array([5, 6, 7, 8]))
    assert hidden.tolist() == [6, 7, 7, 9]


class Shifts(Remembers):
    """Return one row too few wherever there is more than one: what it says of a row alone is right."""

    def act(self, view, hidden):
        rows = max(1, len(view) - 1)
        return Decision(np.full(rows, 4)), hidden + 1


def test_a_retry_begins_from_the_hidden_states_before():
    referee = Referee(TTT)
    decision, hidden = referee.watch(Shifts()).act(view(3), np.array([5, 6, 7]))
    assert decision.action.tolist() == [4, 4, 4] and hidden.tolist() == [6, 7, 8] and referee.take(2) == {}


@pytest.mark.parametrize("after", [np.zeros(17), np.zeros(0), None, 5])
def test_hidden_states_that_are_none_forfeit(after):
    agent = Remembers()
    agent.act = lambda view, hidden: (Decision(np.zeros(len(view), int)), after)
    referee = Referee(TTT)
    decision, hidden = referee.watch(agent).act(view(2), np.array([5, 6]))
    assert decision.action.tolist() == [0, 0] and hidden.tolist() == [5, 6]
    assert referee.take(2)[0][0].how == "agent_error"


def test_rows_that_an_agent_reports_as_failed_forfeit_and_nobody_is_asked_again():
    asked = []

    class Tells(Stateless):
        def act(self, view, hidden):
            asked.append(len(view))
            failed = {1: AgentFailed("timeout", "took longer than 1 s"), 3: AgentFailed("illegal_action", "said no")}
            return Decision(np.array([3, 99, 8, 99]), failed=failed, notes={0: "{}", 3: '"no"'}), None

    referee = Referee(TTT)
    decision, _ = referee.watch(Tells()).act(view(4), None)
    assert decision.action.tolist() == [3, 0, 8, 0] and asked == [4]
    forfeits = referee.take(1)
    assert {row: (f.how, f.detail, f.player) for row, (f,) in forfeits.items()} == {
        1: ("timeout", "took longer than 1 s", 1),
        3: ("illegal_action", "said no", 1),
    }
    assert referee.take_notes(2) == [(0, 0, "{}"), (1, 1, '"no"')] and referee.take_notes(2) == []


@pytest.mark.parametrize(
    "said", [{"failed": {9: AgentFailed("timeout", "x")}}, {"failed": {0: "late"}}, {"notes": {0: 3}}]
)
def test_what_an_agent_tells_of_rows_that_are_none_is_its_error(said):
    class Tells(Stateless):
        def act(self, view, hidden):
            return Decision(np.array([3, 3]), **said), None

    referee = Referee(TTT)
    referee.watch(Tells()).act(view(2), None)
    assert {forfeits[0].how for forfeits in referee.take(1).values()} == {"agent_error"}
