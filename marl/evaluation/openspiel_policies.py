"""Policies in OpenSpiel's own form, with OpenSpiel's expected returns and best responses.

`marl.exploitability` of 0.1 offered these; they stay until its names go. The tests compare marl/evaluation/tree.py with
them.
"""

from collections.abc import Sequence
from typing import Any

import pyspiel

from marl.evaluation.tree import InformationState, Probabilities, Walk


def information_states(game: Any) -> list[InformationState]:
    """Return all information states of a game, ordered by the number of the player's decisions before them."""
    return sorted(Walk(game).found, key=lambda state: len(state.decisions))


def tabular(known: Sequence[InformationState], probabilities: Probabilities) -> Any:
    """Return a policy as OpenSpiel's TabularPolicy."""
    return pyspiel.TabularPolicy(
        {
            state.name: [(action, float(chances[action])) for action in state.actions]
            for state, chances in zip(known, probabilities, strict=True)
        }
    )


def best_responses(game: Any, policy: Any) -> tuple[list[Any], list[float]]:
    """Return a best response of each player to a policy in the other seats, and its value [N]."""
    policies, worth = [], []
    for player in range(game.num_players()):  # one after another: each holds the whole game
        response = pyspiel.TabularBestResponse(game, player, policy)
        worth.append(response.value_from_state(game.new_initial_state()))
        policies.append(response.get_best_response_policy())
    return policies, worth


def returns(game: Any, policies: Sequence[Any]) -> list[float]:
    """Return the expected return of each player [N] if each plays its own policy."""
    whole = -1  # depth
    return list(pyspiel.expected_returns(game.new_initial_state(), list(policies), whole, True))
