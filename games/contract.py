"""The game contract: every array that passes between a game and its players, with its shape.

Axis letters: E environments stepped together, N players, A actions, S size of the global state, O an observation.

There are two interfaces. `VecEnv` steps a batch of environments; learning, evaluation and tournaments use it.
`State` is a clonable position; search uses it, and any `Game` becomes a `VecEnv` through `games/vector.py`.

`acting` alone tells who moves: one player (turns), all (simultaneous moves), some (others are dead, wait, or have not
joined yet), none (an episode's last step, and any step that the game takes by itself).

    step        0      1      2     ...   T            T+1    T+2
    first       True                                   True
    acting      yes    yes    yes         nobody       yes    yes
    reward      0      r      r           r            0      r
    end                                   terminated
                                          or truncated

The step after a last step ignores its actions and returns `first` (dm_env's rule).

A player is `terminated` when its return is complete: nothing is paid to it after that. A player who is out of the game
but may still be paid is not acting, and not terminated. In a team game all players, dead or alive, are paid the same
at every step and terminate together, when the episode ends. Rewards that a player gets while it does not act belong to
its last decision (marl/learning/returns.py).
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import chain
from operator import index
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from games.arrays import Actions, Views
from games.errors import UserError, nearest

Payoff = Literal["zero_sum", "team", "general_sum"]
Turns = Literal["sequential", "simultaneous", "mixed"]
Symmetry = Literal["", "mirror", "square"]

MOST_STEPS = 20_000  # limit of an episode whose Spec has no `max_length`


def _kind(dtype: str) -> str:
    """Return numpy's letter for what a dtype holds; "V", that of none of them, for a name that numpy does not know."""
    try:
        return np.dtype(dtype).kind
    except TypeError:
        return "V"


@dataclass(frozen=True)
class Array:
    """Describe an observation: the shape of one player's view (the largest, where they differ) and its dtype.

    `kind` names the views where a game offers several. Agents that were trained on one kind do not play by another.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    kind: str = ""


@dataclass(frozen=True)
class Discrete:
    """Describe actions 0..n-1; `n` is the largest of the players' action counts."""

    n: int


Bound = float | tuple[tuple[float, ...], ...]
Teams = tuple[tuple[int, ...], ...]  # the players of each team


@dataclass(frozen=True)
class Box:
    """Describe continuous actions of `size` numbers (D) between `low` and `high`, which are finite.

    A bound is one number for all, or an array [N, D] (nested sequences, kept as tuples) where the numbers or the
    players differ. A player with fewer numbers is padded; the bounds of the padding mean nothing.
    """

    size: int
    low: Bound
    high: Bound

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            bound = getattr(self, name)
            if not isinstance(bound, int | float):
                try:
                    rows = np.asarray(bound, np.float64)
                except (TypeError, ValueError):
                    rows = np.zeros(0)
                if rows.ndim != 2:
                    raise UserError(f"expected {name} of a Box as one number, or a table [N, D] of them, got {bound}")
                object.__setattr__(self, name, tuple(tuple(row) for row in rows.tolist()))


@dataclass(frozen=True)
class Entities:
    """Describe a group of entities in a flat observation: `count` stretches of `width` numbers from `start` on.

    For networks that treat a group as a set: relabelling its entities permutes these stretches.
    """

    name: str
    start: int
    count: int
    width: int


@dataclass(frozen=True)
class Spec:
    """Describe a game; a learner checks it when the learner is built. Raises UserError for an invalid field.

    `teams` are the players of each team in a game of team against team. What a team is paid is the sum of what its
    players are, who may be paid differently: `zero_sum` says the same of players and of teams. Without any, each player
    is for itself, or, where `payoff` is "team", all are one team.

    `observation_sizes` and `action_sizes` give each player's own (flat) size where players differ; the rest is padding.
    `max_length` and `return_bounds` are None where they are not known. `symmetry` names the symmetries of the rules on
    a board observed as planes [C, H, W]: "mirror" (left-right reflection) or "square" (all eight rotations and
    reflections). Actions are permuted with the board: the first H * W are its cells, or the first W its columns; any
    others keep their numbers.
    """

    name: str
    num_players: int
    observation: Array
    action: Discrete | Box
    payoff: Payoff
    turns: Turns
    perfect_information: bool
    chance: bool
    searchable: bool
    step_rewards: bool = True  # False: rewards are paid only at the end
    idle_steps: bool = False  # True: at some steps nobody acts and the game moves by itself
    global_state_size: int = 0
    max_length: int | None = None
    return_bounds: tuple[float, float] | None = None
    observation_sizes: tuple[int, ...] = ()
    action_sizes: tuple[int, ...] = ()
    symmetry: Symmetry = ""
    resamples: bool = True  # False: hidden information cannot be resampled, as `State.resample` is missing
    entities: tuple[Entities, ...] = ()  # groups of the numbers of a flat observation; the rest is of the player itself
    interchangeable: bool = False  # True: with exchanged actions each player sees, may do and is paid what another was
    teams: Teams = ()  # two or more; every player is in exactly one

    def __post_init__(self) -> None:
        for field, kind, example in (
            ("observation", Array, "Array((15,))"),
            ("action", Discrete | Box, "Discrete(2) or Box(1, -1.0, 1.0)"),
        ):
            if not isinstance(value := getattr(self, field), kind):
                raise UserError(f"expected {field} of '{self.name}' to be an object such as {example}, got {value!r}")
        if _kind(self.observation.dtype) not in "biuf":
            raise UserError(
                f"expected the dtype of the observation of '{self.name}' to be one of real numbers, such as 'float32' "
                f"or 'uint8', got {self.observation.dtype!r}"
            )
        for field, words in (("payoff", Payoff), ("turns", Turns), ("symmetry", Symmetry)):
            if (value := getattr(self, field)) not in (known := get_args(words)):
                listed = f"{', '.join(map(repr, known[:-1]))} or {known[-1]!r}"
                hint = nearest(str(value), known)
                raise UserError(f"expected {field} of '{self.name}' to be {listed}, got {value!r}{hint}")
        if self.num_players < 1:
            raise UserError(f"expected num_players of '{self.name}' to be at least 1, got {self.num_players}")
        self._check_teams()
        if isinstance(self.action, Box):
            self._check_box(self.action)
        for group in self.entities:
            size = math.prod(self.observation.shape)
            if min(group.start, group.count - 1, group.width - 1) < 0 or group.start + group.count * group.width > size:
                raise UserError(f"expected entities of '{self.name}' within its {size} numbers of a view, got {group}")
        if self.return_bounds is not None and not self.return_bounds[0] <= self.return_bounds[1]:
            raise UserError(f"expected return_bounds of '{self.name}' as (lowest, highest), got {self.return_bounds}")

    def _check_teams(self) -> None:
        try:
            teams = tuple(tuple(map(index, team)) for team in self.teams)
        except TypeError:
            teams = ((),)
        if teams and self.payoff == "team":
            raise UserError(f"expected no teams of '{self.name}', which pays all players as one team, got {self.teams}")
        if teams and (len(teams) < 2 or () in teams or sorted(chain(*teams)) != [*range(self.num_players)]):
            raise UserError(
                f"expected teams of '{self.name}' as two or more groups in which each of its players 0 to "
                f"{self.num_players - 1} is once, such as ((0, 2), (1, 3)), got {self.teams!r}"
            )
        object.__setattr__(self, "teams", teams)

    def _check_box(self, action: Box) -> None:
        sizes = self.action_sizes
        if sizes and (len(sizes) != self.num_players or not all(1 <= size <= action.size for size in sizes)):
            raise UserError(
                f"expected action_sizes of '{self.name}' as {self.num_players} numbers from 1 to {action.size}, one "
                f"for each player, got {sizes}"
            )
        for bound in (action.low, action.high):
            shape = np.shape(bound)
            if shape not in ((), (self.num_players, action.size)):
                raise UserError(
                    f"expected bounds of the actions of '{self.name}' as one number, or {self.num_players} x "
                    f"{action.size} of them (players, numbers of an action), got an array of shape {shape}"
                )
        low, high = self.action_bounds
        if not (np.isfinite(low) & np.isfinite(high) & (low <= high)).all():
            raise UserError(f"expected finite bounds of the actions of '{self.name}', low first, got {action}")

    @cached_property
    def action_bounds(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The least and the greatest numbers [N, D] of continuous actions; both are 0 in a player's padding."""
        assert isinstance(self.action, Box), "discrete actions have no bounds"
        shape = (self.num_players, self.action.size)
        with np.errstate(over="ignore"):  # what is infinite is refused
            low, high = (
                np.broadcast_to(np.asarray(bound, np.float32), shape) * self.action_numbers
                for bound in (self.action.low, self.action.high)
            )
        return low, high

    @cached_property
    def action_numbers(self) -> NDArray[np.bool_]:
        """[N, D] True for the numbers of a player's continuous action, False for its padding."""
        assert isinstance(self.action, Box), "discrete actions are one number"
        sizes = np.array(self.action_sizes or [self.action.size] * self.num_players)
        return np.asarray(np.arange(self.action.size) < sizes[:, None])

    @property
    def sides(self) -> int:
        """How many are opposed to each other: the number of teams, or else of players."""
        return len(self.teams) or self.num_players

    @cached_property
    def side_of(self) -> NDArray[np.int64]:
        """The side of each player [N]: the number of its team, or its own without teams."""
        side = np.arange(self.num_players)
        for number, team in enumerate(self.teams):
            side[list(team)] = number
        return side

    def by_side(self, paid: NDArray[Any]) -> NDArray[Any]:
        """Return what each side is paid [..., S], the sum of its players' [..., N]."""
        if not self.teams:
            return paid
        return np.stack([paid[..., list(team)].sum(-1) for team in self.teams], -1)

    @property
    def num_actions(self) -> int:
        """Width of the action mask: 0 for continuous actions."""
        return self.action.n if isinstance(self.action, Discrete) else 0

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON data."""
        action = {"discrete": self.action.n} if isinstance(self.action, Discrete) else {"box": vars(self.action)}
        observation = {"shape": list(self.observation.shape), "dtype": self.observation.dtype}
        if self.observation.kind:
            observation["kind"] = self.observation.kind
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("action", "observation")}
        lists = {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
        lists["entities"] = [vars(group) for group in self.entities]
        lists["teams"] = [list(team) for team in self.teams]
        for name, usual in (
            ("symmetry", ""),
            ("resamples", True),
            ("entities", []),
            ("interchangeable", False),
            ("teams", []),
        ):  # left out at their defaults
            if lists[name] == usual:
                del lists[name]
        return lists | {"observation": observation, "action": action}


@dataclass
class TimeStep:
    """Hold the result of `reset` or `step` of all environments.

    The VecEnv owns the arrays and writes them in place: they are valid until its next call. Copy what you keep.
    """

    obs: Views  # [E, N, *O] fresh where a player is acting, and for every player on an episode's last step
    action_mask: NDArray[np.bool_]  # [E, N, A] all False where a player is not acting
    acting: NDArray[np.bool_]  # [E, N] must choose an action now
    reward: NDArray[np.float32]  # [E, N] paid by the transition that led here; 0 on `first`
    terminated: NDArray[np.bool_]  # [E, N] this player's return is complete; stays True until `first`, or a new life
    truncated: NDArray[np.bool_]  # [E, N] the recording was truncated: bootstrap from obs
    global_state: NDArray[np.float32]  # [E, S]
    first: NDArray[np.bool_]  # [E] opens an episode
    seed: NDArray[np.uint64]  # [E] names the episode: all its randomness is a hash of it

    @classmethod
    def empty(cls, spec: Spec, num_envs: int) -> "TimeStep":
        """Allocate the arrays of a batch, all zero."""
        seats = (num_envs, spec.num_players)
        return cls(
            obs=np.zeros((*seats, *spec.observation.shape), spec.observation.dtype),
            action_mask=np.zeros((*seats, spec.num_actions), bool),
            acting=np.zeros(seats, bool),
            reward=np.zeros(seats, np.float32),
            terminated=np.zeros(seats, bool),
            truncated=np.zeros(seats, bool),
            global_state=np.zeros((num_envs, spec.global_state_size), np.float32),
            first=np.zeros(num_envs, bool),
            seed=np.zeros(num_envs, np.uint64),
        )

    @property
    def last(self) -> NDArray[np.bool_]:
        """[E] True where the episode has just ended: every player terminated or was truncated."""
        return np.asarray((self.terminated | self.truncated).all(1))


class VecEnv(Protocol):
    """Step a batch of environments.

    Optional methods: `render(env) -> str`, the position as text; `describe(env, player) -> str`, what a player may see
    of it; `picture(env, player) -> Drawing | None`, the same drawn (None as player: all of it); `action_name(env,
    player, action) -> str`; and, where the Spec is searchable, `states` (SearchableVecEnv).
    """

    spec: Spec
    num_envs: int

    def reset(self, seeds: NDArray[np.uint64], where: NDArray[np.bool_] | None = None) -> TimeStep:
        """Open an episode in the chosen environments [E], each from its own seed [E]; all of them by default."""
        ...

    def step(self, actions: Actions) -> TimeStep:
        """Apply actions [E, N] int, or [E, N, D] float; entries of players who are not acting are ignored.

        Where the last step ended an episode, actions are ignored and the next episode opens:
        episode k of an environment is seeded by fold(the seed given to `reset`, k).
        """
        ...


@runtime_checkable
class SearchableVecEnv(VecEnv, Protocol):
    """A VecEnv of a searchable game."""

    def states(self, where: NDArray[np.int64]) -> list["State"]:
        """Return clones of the positions of the chosen environments."""
        ...


@runtime_checkable
class State(Protocol):
    """A position that search can clone: rules only.

    Optional for hidden information: `information(player) -> Hashable`, equal for positions that this player cannot
    tell apart, and `resample(player, key) -> State`, a position drawn by `key` that this player cannot tell from the
    true one. Optional for display: `action_name(player, action) -> str`; `describe(player) -> str`, what this player
    may see; `__str__`, the whole position; `draw(player) -> Drawing | None`, what this player may see as a picture, or
    the whole position where `player` is None (games/drawing/).
    """

    def clone(self) -> "State": ...

    def acting(self) -> tuple[int, ...]:
        """Return the players who must choose now; () at chance nodes and at the end."""
        ...

    def legal_actions(self, player: int) -> Sequence[int]: ...

    def chance_outcomes(self) -> Sequence[tuple[int, float]]:
        """Return (outcome, probability) pairs; empty unless this is a chance node."""
        ...

    def apply(self, actions: Sequence[int]) -> None:
        """Apply a joint action [N]; entries of players who are not acting are ignored."""
        ...

    def apply_chance(self, outcome: int) -> None: ...

    def is_terminal(self) -> bool: ...

    def returns(self) -> Sequence[float]:
        """Return what each player has been paid so far [N]."""
        ...

    def observe(self, player: int, out: Views) -> None:
        """Write the player's view into `out`, the flat row [prod(O)]."""
        ...

    def key(self) -> Hashable:
        """Return equal values for equal positions."""
        ...


@runtime_checkable
class Game(Protocol):
    """The rules of a game: its Spec and where it begins."""

    spec: Spec

    def initial_state(self) -> State: ...
