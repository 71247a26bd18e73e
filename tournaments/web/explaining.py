"""An agent's explanation as data for a page: the legal moves with their numbers, drawn on the board, and the line."""

from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup

from games.contract import State
from games.drawing.drawing import Kind, with_values
from games.vector import action_name
from marl.rollout.types import Explanation
from tournaments.web.table import Table, joint_of

MOST_LISTED = 12  # moves with their numbers, those that weigh most
LONGEST_LINE = 16  # moves


def explained(table: Table, player: int, seen_by: int | None, told: Explanation) -> dict[str, Any]:
    """Return why an agent would choose an action as a player, whose position the table shows, as JSON data.

    The position is drawn as `seen_by` sees it, with each move's share of the visits or of the policy.
    """
    legal = table.legal(player)
    policy = {} if told.policy is None else {action: float(told.policy[action]) for action in legal}
    visits = {} if told.visits is None else {action: int(told.visits[action]) for action in legal}
    made = sum(visits.values())
    weights = {action: number / made for action, number in visits.items()} if made else policy
    drawing = table.drawing(seen_by)
    tall = any(area.height > 2 * area.width for area in drawing.targets.values())
    kind: Kind = "bars" if tall else "heat"  # the shade of a whole column would hide its pieces
    rows = sorted(legal, key=lambda action: (action != told.action, -weights.get(action, 0.0)))[:MOST_LISTED]
    return {
        "action": told.action,
        "name": table.name(player, told.action),
        "value": told.value,
        "text": told.text,
        "line": _names(table, player, told.line),
        "simulations": made or None,
        "svg": Markup(with_values(drawing, weights, kind).svg),
        "rows": [
            {
                "action": action,
                "name": table.name(player, action),
                "policy": policy.get(action),
                "visits": visits.get(action),
                "share": weights.get(action),
            }
            for action in rows
        ],
    }


def _names(table: Table, player: int, line: Sequence[int]) -> list[str]:
    """Return a principal line in words; where something is hidden, only its first move, which is the player's own."""
    if not line or not table.spec.perfect_information or (state := table.state) is None:
        return [table.name(player, action) for action in line[:1]]
    return list(_walked(state, line[:LONGEST_LINE], table.spec.num_players))


def _walked(state: State, line: Sequence[int], num_players: int) -> Iterator[str]:
    """Yield the names of a line's moves, up to one that is not legal: a learned model may expect such."""
    for action in line:
        acting = state.acting()
        if len(acting) != 1 or action not in state.legal_actions(acting[0]):
            return
        yield action_name(state, acting[0], action).strip()
        state.apply(joint_of({acting[0]: action}, num_players))
