"""Minimax-DQN: known values and strategies, wrong values that fail, both seats, optimism, resume, refusals."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from games.errors import UserError
from games.keys import fold
from games.registry import load, make
from games.solvers.exhaustive import Solution
from marl.algorithms.minimax_q.minimax_dqn import MinimaxDqn
from marl.equilibria.stage import linear_programs, regret_matching
from marl.evaluation.exploitability import nash_conv
from marl.rollout.agent import policy_of, value_of
from marl.rollout.loop import Carry, rollout
from marl.rollout.types import View
from tests.games.plugin import Nim
from tests.marl.algorithms.minimax_q.games import Chain, trained

QUICK = {"hidden": [32], "learning_starts": 64, "batch_size": 64, "target_update": 20, "epsilon_end": 0.5}
ROCK_PAPER_SCISSORS, PENNIES = "matrix(game=rock_paper_scissors)", "matrix(game=matching_pennies)"
HEAVY = "matrix(payoffs=[[[3, -1], [-1, 1]], [[-3, 1], [1, -1]]])"  # value 1/3, both play (1/3, 2/3)


def views(reference, players=(0, 1)):
    """Return the views of players at the start of a game."""
    game = load(reference) if isinstance(reference, str) else reference
    states = [game.initial_state() for _ in players]
    return View.of(game.spec, states, fold(0, np.arange(len(states))), first=True, players=players)


@pytest.mark.parametrize(
    ("game", "value", "strategy"),
    [(ROCK_PAPER_SCISSORS, 0, [1 / 3] * 3), (PENNIES, 0, [1 / 2] * 2), (HEAVY, 1 / 3, [1 / 3, 2 / 3])],
)
def test_values_and_mixed_strategies(game, value, strategy):
    made, _ = trained(MinimaxDqn, make(game, 64), 2_000, learning_rate=3e-3, iterations=50, **QUICK)
    agent, view = made.agent(), views(game)
    found = np.exp(policy_of(agent)(view, None)[0])
    assert found == pytest.approx(np.array([strategy] * 2), abs=0.02)
    assert value_of(agent)(view, None) == pytest.approx([value, -value], abs=0.02)
    assert nash_conv(agent, made.spec, 0, 2, game=game).nash_conv <= 0.05


def pure_maximin(payoffs, rows=None, columns=None):
    """Wrong: the best of the worst cases of pure actions."""
    return replace(regret_matching(payoffs, rows, columns, iterations=10), values=payoffs.min(2).max(1))


def mean_of_cells(payoffs, rows, columns):
    """Wrong: the mean of all payoffs."""
    legal = rows[:, :, None] & columns[:, None]
    return replace(
        regret_matching(payoffs, rows, columns, iterations=10),
        values=(payoffs * legal).sum((1, 2)) / legal.sum((1, 2)),
    )


def solved_ahead(payoffs, *, player, next_player, legal=(True, True, True), solve=regret_matching):
    """Return the value of a next position with these payoffs to who sees it, as the learner stores it for a player.

    Where that is not the player itself, the other moves alone.
    """
    made = MinimaxDqn(MinimaxDqn.Config(**QUICK), Chain(1, 3).spec, key=1, total_steps=1, device="cpu")
    made.solve = solve
    with torch.no_grad():
        made.target.body[-1].weight.zero_()
        made.target.body[-1].bias.copy_(torch.tensor(payoffs).flatten())
    rows = made.replay.rows = {
        name: np.zeros((1, *column.shape[1:]), column.dtype) for name, column in made.replay.rows.items()
    }
    rows["player"][:], rows["next_player"][:], rows["solved"][:] = player, next_player, -1
    rows["next_legal"][:] = legal
    rows["next_other_legal"][:] = True if player == next_player else [True, False, False]
    made.solve_ahead(np.array([0]))
    return float(rows["value"][0, 0])


def test_wrong_values_of_stage_games_would_be_seen():
    pick = partial(solved_ahead, [[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], player=0, next_player=0)
    assert pick() == pytest.approx(0, abs=3e-3) and pick(solve=pure_maximin) == -1
    lopsided = partial(solved_ahead, [[1.0, 1, 1], [1, -2, -2], [1, -2, -2]], player=1, next_player=1)
    assert lopsided() == 1 and lopsided(solve=mean_of_cells) == pytest.approx(-1 / 3)


def test_a_position_of_the_other_counts_negative():
    """The other's best of 5 and 2 is 5, which is -5 for the player; what is illegal pays more and does not count."""
    payoffs, legal = [[5.0, 90, 90], [2, 90, 90], [99, 90, 90]], (True, True, False)
    assert solved_ahead(payoffs, player=0, next_player=1, legal=legal) == -5
    assert solved_ahead(payoffs, player=1, next_player=0, legal=legal) == -5


def test_goofspiel_with_three_cards():
    """The largest error of Q at the start, from both seats, and NashConv."""
    reference, quick = "openspiel:goofspiel(num_cards=3,points_order=descending)", QUICK | {"learning_rate": 3e-3}
    made, metrics = trained(MinimaxDqn, make(reference, 64), 4_000, iterations=50, steps_per_update=16, **quick)
    game = load(reference)
    solution = Solution(game, stage=lambda payoffs: float(linear_programs(payoffs[None]).values[0]))
    found, exact = made.agent().payoffs(views(reference)), solution.stage(game.initial_state())
    assert found[0] == pytest.approx(exact, abs=0.15) and found[1] == pytest.approx(-exact.T, abs=0.15)
    assert nash_conv(made.agent(), made.spec, 0, 2).nash_conv <= 0.1
    assert 0 <= metrics["duality_gap"] < 0.1 and abs(metrics["start_value"]) < 0.1


def test_turns_are_games_of_one_row_or_column():
    """Nim with four stones: taking one leaves three, which lose."""
    quick = QUICK | {"learning_rate": 3e-3, "epsilon_end": 1.0, "hidden": [64]}
    made, _ = trained(MinimaxDqn, Nim(4), 8_000, iterations=10, **quick)
    view = views(Nim(4), players=[0])
    assert made.agent().value(view, None) == pytest.approx([1], abs=0.1)
    solution = Solution(Nim(4))
    best = max(values := solution.action_values(Nim(4).initial_state()), key=values.__getitem__)
    assert made.agent().act(view, None)[0].action[0] == best


def test_one_function_for_interchangeable_seats_and_two_for_others():
    both = make(ROCK_PAPER_SCISSORS, 1).spec
    for spec, auto, expected in (
        (both, "auto", True),
        (make(PENNIES, 1).spec, "auto", False),
        (both, False, False),
        (make("openspiel:goofspiel(num_cards=4)", 1).spec, "auto", True),
        (make("openspiel:oshi_zumo", 1).spec, "auto", False),
    ):
        config = MinimaxDqn.Config(interchangeable=auto)
        made = MinimaxDqn(config, spec, key=1, total_steps=1, device="cpu")
        assert (made.network.players == 0) == expected


def test_optimism_raises_values_at_the_start_and_gives_the_seats_two_roles():
    game = Chain(2)
    found = {}
    for optimism in (0.0, 0.3):
        config = MinimaxDqn.Config(**QUICK, optimism=optimism, iterations=20)
        made = MinimaxDqn(config, game.spec, key=1, total_steps=10**9, device="cpu")
        assert len(made.actors()) == 1 + (optimism > 0) and list(made.leaders()) == [0]
        assert made.seating(4).tolist() == ([[0, 1], [1, 0]] * 2 if optimism else [[0, 0]] * 4)
        made, _ = trained(MinimaxDqn, game, 600, **QUICK, optimism=optimism, iterations=20)
        found[optimism] = made.agent().value(views(game), None)
    assert (found[0.3] > found[0.0]).all()
    assert made.optimism == 0  # it falls to 0 with the run


def test_the_exploiter_answers_the_equilibrium():
    """f says rock, paper, scissors, whose equilibrium is uniform; g that the second action always earns 1."""
    game = Chain(1, 3)
    made = MinimaxDqn(MinimaxDqn.Config(**QUICK, optimism=0.1), game.spec, key=1, total_steps=1, device="cpu")
    f, g = [[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], [[0.0, 0, 0], [1, 1, 1], [0, 2, 0]]
    with torch.no_grad():
        made.network.body[-1].weight.zero_()
        made.network.body[-1].bias.copy_(torch.tensor([f, g]).flatten())
    plays, exploits = made._actors
    view = views(game)
    assert np.exp(plays.policy(view, None)[0]) == pytest.approx(1 / 3, abs=0.01)
    assert exploits.act(view, None)[0].action.tolist() == [1, 1]
    exploits.epsilon = 0.5
    assert np.exp(exploits.policy(view, None)[0])[0] == pytest.approx([1 / 6, 4 / 6, 1 / 6])
    assert made.agent().epsilon == 0


def test_a_decision_does_not_depend_on_its_batch():
    reference = "openspiel:goofspiel(num_cards=4)"
    made = MinimaxDqn(MinimaxDqn.Config(), make(reference, 1).spec, key=1, total_steps=1, device="cpu")
    game, states = load(reference), []
    for k in range(40):
        state = game.initial_state()
        state.apply_chance(k % 4)
        states.append(state)
    view = View.of(game.spec, states, fold(0, np.arange(40)), first=True, players=[k % 2 for k in range(40)])
    for agent in (made.agent(), made.actors()[0]):
        whole = agent.act(view, None)[0].action
        policy = agent.policy(view, None)[0]
        for k in (0, 7, 39):
            assert agent.act(view.take(k), None)[0].action[0] == whole[k]
            assert agent.policy(view.take(k), None)[0].tobytes() == policy[k : k + 1].tobytes()


def test_the_same_seed_and_a_resumed_learner_give_the_same_bytes():
    def state_after(*stretches, optimism=0.1):
        venv, made = make(PENNIES, 16), None
        for steps in stretches:
            again, _ = trained(MinimaxDqn, venv, 0, **QUICK, optimism=optimism, iterations=10)
            if made is not None:
                again.load_state({name: torch.as_tensor(value).clone() for name, value in made.state().items()})
            made = again
            made.total_steps = 400
            _go_on(made, venv, steps)
        return made.state()

    whole, again, halves = state_after(200, 200), state_after(200, 200), state_after(200, 200)
    for other in (again, halves):
        assert whole.keys() == other.keys()
        for name, value in whole.items():
            assert np.asarray(value).tobytes() == np.asarray(other[name]).tobytes(), name


def _go_on(made, venv, steps):
    until = made.steps + steps
    carry = Carry(venv, made.actors(), fold(1, np.arange(len(made.actors()))), fold(made.steps, np.arange(16)))
    while made.steps < until:
        made.update(rollout(venv, made.actors(), made.seating(16), carry, 4), range(len(made.actors())))


@pytest.mark.parametrize(
    ("game", "said"),
    [
        ("openspiel:kuhn_poker", "hides more than what is chosen at the same time"),
        ("openspiel:goofspiel(num_cards=4,imp_info=True)", "hides more than"),
        ("matrix(game=prisoners_dilemma)", "is general-sum"),
        ("matrix(game=climbing)", "is team"),
        ("matrix(game=matching_pennies, steps=4)", "hides more than"),
        ("openspiel:goofspiel(players=3,num_cards=4)", "is for two players, not 3"),
        ("spread", "is for two players, not 3"),
    ],
)
def test_games_that_it_is_not_for(game, said):
    with pytest.raises(UserError, match=said) as caught:
        MinimaxDqn(MinimaxDqn.Config(), make(game, 1).spec, key=1, total_steps=1, device="cpu")
    assert "\n" not in str(caught.value)
