"""Sampling positions: drawn for a player who cannot see all, and settled where chance moves."""

from games.contract import Spec, State
from games.keys import draw_one, fold_one, uniform_one


def drawn(spec: Spec, state: State, player: int, key: int) -> State:
    """Return a position of its own, drawn by key, that the player cannot tell from the true one."""
    if spec.perfect_information:
        return state.clone()
    return state.resample(player, key)  # type: ignore[attr-defined, no-any-return]


def settle(state: State, key: int) -> tuple[int, ...]:
    """Apply outcomes of chance, drawn by key, until somebody acts or the game is over; return who acts."""
    turn = 0
    while not (acting := state.acting()) and not state.is_terminal():
        turn += 1
        state.apply_chance(draw_one(state.chance_outcomes(), uniform_one(fold_one(key, turn))))
    return acting
