"""Small games by their tree: returns and best responses as OpenSpiel says, mixtures weighted by reach."""

import numpy as np
import pytest
from scipy.optimize import linprog

from games.keys import fold, uniform
from games.registry import load, make
from marl.evaluation import openspiel_policies as openspiels
from marl.evaluation.tree import Tree, best_responses, reach_weighted, returns, value
from marl.rollout.types import View

GAMES = [
    "openspiel:kuhn_poker",
    "openspiel:kuhn_poker(players=3)",
    "openspiel:leduc_poker",
    "openspiel:kuhn_poker(observe=information_state)",
    "openspiel:liars_dice(numdice=1,dice_sides=3)",
    "openspiel:turn_based_simultaneous_game(game=goofspiel(num_cards=3))",
    "openspiel:nim(pile_sizes='1;3')",
]


def tree_of(name: str) -> Tree:
    return Tree(make(name, 1).spec, "this test")


def some_policy(tree: Tree, key: int):
    """Return a policy of random probabilities, some of them 0."""
    drawn = uniform(fold(key, np.arange(len(tree.known))), tree.spec.num_actions)
    drawn = np.where(tree.legal, np.maximum(drawn - 0.3, 0), 0)
    drawn = np.where(drawn.any(1, keepdims=True), drawn, tree.uniform())
    return drawn / drawn.sum(1, keepdims=True)


def nash_conv(tree: Tree, policy) -> float:
    return float(best_responses(tree, policy)[1].sum() - returns(tree, [policy] * tree.spec.num_players).sum())


def test_the_information_states_of_leduc_poker_look_different():
    """OpenSpiel's observation of them merges two in five."""
    for arguments, views in (("", 516), ("(observe=information_state)", 936)):
        tree = tree_of(f"openspiel:leduc_poker{arguments}")
        shown = View.of(tree.spec, [state.decisions[-1] for state in tree.known], fold(0, tree.player), first=False)
        assert (len(np.unique(shown.obs, axis=0)), len(tree.known)) == (views, 936)


@pytest.mark.parametrize("name", GAMES)
def test_returns_and_best_responses_are_as_openspiel_says(name):
    tree, game = tree_of(name), load(name).native
    players = range(tree.spec.num_players)
    policies = [some_policy(tree, key) for key in players]
    theirs = [openspiels.tabular(tree.known, policy) for policy in policies]
    assert returns(tree, policies) == pytest.approx(openspiels.returns(game, theirs), abs=1e-12)
    for policy, other in ((policies[0], theirs[0]), (tree.uniform(), openspiels.tabular(tree.known, tree.uniform()))):
        response, worth = best_responses(tree, policy)
        assert worth == pytest.approx(openspiels.best_responses(game, other)[1], abs=1e-12)
        assert [value(tree, player, response, policy) for player in players] == pytest.approx(worth, abs=1e-12)
        assert ((response == 0) | (response == 1)).all() and (response.sum(1) == 1).all()
        assert not (response * ~tree.legal).any()


def test_among_equally_good_actions_the_best_against_uniform_play_and_then_the_first():
    """Against a coin all are equally good. Where nobody bets, a bet is answered as it would be if all were random."""
    tree = tree_of("openspiel:turn_based_simultaneous_game(game=matrix_mp())")
    assert best_responses(tree, tree.uniform())[0].tolist() == [[1, 0]] * 2
    noise = tree.uniform() + np.array([[-1e-13, 1e-13]])
    assert best_responses(tree, noise)[0].tolist() == [[1, 0]] * 2
    tree = tree_of("openspiel:kuhn_poker")
    passes = np.eye(2)[np.zeros(len(tree.known), int)]
    response = best_responses(tree, passes)[0]
    answers = {state.name: chosen.tolist() for state, chosen in zip(tree.known, response, strict=True)}
    passes, calls = [1, 0], [0, 1]
    assert [answers[f"{card}b"] for card in (0, 1, 2)] == [passes, calls, calls]
    assert [answers[f"{card}pb"] for card in (0, 2)] == [passes, calls]


def test_a_mixture_is_weighted_by_reach_and_no_mean_of_policies():
    """One passes and passes again; the other passes half of the time and then bets: (2/3, 1/3), and not (1/2, 1/2)."""
    tree = tree_of("openspiel:kuhn_poker")
    place = {state.name: k for k, state in enumerate(tree.known)}
    one, other = (np.tile([1.0, 0.0], (len(tree.known), 1)) for _ in range(2))
    other[place["0"]], other[place["0pb"]] = (0.5, 0.5), (0, 1)
    mixed = reach_weighted(tree, [one, other], [[1, 1], [1, 1]])
    assert mixed[place["0"]] == pytest.approx([3 / 4, 1 / 4])
    assert mixed[place["0pb"]] == pytest.approx([2 / 3, 1 / 3])
    assert (one + other)[place["0pb"]] / 2 == pytest.approx([1 / 2, 1 / 2])
    by_seat = reach_weighted(tree, [one, other], [[1, 0], [0, 1]])  # in seat 0 the one, in seat 1 the other
    assert np.array_equal(by_seat, np.where(tree.player[:, None] == 0, one, other))
    other[place["0"]] = one[place["0"]] = (0, 1)  # nobody comes to 0pb
    mixed = reach_weighted(tree, [one, other], [[1, 1], [3, 1]])
    assert mixed[place["0pb"]] == pytest.approx([1 / 4, 3 / 4])


@pytest.mark.parametrize("name", GAMES)
def test_a_mixture_earns_the_mean_of_its_members(name):
    tree = tree_of(name)
    members = [some_policy(tree, key) for key in range(3)]
    weights = np.array([[0.5, 0.1], [0.5, 0.2], [0.0, 0.7]])[:, [p % 2 for p in range(tree.spec.num_players)]]
    mixed, other = reach_weighted(tree, members, weights), some_policy(tree, 7)
    assert mixed.sum(1) == pytest.approx(np.ones(len(tree.known)))
    for player in range(tree.spec.num_players):
        mean = sum(
            w * value(tree, player, member, other) for w, member in zip(weights[:, player], members, strict=True)
        )
        assert value(tree, player, mixed, other) == pytest.approx(mean, abs=1e-12)


def solve(payoffs):
    """Return an equilibrium of a zero-sum matrix game, for both players."""
    return [_maximin(payoffs), _maximin(-payoffs.T)]


def _maximin(payoffs):
    rows, columns = payoffs.shape
    bounds = np.hstack([-payoffs.T, np.ones((columns, 1))])
    found = linprog(
        [*np.zeros(rows), -1],
        bounds,
        np.zeros(columns),
        [[*np.ones(rows), 0]],
        [1],
        [(0, None)] * rows + [(None, None)],
    )
    return found.x[:-1]


def test_the_exact_mixture_of_responses_is_an_equilibrium_of_kuhn_poker():
    """Exact responses to the equilibria of the responses so far come to NashConv 0, if mixtures are weighted by reach.

    Without the reach a mixture on the way is more exploitable.
    """
    tree = tree_of("openspiel:kuhn_poker")
    members = [np.eye(2)[np.zeros(len(tree.known), int)]]
    gains, means = [], []
    for _ in range(8):
        payoffs = np.array([[returns(tree, [one, other])[0] for other in members] for one in members])
        weights = np.stack(solve(payoffs), 1)
        mixed = reach_weighted(tree, members, weights)
        gains.append(nash_conv(tree, mixed))
        mean = np.einsum("mk,mka->ka", weights[:, tree.player], np.array(members))
        means.append(nash_conv(tree, mean))
        members.append(best_responses(tree, mixed)[0])
    assert gains[0] == 2 and abs(gains[-1]) < 1e-9
    assert means[5] > gains[5] + 0.01
    assert returns(tree, [mixed] * 2) == pytest.approx([-1 / 18, 1 / 18])


def test_nash_conv_is_the_sum_over_players():
    """Exploitability, its half for two players, is what others print."""
    tree = tree_of("openspiel:kuhn_poker")
    assert nash_conv(tree, tree.uniform()) == pytest.approx(0.9167, abs=1e-4)
    assert nash_conv(tree, tree.uniform()) / 2 == pytest.approx(0.4583, abs=1e-4)
