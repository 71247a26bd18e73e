"""Gymnasium's spaces on the contract: views as arrays, actions as numbers, players by index.

    a view     Box, MultiBinary, Discrete (seen as a one-hot), or Dict(observation, action_mask) of these
    actions    all Discrete, or all Box between the same two numbers

Where players' views or actions differ in size they are padded, and the mask covers the padding.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium.spaces as spaces
import numpy as np

from games.contract import Array, Box, Discrete, Spec
from games.errors import UserError
from games.vector import Row


def described(reference: str, views: Sequence[Any], actions: Sequence[Any]) -> dict[str, Any]:
    """Return what players' spaces [N] say of a Spec; raises UserError for spaces that have no place in the contract."""
    views, action = [_view(reference, space) for space in views], _action(reference, actions)
    same = len({view.shape for view in views}) == 1
    sizes = tuple(int(np.prod(view.shape)) for view in views)
    widths = tuple(int(space.n if isinstance(space, spaces.Discrete) else np.prod(space.shape)) for space in actions)
    return {
        "num_players": len(actions),
        "observation": Array(views[0].shape if same else (max(sizes),), _dtype(views)),
        "action": action,
        "observation_sizes": () if same else sizes,
        "action_sizes": () if len(set(widths)) == 1 else widths,
    }


def plain(space: Any) -> Any:
    """Return the space of what is seen, where legal actions stand beside it."""
    return space["observation"] if isinstance(space, spaces.Dict) and "observation" in space.spaces else space


def bare(obs: Any) -> Any:
    """Return what is seen, without the legal actions beside it."""
    return obs["observation"] if isinstance(obs, dict) and "observation" in obs else obs


def said(error: BaseException) -> str:
    """Return an error in one line; with its type where that alone tells what it is."""
    words = " ".join(str(error).split()).replace("got an unexpected keyword argument", "takes no argument")
    return words if " " in words else f"{type(error).__name__} {words}".strip()


class Seats:
    """Write what players see, and whether their episodes are over, into a row; read their actions from it.

    Raises ValueError where a view or a mask is not as its space says.
    """

    def __init__(self, spec: Spec, views: Sequence[Any], actions: Sequence[Any], row: Row) -> None:
        self._views, self._actions, self._row = [plain(space) for space in views], actions, row
        self._obs = [view.reshape(-1) for view in row.obs]
        self._box = isinstance(spec.action, Box)

    def action(self, player: int, actions: Sequence[Any]) -> Any:
        """Return what this player chose of the joint action [N], in its own space."""
        space = self._actions[player]
        if self._box:
            return np.asarray(actions[player], space.dtype)[: int(np.prod(space.shape))].reshape(space.shape)
        return int(actions[player] + space.start)

    def see(self, player: int, obs: Any) -> None:
        """Write what a player sees."""
        view = np.asarray(bare(obs))
        row, space = self._obs[player], self._views[player]
        # Bytes cannot hold fractions, and numpy would cut them off without a word.
        if view.shape != space.shape or (row.dtype == np.uint8 and view.dtype.kind == "f"):
            got, expected = f"{view.dtype} {view.shape}", f"{space.dtype} {space.shape}"
            raise ValueError(f"the view of player {player} is {got}, its space says {expected}")
        if isinstance(space, spaces.Discrete):
            if not space.contains(view):
                raise ValueError(f"the view of player {player} is {view}, its space says {space}")
            row[:] = np.arange(row.size) == view - space.start
        else:
            row[: view.size] = view.reshape(-1)

    def ask(self, player: int, obs: Any, mask: Any = None) -> None:
        """Let a player act: write its view, and its legal actions from the view, or else from `mask`, or else all.

        Actions beyond a mask's end are not legal.
        """
        self.see(player, obs)
        self._row.acting[player] = True
        if not self._box:
            seen = obs.get("action_mask") if isinstance(obs, dict) else None
            mask = mask if seen is None else seen
            count = int(self._actions[player].n)
            legal = np.ones(count, bool) if mask is None else np.asarray(mask, bool).reshape(-1)
            if legal.size > count:
                raise ValueError(f"the mask of player {player} has {legal.size} actions, its space {count}")
            self._row.action_mask[player, : legal.size] = legal

    def end(self, player: int, terminated: bool, truncated: bool) -> None:
        """Note that a player's episode is over: where the two words come together its return is complete."""
        self._row.terminated[player] = terminated
        self._row.truncated[player] = truncated and not terminated

    def over(self, player: int) -> bool:
        return bool(self._row.terminated[player] or self._row.truncated[player])

    def all_over(self) -> bool:
        return bool((self._row.terminated | self._row.truncated).all())


def _view(reference: str, space: Any) -> Any:
    if isinstance(space, spaces.Dict) and set(space.spaces) <= {"observation", "action_mask"}:
        space = plain(space)
    if isinstance(space, spaces.Discrete):
        return spaces.MultiBinary(int(space.n))  # seen as a one-hot
    if not isinstance(space, spaces.Box | spaces.MultiBinary):
        raise UserError(f"expected views that are arrays in '{reference}', got {space}; wrap it so that they are")
    return space


def _dtype(views: Sequence[Any]) -> str:
    return "uint8" if all(view.dtype == np.uint8 for view in views) else "float32"


def _action(reference: str, actions: Sequence[Any]) -> Discrete | Box:
    if all(isinstance(space, spaces.Discrete) for space in actions):
        return Discrete(max(int(space.n) for space in actions))
    bounds = {(float(space.low.min()), float(space.high.max())) for space in actions if _is_box(space)}
    if all(_is_box(space) for space in actions) and len(bounds) == 1:
        return Box(max(int(np.prod(space.shape)) for space in actions), *bounds.pop())
    odd = next((space for space in actions if not isinstance(space, spaces.Discrete | spaces.Box)), actions[0])
    raise UserError(f"expected actions all discrete, or all one box, in '{reference}', got {odd}; wrap it")


def _is_box(space: Any) -> bool:
    return isinstance(space, spaces.Box) and len(set(space.low.flat)) == 1 and len(set(space.high.flat)) == 1
