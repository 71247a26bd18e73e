"""What a player can tell of the moves of others."""

from typing import Any

from games.contract import Spec, State


def tells_moves(spec: Spec, state: State, mover: int, watcher: int) -> bool:
    """Return whether a player can tell which move the only mover makes: each that is legal, and none, reads otherwise.

    False where the game has no words for what a player sees (`describe`), and where there is but one move.
    """
    before: Any = state
    if not hasattr(before, "describe") or before.acting() != (mover,):
        return False
    legal = state.legal_actions(mover)
    told = [before.describe(watcher)]
    for action in legal:
        after = before.clone()
        after.apply([action] * spec.num_players)  # the entries of those who do not act are ignored
        told.append(after.describe(watcher))
    return len(legal) > 1 and len(set(told)) == len(told)
