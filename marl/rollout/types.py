"""The data that the rollout, the agents and the learners exchange.

Axis letters: T time, E environments stepped together, N players, A actions, B rows of a batch,
R recorded observations.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from games.arrays import Actions, Views
from games.contract import Spec, State, TimeStep, VecEnv
from games.keys import Keys
from games.words import Words, words_at, words_of, words_of_numbers
from marl.rollout.seating import EMPTY

Hidden = Any  # an agent's recurrent state: None, or anything that rows [B] index
Tensors = dict[str, Any]  # named tensors, as a checkpoint keeps them
Offence = Literal["illegal_action", "agent_error", "timeout"]

Row = TypeVar("Row")


@dataclass(frozen=True)
class View:
    """A row for every seat, (environment, player), for which one agent must decide now."""

    obs: Views  # [B, *O]
    action_mask: NDArray[np.bool_]  # [B, A]
    player: NDArray[np.int64]  # [B]
    row: NDArray[np.int64]  # [B] the seat's number, constant through an episode
    first: NDArray[np.bool_]  # [B] whether this is the player's first decision of its episode
    key: Keys  # [B] the key from which all randomness of this decision is drawn
    states: Callable[[], list[State]] | None = None  # clones of the positions; None for a game without positions
    words: Callable[[], list[Words]] | None = None  # of the environments; `in_words` gives them always

    @classmethod
    def of(
        cls,
        spec: Spec,
        states: Sequence[State],
        keys: Keys,
        *,
        first: bool,
        players: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> "View":
        """Return the view of `players` [B], who act at positions [B]; by default of the first who acts at each.

        `first`: whether these are their first decisions.
        """
        rows = len(states)
        obs = np.zeros((rows, int(np.prod(spec.observation.shape))), spec.observation.dtype)
        mask = np.zeros((rows, spec.num_actions), bool)
        mover = np.array([state.acting()[0] for state in states] if players is None else players, np.int64)
        for state, obs_row, mask_row, player in zip(states, obs, mask, mover.tolist(), strict=True):
            state.observe(player, obs_row)
            legal = state.legal_actions(player)
            # As an index, a range of many actions would be turned into a list first.
            mask_row[slice(legal.start, legal.stop, legal.step) if isinstance(legal, range) else legal] = True
        return cls(
            obs=obs.reshape(rows, *spec.observation.shape),
            action_mask=mask,
            player=mover,
            row=np.arange(rows),
            first=np.full(rows, first),
            key=keys,
            states=lambda: [state.clone() for state in states],
        )

    @classmethod
    def at(
        cls,
        venv: VecEnv,
        timestep: TimeStep,
        env: NDArray[np.int64],
        player: NDArray[np.int64],
        keys: Keys,
        first: NDArray[np.bool_],
    ) -> "View":
        """Return what the seats (env [B], player [B]), which are acting, see at a time step of `venv`.

        `keys` [B] name all randomness of these decisions, `first` [B] those that are a player's first of its episode.
        """
        obs, mask = timestep.obs[env, player], timestep.action_mask[env, player]
        return cls(
            obs=obs,
            action_mask=mask,
            player=player,
            row=env * venv.spec.num_players + player,
            first=first,
            key=keys,
            states=(lambda: venv.states(env)) if venv.spec.searchable else None,  # type: ignore[attr-defined]
            words=lambda: [
                words_at(venv, *seat) for seat in zip(env.tolist(), player.tolist(), obs, _legal(mask), strict=True)
            ],
        )

    def __len__(self) -> int:
        return len(self.row)

    def in_words(self, spec: Spec) -> list[Words]:
        """Return what the players may see, and their moves, for who reads; `spec` is the game's."""
        if self.words is not None:
            return self.words()
        legal = _legal(self.action_mask)
        if self.states is None:
            return [words_of_numbers(*row) for row in zip(self.obs, legal, strict=True)]
        rows = zip(self.states(), self.player.tolist(), self.obs, legal, strict=True)
        return [words_of(*row, perfect_information=spec.perfect_information) for row in rows]

    def take(self, index: int) -> "View":
        """Return one row alone, as a batch of one."""
        return self.rows(slice(index, index + 1))

    def rows(self, rows: slice | NDArray[np.int64]) -> "View":
        """Return some rows, as a batch of their own."""
        numbers = np.arange(len(self))[rows].tolist()
        return View(
            self.obs[rows],
            self.action_mask[rows],
            self.player[rows],
            self.row[rows],
            self.first[rows],
            self.key[rows],
            _only(self.states, numbers),
            _only(self.words, numbers),
        )


def _legal(mask: NDArray[np.bool_]) -> list[list[int]]:
    """Return the legal actions of each row of a mask [B, A]."""
    return [np.flatnonzero(row).tolist() for row in mask]


def _only(told: Callable[[], list[Row]] | None, numbers: Sequence[int]) -> Callable[[], list[Row]] | None:
    """Return what tells of some rows alone, by their numbers, from what tells of all."""
    if told is None:
        return None

    def some() -> list[Row]:
        rows = told()
        return [rows[number] for number in numbers]

    return some


class AgentFailed(Exception):
    """Report an agent that failed to decide: the offence, and what it did, in words that begin with a verb."""

    def __init__(self, how: Offence, detail: str) -> None:
        super().__init__(how, detail)
        self.how, self.detail = how, detail


@dataclass(frozen=True)
class Decision:
    """An agent's actions, and the extras that its algorithm's update needs.

    An agent that fails at some rows and decides for the others says so in `failed`, and is not asked again.
    """

    action: Actions  # [B] int, or [B, D] float
    extras: dict[str, NDArray[Any]] = field(default_factory=dict)  # [B, ...] such as log_prob
    failed: Mapping[int, AgentFailed] = field(default_factory=dict)  # by row; the actions of these rows mean nothing
    notes: Mapping[int, str] = field(default_factory=dict)  # by row, in JSON: what a tournament keeps with the game


@dataclass(frozen=True)
class Explanation:
    """Why an agent chooses an action at one row of a view; what it cannot tell is None or empty."""

    action: int | list[float]  # what `act` chooses there, by the same key
    policy: NDArray[np.float64] | None = None  # [A] the probabilities with which it acts; of a search, its policy
    value: float | None = None  # the return that the view's player expects from here on
    visits: NDArray[np.int64] | None = None  # [A] how often a search has taken each action
    line: tuple[int, ...] = ()  # the principal line of a search: the actions that it expects, this one first
    text: str = ""


@dataclass(frozen=True)
class Trajectory:
    """What was seen at t `[T+1, ...]` and what was done at t `[T, ...]`.

    Observations are stored as rows [R] for players who were acting or truncated; `index` [T+1, E, N] points into the
    rows, -1 elsewhere. Other arrays are dense; entries of players who are not acting are meaningless.
    """

    obs: Views  # [R, *O]
    action_mask: NDArray[np.bool_]  # [R, A]
    index: NDArray[np.int64]  # [T+1, E, N] the row of the player's observation, if acting or truncated; else -1
    acting: NDArray[np.bool_]  # [T+1, E, N]
    terminated: NDArray[np.bool_]  # [T+1, E, N]
    truncated: NDArray[np.bool_]  # [T+1, E, N]
    first: NDArray[np.bool_]  # [T+1, E]
    global_state: NDArray[np.float32]  # [T+1, E, S]
    action: Actions  # [T, E, N] or [T, E, N, D]
    reward: NDArray[np.float32]  # [T, E, N] of the transition t -> t+1
    extras: dict[str, NDArray[Any]]  # [T, E, N, ...]
    seating: NDArray[np.int64]  # [T, E, N] the roster entry that held the player, the same for a whole episode
    complete: NDArray[np.bool_]  # [T, E, N] decisions whose successor is known now, and was not known before
    recorded: int  # the number of steps that the previous trajectory had too

    @property
    def steps(self) -> int:
        """Transitions of one environment that are new here; idle reset slots and idle environments do not count."""
        return int((~self.first[self.recorded + 1 :] & self.played[self.recorded :]).sum())

    @cached_property
    def played(self) -> NDArray[np.bool_]:
        """Whether somebody held a player [T, E]; environments whose seats are EMPTY are idle."""
        return np.asarray((self.seating != EMPTY).any(2))

    def learnable(self, mine: Collection[int]) -> NDArray[np.bool_]:
        """Return the mask of every loss [T, E, N]: decisions of the roster entries `mine`, each handed over once."""
        return self.complete & np.isin(self.seating, list(mine))


def prefixed(prefix: str, state: Tensors) -> Tensors:
    """Return the state under `prefix`."""
    return {f"{prefix}.{name}": value for name, value in state.items()}


def under(prefix: str, state: Tensors) -> Tensors:
    """Return the part of a state that `prefixed` put under `prefix`."""
    return {name.removeprefix(f"{prefix}."): value for name, value in state.items() if name.startswith(f"{prefix}.")}
