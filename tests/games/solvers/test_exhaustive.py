"""Exhaustive solutions: small games of known value, chance, several players, and agents against every line of play."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog

from games.errors import UserError
from games.registry import load
from games.solvers.exhaustive import Ends, Solution, edges, every_end
from tests.games.plugin import Nim

TIC_TAC_TOE = load("openspiel:tic_tac_toe")


class Told:
    """A game that is told as a tree: {"player": p, action: (pay, tree)}, {"chance": ..}, or {} for the end."""

    def __init__(self, tree, players):
        self.tree = tree
        self.spec = replace(Nim().spec, name="told", num_players=players, chance=True, payoff="general_sum")

    def initial_state(self):
        return ToldState(self.tree, (0.0,) * self.spec.num_players)


class ToldState:
    def __init__(self, tree, paid):
        self.tree, self.paid = tree, paid

    def clone(self):
        return ToldState(self.tree, self.paid)

    def acting(self):
        return (self.tree["player"],) if "player" in self.tree else ()

    def legal_actions(self, player):
        return [way for way in self.tree if way != "player"]

    def chance_outcomes(self):
        return list(enumerate(self.tree.get("chance", ())))

    def apply(self, actions):
        self._go(*self.tree[actions[self.tree["player"]]])

    def apply_chance(self, outcome):
        self._go(*self.tree[outcome])

    def is_terminal(self):
        return not self.tree

    def returns(self):
        return self.paid

    def key(self):
        return id(self.tree)

    def _go(self, pay, tree):
        self.tree, self.paid = tree, tuple(before + now for before, now in zip(self.paid, pay, strict=True))


def first(states):
    """Choose the first legal action."""
    return [state.legal_actions(state.acting()[0])[0] for state in states]


def test_tic_tac_toe_is_a_draw_of_5478_positions():
    solution, start = Solution(TIC_TAC_TOE), TIC_TAC_TOE.initial_state()
    assert len(solution.values) == 5478
    assert solution.value(start) == (0.0, 0.0)
    assert solution.action_values(start) == dict.fromkeys(range(9), 0.0)
    start.apply([0, 0])
    assert solution.action_values(start) == {action: 0.0 if action == 4 else -1.0 for action in range(1, 9)}
    assert solution.choose([start]) == [4]


@pytest.mark.parametrize("stones", range(1, 10))
def test_nim_is_lost_at_multiples_of_three(stones):
    game = Nim(stones)
    assert Solution(game).value(game.initial_state())[0] == (1.0 if stones % 3 else -1.0)


@pytest.mark.parametrize("piles, value", [("1;2;3", -1), ("1;2;4", 1), ("2;2", -1), ("3;2", 1)])
def test_nim_of_several_piles_is_lost_where_their_sum_without_carrying_is_nought(piles, value):
    game = load(f"openspiel:nim(pile_sizes={piles}, is_misere=False)")
    assert Solution(game).value(game.initial_state()) == (value, -value)


def test_chance_is_by_expectation():
    """Pig to 2 with a coin for a die: a turn wins with ½, and the third turn is the last: ½ - ¼ + ⅛."""
    game = load("openspiel:pig(winscore=2, diceoutcomes=2, horizon=4)")
    solution, start = Solution(game), game.initial_state()
    assert solution.value(start) == (0.375, -0.375)
    assert solution.action_values(start) == {0: 0.375, 1: -0.25}


def test_each_of_three_players_looks_after_itself_and_pay_on_the_way_counts():
    gamble = {"chance": (0.25, 0.75), 0: ((8.0, 0.0, 0.0), {}), 1: ((0.0, 0.0, 4.0), {})}
    third = {"player": 2, 0: ((0.0, 0.0, 1.0), {}), 1: ((0.0, 5.0, 0.5), gamble)}
    second = {"player": 1, 0: ((0.0, 4.5, 0.0), {}), 1: ((1.0, 0.0, 0.0), third)}
    game = Told({"player": 0, 0: ((2.5, 0.0, 0.0), {}), 1: ((0.0, 0.0, 0.0), second)}, 3)
    solution, start = Solution(game), game.initial_state()
    assert solution.value(start) == (1.0 + 0.25 * 8.0, 5.0, 0.5 + 0.75 * 4.0)
    assert solution.action_values(start) == {0: 2.5, 1: 3.0}
    later = [edge.state for edge in edges(start)][1]
    assert later.returns() == (0.0, 0.0, 0.0) and solution.value(later) == (3.0, 5.0, 3.5)


def test_of_equally_good_moves_the_first_decides_what_the_others_get():
    game = Told({"player": 0, 3: ((1.0, 7.0), {}), 5: ((1.0, 9.0), {})}, 2)
    assert Solution(game).value(game.initial_state()) == (1.0, 7.0)
    assert Solution(game).choose([game.initial_state()]) == [3]


def test_what_cannot_be_is_not_visited():
    game = Told({"chance": (0.0, 1.0), 0: ((9.0, 9.0), {}), 1: ((1.0, 2.0), {})}, 2)
    assert [edge.action for edge in edges(game.initial_state())] == [1]
    assert Solution(game).value(game.initial_state()) == (1.0, 2.0)


@pytest.mark.parametrize("seat", [0, 1])
def test_a_perfect_player_is_unbeaten_and_the_first_legal_action_is_not(seat):
    perfect = every_end(TIC_TAC_TOE, Solution(TIC_TAC_TOE).choose, seat)
    assert perfect.lost == 0 and perfect.won > 0 and perfect.drawn > 0
    assert every_end(TIC_TAC_TOE, first, seat).lost > 0


@pytest.mark.parametrize(
    "stones, seat, taken, ends",
    [
        (4, 0, 1, Ends(won=1, drawn=0, lost=1, decisions=3)),  # asked at 4, 2 and 1
        (4, 0, 2, Ends(won=1, drawn=0, lost=1, decisions=2)),  # asked at 4 and 1; from 2 the other takes all
        (3, 1, 1, Ends(won=1, drawn=0, lost=1, decisions=2)),
        (3, 1, 2, Ends(won=1, drawn=0, lost=0, decisions=2)),
    ],
)
def test_ends_are_counted_as_by_hand(stones, seat, taken, ends):
    assert every_end(Nim(stones), lambda states: [min(taken, state.stones) - 1 for state in states], seat) == ends


def test_an_agent_is_asked_about_each_position_once_and_about_a_level_at_once():
    calls = []

    def choose(states):
        calls.append([state.key() for state in states])
        return first(states)

    ends = every_end(TIC_TAC_TOE, choose, 1)
    assert len(calls) == 4 and len(calls[0]) == 9
    asked = [key for call in calls for key in call]
    assert len(asked) == len(set(asked)) == ends.decisions


def test_every_outcome_of_chance_is_met():
    luck = {"chance": (0.5, 0.3, 0.2), 0: ((1.0, 0.0), {}), 1: ((0.0, 1.0), {}), 2: ((2.0, 2.0), {})}
    game = Told({"player": 0, 0: ((0.0, 0.0), luck)}, 2)
    assert every_end(game, first, 0) == Ends(won=1, drawn=1, lost=1, decisions=1)
    assert every_end(game, first, 1) == Ends(won=1, drawn=1, lost=1, decisions=0)


def test_a_game_may_be_deeper_than_pythons_stack():
    game = Nim(3000)
    assert Solution(game).value(game.initial_state()) == (-1.0, 1.0)


def test_a_position_near_the_end_is_solved_alone():
    game = load("openspiel:connect_four(rows=4, columns=4, x_in_row=3)")
    start = game.initial_state()
    for column in (0, 3, 0):
        start.apply([column, column])
    solution = Solution(game, start)
    assert solution.action_values(start)[0] == max(solution.action_values(start).values())  # it must block
    with pytest.raises(UserError, match="expected a position that was reached when 'openspiel:connect_four"):
        solution.value(game.initial_state())


@pytest.mark.parametrize("reference", ["openspiel:kuhn_poker", "openspiel:matrix_rps", "openspiel:goofspiel"])
def test_hidden_information_and_simultaneous_moves_are_refused(reference):
    for ask in (Solution, lambda game: every_end(game, first, 0)):
        with pytest.raises(UserError, match="expected a game of turns and perfect information, got 'openspiel:"):
            ask(load(reference))


def by_program(payoffs):
    """The value of a stage game by linear programming: max v with x'M >= v."""
    rows, columns = payoffs.shape
    found = linprog(
        [0.0] * rows + [-1],
        A_ub=np.hstack([-payoffs.T, np.ones((columns, 1))]),
        b_ub=[0.0] * columns,
        A_eq=[[1.0] * rows + [0]],
        b_eq=[1],
        bounds=[(0, None)] * rows + [(None, None)],
    )
    return -found.fun


def test_simultaneous_moves_by_the_values_of_their_stage_games():
    """Whoever names his highest card for the highest prize cannot lose goofspiel with two cards."""
    pennies = load("matrix(payoffs=[[[3, -1], [-1, 1]], [[-3, 1], [1, -1]]])")
    solution = Solution(pennies, stage=by_program)
    start = pennies.initial_state()
    assert solution.value(start) == pytest.approx((1 / 3, -1 / 3))
    assert solution.stage(start).tolist() == [[3, -1], [-1, 1]]
    two = load("openspiel:goofspiel(num_cards=2,points_order=descending)")
    solution = Solution(two, stage=by_program)
    assert solution.stage(two.initial_state()).tolist() == [[0, -1], [1, 0]]
    four = load("openspiel:goofspiel(num_cards=4,points_order=descending,returns_type=point_difference)")
    assert Solution(four, stage=by_program).value(four.initial_state()) == pytest.approx((0, 0), abs=1e-9)


def test_turns_are_stage_games_of_one_row_or_column():
    solution, start = Solution(TIC_TAC_TOE, stage=by_program), TIC_TAC_TOE.initial_state()
    assert solution.values == Solution(TIC_TAC_TOE).values
    assert solution.stage(start).tolist() == [[0.0]] * 9
    start.apply([0, 0])
    assert solution.stage(start).tolist() == [[1.0, 1, 1, 0, 1, 1, 1, 1]]
    for reference in ("openspiel:kuhn_poker", "matrix(game=chicken)", "openspiel:goofspiel(players=3,num_cards=2)"):
        with pytest.raises(UserError, match="expected a zero-sum game of two players that hides nothing but"):
            Solution(load(reference), stage=by_program)


def test_a_game_that_is_too_large_is_refused():
    for ask in (Solution, lambda game, limit: every_end(game, first, 0, limit)):
        with pytest.raises(UserError, match=r"^expected at most 100 positions, got more in 'openspiel:tic_tac_toe'"):
            ask(TIC_TAC_TOE, limit=100)


def test_a_game_that_comes_back_is_refused():
    tree = {"player": 0, 0: ((1.0, 0.0), {})}
    tree[1] = ((0.0, 0.0), {"player": 1, 0: ((0.0, 0.0), tree)})
    with pytest.raises(UserError, match="expected a game that never repeats a position, got 'told'"):
        Solution(Told(tree, 2))


def test_misuse_is_told_in_one_sentence():
    end = Nim(1).initial_state()
    end.apply([0, 0])
    with pytest.raises(UserError, match=r"expected a position of 'nim' with a player to move, got \(0, 1\)"):
        Solution(Nim(1)).action_values(end)
    with pytest.raises(UserError, match="expected two players or more and one of their seats, got seat 2 of 'nim'"):
        every_end(Nim(), first, 2)
    with pytest.raises(UserError, match="got seat 0 of 'openspiel:catch'"):
        every_end(load("openspiel:catch"), first, 0)
    with pytest.raises(UserError, match=r"^expected a legal action of player 0, got 2 at \(7, 0\)$"):
        every_end(Nim(), lambda states: [2], 0)
    with pytest.raises(UserError, match="expected an action for each of 1 positions, got 0"):
        every_end(Nim(), lambda states: [], 0)
