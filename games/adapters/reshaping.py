"""Wrappers that turn spaces which the contract does not support into supported ones; each changes one environment.

    flatten_views      Dict, Tuple and MultiDiscrete views become one row of numbers, by gymnasium's own `flatten`
    flatten_actions    MultiDiscrete, MultiBinary, boxes of whole numbers, and Tuples and Dicts of them become Discrete:
                       one number for each joint choice, MOST_ACTIONS at most
    scale_actions      boxes of floats become boxes from -1 to 1; `low` and `high` replace infinite bounds

They are written after a reference, as SuperSuit's are (`games.wrappers.ON_SPACES`), for the APIs of PettingZoo and
Gymnasium. A mask of flattened actions with as many entries as the parts have choices together holds the masks of the
parts, one after the other; any other mask holds the joint choices.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import gymnasium.spaces as spaces
import numpy as np
from numpy.typing import NDArray

from games.adapters.within import Within
from games.errors import UserError
from games.references import Reference, bound

MOST_ACTIONS = 4096  # joint choices of a player; larger spaces are learned better in parts


@dataclass(frozen=True)
class Change:
    """A conversion of one player's views or actions, with the new `space`, and of its mask.

    A view is converted from the environment's space into `space`, an action from `space` into the environment's.
    """

    space: Any
    convert: Callable[[Any], Any]
    mask: Callable[[Any], Any] = lambda mask: mask


@dataclass(frozen=True)
class Reshaping:
    """A wrapper: its change of a space of views and of a space of actions; they raise UserError for other spaces."""

    view: Callable[[Any], Change]
    action: Callable[[Any], Change]


def reshaping(reference: Reference) -> Reshaping:
    """Return the wrapper that a reference names; raises UserError where its arguments do not fit."""
    made: Reshaping = bound(_NAMED[reference.name], reference)()
    return made


def remedy_for_view(reference: str, space: Any) -> str:
    """Return the remedy for an unsupported space of views, in words."""
    try:
        flat_view(space)
    except UserError as error:
        return f"{error}; wrap it in a class of your own"
    return f"write '{reference} | flatten_views'"


def remedy_for_actions(reference: str, actions: Sequence[Any]) -> str:
    """Return the remedy for unsupported spaces of actions [N], in words."""
    if all(_is_floats(space) for space in actions):
        return f"write '{reference} | scale_actions(low=-1, high=1)'"
    try:
        for space in actions:
            flat_action(space)
    except UserError as error:
        return f"{error}; wrap it in a class of your own"
    return f"write '{reference} | flatten_actions'"


def flat_view(space: Any) -> Change:
    """Flatten a view, but not its mask of legal actions; raises UserError for a space without a flat form."""
    if isinstance(space, spaces.Dict) and "action_mask" in space.spaces:
        rest = spaces.Dict({name: part for name, part in space.spaces.items() if name != "action_mask"})
        seen = flat_view(rest)
        whole = spaces.Dict(observation=seen.space, action_mask=space["action_mask"])
        return Change(whole, lambda obs: {"observation": seen.convert(obs), "action_mask": obs["action_mask"]})
    flat = spaces.flatten_space(space)
    leaves = list(_leaves(space))
    if not isinstance(flat, spaces.Box) or not all(isinstance(leaf, _ARRAYS) for leaf, _ in leaves):
        raise UserError(f"{space} has no flat form of one size")
    checks = [(Within(leaf), path) for leaf, path in leaves]

    def convert(obs: Any) -> NDArray[Any]:
        for within, path in checks:
            part = obs
            for step in path:
                part = part[step]
            try:
                within(part)
            except ValueError as error:
                raise ValueError(f"{'.'.join(map(str, ('the view', *path)))} {error}") from error
        return np.asarray(spaces.flatten(space, obs))

    return Change(flat, convert)


def flat_action(space: Any) -> Change:
    """Number the joint choices of a space, the last part fastest; raises UserError if they are too many or infinite."""
    if isinstance(space, spaces.Discrete):
        return Change(space, lambda action: action)
    sizes = list(_sizes(space))
    joint = math.prod(sizes)
    if joint > MOST_ACTIONS:
        raise UserError(f"{space} has {joint:,} joint choices, and at most {MOST_ACTIONS:,} are flattened")

    def convert(action: int) -> Any:
        return _built(space, iter([int(digit) for digit in np.unravel_index(action, sizes)]))

    def mask(given: Any) -> NDArray[Any]:
        parts = given if isinstance(given, tuple | list) else (given,)
        flat = np.concatenate([np.asarray(part).reshape(-1) for part in parts])
        if flat.size != sum(sizes):
            return flat
        return reduce(lambda legal, part: np.outer(legal, part).reshape(-1), np.split(flat, np.cumsum(sizes)[:-1]))

    return Change(spaces.Discrete(joint), convert, mask)


def scaled_action(space: Any, low: float | None, high: float | None) -> Change:
    """Scale a box of floats to -1..1: -1 is exactly the lowest action, 1 the highest.

    `low` and `high` replace infinite bounds. Raises UserError for other spaces, and for an infinite bound without them.
    """
    if not _is_floats(space):
        raise UserError(f"expected boxes of floats to scale, got {space}")
    least, most = space.low.astype(np.float64), space.high.astype(np.float64)
    least = np.where(np.isfinite(least), least, np.nan if low is None else low)
    most = np.where(np.isfinite(most), most, np.nan if high is None else high)
    if not (least < most).all():
        raise UserError(f"{space} needs low and high, as in scale_actions(low=-1, high=1), the lower one first")

    def convert(action: Any) -> NDArray[Any]:
        share = (np.clip(np.asarray(action, np.float64), -1, 1) + 1) / 2
        return np.clip(least * (1 - share) + most * share, least, most).astype(space.dtype)

    return Change(spaces.Box(-1, 1, space.shape, np.float32), convert)


def _same(space: Any) -> Change:
    return Change(space, lambda value: value)


def flatten_views() -> Reshaping:
    return Reshaping(flat_view, _same)


def flatten_actions() -> Reshaping:
    return Reshaping(_same, flat_action)


def scale_actions(low: float | None = None, high: float | None = None) -> Reshaping:
    return Reshaping(_same, lambda space: scaled_action(space, low, high))


_NAMED = {"flatten_actions": flatten_actions, "flatten_views": flatten_views, "scale_actions": scale_actions}
_ARRAYS = spaces.Box | spaces.MultiBinary | spaces.Discrete | spaces.MultiDiscrete


def _is_floats(space: Any) -> bool:
    return isinstance(space, spaces.Box) and space.dtype.kind == "f"


def _children(space: Any) -> list[tuple[Any, Any]]:
    """Return the parts of a space with their keys, in gymnasium's order."""
    return list(space.spaces.items()) if isinstance(space, spaces.Dict) else list(enumerate(space.spaces))


def _leaves(space: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield the parts of a space that have no parts themselves, each with the path of keys to it."""
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        yield space, path
        return
    for key, child in _children(space):
        yield from _leaves(child, (*path, key))


def _sizes(space: Any) -> Iterator[int]:
    """Yield the number of choices of each part of a space; raises UserError for a part with uncountable choices."""
    for leaf, _ in _leaves(space):
        if isinstance(leaf, spaces.Discrete):
            yield int(leaf.n)
        elif isinstance(leaf, spaces.MultiDiscrete):
            yield from leaf.nvec.reshape(-1).tolist()
        elif isinstance(leaf, spaces.MultiBinary):
            yield from [2] * math.prod(leaf.shape)
        elif isinstance(leaf, spaces.Box) and leaf.dtype.kind in "iu":
            yield from (leaf.high.astype(object) - leaf.low.astype(object) + 1).reshape(-1).tolist()
        else:
            raise UserError(f"the choices of {leaf} cannot be counted")


def _built(space: Any, digits: Iterator[int]) -> Any:
    """Return an element of a space from the choices of its parts."""
    if isinstance(space, spaces.Discrete):
        return int(space.start) + next(digits)
    if isinstance(space, spaces.Dict):
        return {key: _built(child, digits) for key, child in _children(space)}
    if isinstance(space, spaces.Tuple):
        return tuple(_built(child, digits) for _, child in _children(space))
    start = space.low if isinstance(space, spaces.Box) else getattr(space, "start", 0)
    chosen = np.array([next(digits) for _ in range(math.prod(space.shape))]).reshape(space.shape)
    return (chosen + start).astype(space.dtype)
