"""Draw a game's position, for everybody or for one of its players.

A game draws itself by one optional method: `draw(player) -> Drawing | None` of its `State`, or of its `VecEnv`
`picture(env, player)`. With a player named, it reads nothing that is hidden from this player; None as player shows
everything. Where a game has no such method, or returns None, its text is drawn: `str(state)` where nothing is hidden
from who looks, else what `describe(player)` says, else the numbers of the player's view.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from games.arrays import Views
from games.contract import Game, Spec, State, VecEnv
from games.drawing.svg import Area, Drawing, on_top, rectangle, text
from games.drawing.view import view
from games.drawing.words import words
from games.errors import UserError, theirs, written
from games.vector import position

__all__ = ["Area", "Drawing", "drawing_of", "drawing_of_frame", "with_values"]

Kind = Literal["heat", "bars"]
LEAST_WRITTEN = 0.05  # of the largest number: smaller ones are not written


def drawing_of(game: Game, state: State, player: int | None = None) -> Drawing:
    """Return a position as a drawing: all of it, or what a player may see.

    Raises UserError where the game's own `draw`, `describe` or text raises.
    """
    return _of_position(game.spec, state, player)


def drawing_of_frame(venv: VecEnv, env: int = 0, player: int | None = None, seen: Views | None = None) -> Drawing:
    """Return one environment of a batch as it is now, for all games: also for those without positions.

    `seen` [*O] is the player's view at this step, which is drawn where the game has neither a picture nor words for it.
    Raises UserError where the game's own `draw`, `picture`, `describe` or `render` raises.
    """
    if (drawn := _drawn(venv, "picture", venv.spec, env, player)) is not None:
        return drawn
    states: Any = getattr(venv, "states", None)
    if venv.spec.searchable and states:
        return _of_position(venv.spec, states(np.array([env]))[0], player)
    if _sees_all(venv.spec, player):
        told = _called(venv, "render", venv.spec, env)
    else:
        told = _called(venv, "describe", venv.spec, env, player)
    if not told and seen is not None and player is not None:
        return view(seen, player, venv.spec.name)
    return words(told or _title(venv.spec, player), venv.spec.name)


def with_values(drawing: Drawing, values: Mapping[int, float], kind: Kind = "heat") -> Drawing:
    """Return a drawing with a number for each action, such as a policy or visits, over the places of the actions.

    "heat" shades a place the more, the larger its number; "bars" draws a bar at its bottom. The largest number is the
    full shade, or length, and the larger ones are written: as percentages where all are at most 1. Actions without a
    place are left out; of those that share a place the numbers are added.
    """
    places: dict[Area, float] = {}
    for action, value in values.items():
        if action in drawing.targets:
            area = drawing.targets[action]
            places[area] = places.get(area, 0.0) + float(value)
    most = max(places.values(), default=0.0)
    shapes = []
    for area, value in places.items():
        share = value / most if most > 0 else 0.0
        if share > 0:
            shapes.append(_shade(area, share) if kind == "heat" else _bar(area, share))
        if share >= LEAST_WRITTEN:
            shapes.append(_written(area, _percent(value) if most <= 1 else f"{value:.4g}"))
    return on_top(drawing, shapes)


def _percent(share: float) -> str:
    """Return a share as whole percents; halves go up, as in the page's table of the same numbers (`board.js`)."""
    return f"{math.floor(100 * share + 0.5)}%"


def _shade(area: Area, share: float) -> str:
    return rectangle(area.inset(1), "value", radius=3, opacity=round(0.15 + 0.6 * share, 2))


def _bar(area: Area, share: float) -> str:
    thick = min(area.height, area.width) * 0.14
    bar = Area(area.x + 2, area.y + area.height - thick - 2, (area.width - 4) * share, thick)
    return rectangle(bar, "value", radius=min(thick, bar.width) / 2)


def _written(area: Area, words: str) -> str:
    """Write in the middle of a place, at the top of a column."""
    x, y = area.centre
    size = min(area.width / (0.75 * max(3, len(words))), area.height / 2.5, 16)
    y = area.y + area.width / 2 if area.height > 2 * area.width else y
    return text(x, y + size * 0.35, words, size, bold=True, halo=True)


def _of_position(spec: Spec, state: State, player: int | None) -> Drawing:
    if (drawn := _drawn(state, "draw", spec, player)) is not None:
        return drawn
    if _sees_all(spec, player):
        with theirs(f"the position of '{spec.name}' has no text"):
            return words(position(state) or _title(spec, player), spec.name)
    assert player is not None
    told = _called(state, "describe", spec, player)
    return words(told, spec.name) if told else view(_view(spec, state, player), player, spec.name)


def _drawn(owner: Any, method: str, spec: Spec, *arguments: Any) -> Drawing | None:
    """Return what a game draws itself; None where it does not."""
    drawn = _called(owner, method, spec, *arguments)
    if drawn is not None and not isinstance(drawn, Drawing):
        raise UserError(f"`{method}` of '{spec.name}' returned {written(drawn)}, expected a Drawing, or None; mend it")
    return drawn


def _called(owner: Any, method: str, spec: Spec, *arguments: Any) -> Any:
    """Return what an optional method returns; None where there is none."""
    found = getattr(owner, method, None)
    if found is None:
        return None
    with theirs(f"`{method}` of '{spec.name}' failed"):
        return found(*arguments)


def _sees_all(spec: Spec, player: int | None) -> bool:
    return player is None or spec.perfect_information


def _title(spec: Spec, player: int | None) -> str:
    """Say of a game without text what it is."""
    return spec.name if player is None else f"{spec.name}\nplayer {player}"


def _view(spec: Spec, state: State, player: int) -> Views:
    """Return a player's view of a position [*O]."""
    seen: Views = np.zeros(int(np.prod(spec.observation.shape)), spec.observation.dtype)
    with theirs(f"`observe` of '{spec.name}' failed"):
        state.observe(player, seen)
    return seen.reshape(spec.observation.shape)
