"""Gymnasium's spaces on the contract: views as arrays, actions as numbers, players by index.

    a view     Box, MultiBinary, Discrete (seen as a one-hot), or Dict(observation, action_mask) of these
    actions    all Discrete, or all Box of floats between finite bounds

Other spaces are refused, with the name of the wrapper that turns them into these (games/adapters/reshaping.py). Views
and actions of different sizes are padded; padding actions are never legal.

Views, masks and rewards are checked against the environment's own spaces at every step: nothing is cast, wrapped or
rounded silently.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium.spaces as spaces
import numpy as np
from numpy.typing import NDArray

from games.adapters.reshaping import remedy_for_actions, remedy_for_view
from games.adapters.within import Within
from games.contract import Array, Bound, Box, Discrete, Spec
from games.errors import UserError
from games.vector import Row

MOST_IDLE = 1000  # steps in a row in which nobody has a legal action
_LARGEST = float(np.finfo(np.float32).max)


def spec_fields(reference: str, views: Sequence[Any], actions: Sequence[Any]) -> dict[str, Any]:
    """Return the fields of a Spec that follow from the players' spaces [N]; raises UserError for unsupported spaces."""
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


def plain_space(space: Any) -> Any:
    """Return the space of the observation alone, without that of the legal actions."""
    return space["observation"] if isinstance(space, spaces.Dict) and "observation" in space.spaces else space


def plain_view(obs: Any) -> Any:
    """Return the observation alone, without the legal actions."""
    return obs["observation"] if isinstance(obs, dict) and "observation" in obs else obs


def one_line(error: BaseException) -> str:
    """Return an error's message on one line, with its type if the message has no more than one word."""
    words = " ".join(str(error).split()).replace("got an unexpected keyword argument", "takes no argument")
    return words if " " in words else f"{type(error).__name__} {words}".strip()


class Seats:
    """Write the players' views, masks, rewards and ends into a row, and read their actions from joint actions.

    A player is *gone* while it is absent or over: it does not act. In a team game its return goes on, since all members
    get the team's reward, dead or alive, and all end together when the episode is closed; in other games a player's
    return ends when it leaves.

    Raises ValueError for a view, a mask or a reward that the environment's spaces and API do not allow.
    """

    def __init__(self, spec: Spec, views: Sequence[Any], actions: Sequence[Any], row: Row) -> None:
        self._views, self._actions, self._row = [plain_space(space) for space in views], actions, row
        self._within = [Within(space) for space in self._views]
        self._obs = [view.reshape(-1) for view in row.obs]
        self._reward: Any = memoryview(row.reward)
        self._box, self._team = isinstance(spec.action, Box), spec.payoff == "team"
        self._players = range(spec.num_players)
        self._counts = [0 if self._box else int(space.n) for space in actions]
        self._idle = [_nearest_to_zero(space) if self._box else int(space.start) for space in actions]
        self.revived = False  # a player has come back after its end
        self.open()

    def watch(self) -> None:
        """Record views outside their bounds from now on."""
        for within in self._within:
            within.watched = True

    @property
    def outside(self) -> str:
        """The first recorded view outside its bounds, in words; empty if there is none."""
        records = (f"the view of player {p} {w.outside}" for p, w in enumerate(self._within) if w.outside)
        return next(records, "")

    def open(self) -> None:
        """Begin an episode with all players present."""
        self._gone = [False for _ in self._players]
        self._ended = [False for _ in self._players]
        self._asked = [False for _ in self._players]
        self._leaving: dict[int, tuple[bool, bool]] = {}
        self._owed: list[float] = []
        for player in self._players:
            self._reward[player] = 0.0

    def action(self, player: int, actions: Sequence[Any]) -> Any:
        """Return this player's action of the joint action [N], in its own space."""
        return self.choice(player, actions, idle=not self._asked[player])

    def choice(self, player: int, actions: Sequence[Any], idle: bool) -> Any:
        """Return a player's action of a joint action [N]; if `idle`, its first action, or its box's point nearest 0."""
        if idle:
            return self._idle[player]
        space = self._actions[player]
        if self._box:
            chosen = np.asarray(actions[player], space.dtype)[: int(np.prod(space.shape))].reshape(space.shape)
            return np.clip(chosen, space.low, space.high)  # a bound of float64 may lie within that of float32
        return int(actions[player] + space.start)

    def next(self) -> None:
        """Begin a step: no player has been asked yet, and rewards that are owed are paid."""
        self._asked = [False for _ in self._players]
        self._leaving.clear()
        for player, reward in enumerate(self._owed):
            self._reward[player] += reward
        self._owed = []

    def owe(self) -> None:
        """Keep rewards paid before any player could act for the next step, since rewards at `first` are 0."""
        self._owed = list(self._reward)

    def see(self, player: int, obs: Any) -> None:
        """Write a player's view."""
        row, space = self._obs[player], self._views[player]
        try:
            view = self._within[player](plain_view(obs))
        except ValueError as error:
            raise ValueError(f"the view of player {player} {error}") from error
        if isinstance(space, spaces.Discrete):
            row[:] = np.arange(row.size) == view - space.start
        elif view.dtype == np.float64:
            with np.errstate(over="ignore"):  # larger numbers become infinite, which the guard reports
                row[: view.size] = view.reshape(-1)
        else:
            row[: view.size] = view.reshape(-1)

    def blind(self, player: int) -> None:
        """Write zeros as the view of a player who is absent."""
        self._obs[player][:] = 0

    def ask(self, player: int, obs: Any, mask: Any = None) -> bool:
        """Show a player its view and let it act; return False if no action is legal: then it waits."""
        self.see(player, obs)
        if not self._box:
            legal = self.legal(player, obs, mask)
            self._row.action_mask[player, : legal.size] = legal
            if not legal.any():
                return False
        self._row.acting[player] = self._asked[player] = True
        return True

    def legal(self, player: int, obs: Any, mask: Any = None) -> NDArray[np.bool_]:
        """Return a player's legal actions [A] by the mask in its view, or else by `mask`, or else all.

        A shorter mask is allowed; actions after its end are not legal.
        """
        seen = obs.get("action_mask") if isinstance(obs, dict) else None
        mask, count = (mask if seen is None else seen), self._counts[player]
        if mask is None:
            return np.ones(count, bool)
        given = np.asarray(mask).reshape(-1)
        if given.size > count:
            raise ValueError(f"the mask of player {player} has {given.size} actions, its space {count}")
        legal = given.astype(bool)
        if given.dtype != bool and not (legal == given).all():
            odd = given[legal != given][0]
            raise ValueError(f"the mask of player {player} holds {odd}, expected only 1 (legal) and 0 (not legal)")
        return legal

    def pay(self, rewards: Mapping[int, Any]) -> None:
        """Pay players, by index; members of a team for whom no reward is given get the mean of the others'."""
        paid = {player: _number(player, reward) for player, reward in rewards.items()}
        for player, reward in paid.items():
            if reward and self._ended[player]:
                raise ValueError(
                    f"player {player} is paid {reward:g} after its end; let it stay in the game with an empty action "
                    "mask until its return is complete, or declare the payoff as a team's"
                )
            self._reward[player] += reward
        if self._team and 0 < len(paid) < len(self._players):
            share = sum(paid.values()) / len(paid)
            for player in self._players:
                if player not in paid:
                    self._reward[player] += share

    def leave(self, player: int, terminated: bool, truncated: bool) -> None:
        """Record that a player is over; `terminated` takes precedence if both flags are set."""
        self._gone[player], self._leaving[player] = True, (terminated, truncated and not terminated)
        if not self._team:
            self._end(player)

    def wait(self, player: int) -> None:
        """Record that a player is absent, and may come or come back."""
        self._gone[player] = True

    def come(self, player: int) -> None:
        """Record that a player is present; if its return was complete, it begins a new life."""
        if self._ended[player]:
            self.revived = True
            self._row.terminated[player] = self._row.truncated[player] = False
        self._gone[player] = self._ended[player] = False

    def close(self) -> None:
        """End the episode: players who left in this step end with their flags, all others as terminated."""
        for player in self._players:
            if not self._ended[player]:
                self._end(player)

    def _end(self, player: int) -> None:
        self._ended[player] = True
        self._row.terminated[player], self._row.truncated[player] = self._leaving.get(player, (True, False))

    def gone(self, player: int) -> bool:
        return self._gone[player]

    def all_gone(self) -> bool:
        return all(self._gone)

    def all_here(self) -> bool:
        return not any(self._gone)


def _number(player: int, reward: Any) -> float:
    """Return a reward as a number; raises ValueError for anything else, and for what float32 cannot hold."""
    if type(reward) is float:
        number = reward
    else:
        array = np.asarray(reward)
        if array.shape != () or array.dtype.kind not in "biuf":
            raise ValueError(f"player {player} is paid {reward!r}, expected one number")
        number = float(array)
    if not -_LARGEST <= number <= _LARGEST:
        raise ValueError(f"player {player} is paid {number}, expected a finite number of float32")
    return number


def _nearest_to_zero(space: spaces.Box) -> NDArray[Any]:
    return np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)


def _view(reference: str, space: Any) -> Any:
    if isinstance(space, spaces.Dict) and set(space.spaces) <= {"observation", "action_mask"}:
        space = plain_space(space)
    if isinstance(space, spaces.Discrete):
        return spaces.MultiBinary(int(space.n))  # seen as a one-hot
    if not isinstance(space, spaces.Box | spaces.MultiBinary):
        remedy = remedy_for_view(reference, space)
        raise UserError(f"expected views that are arrays in '{reference}', got {space}; {remedy}")
    return space


def _dtype(views: Sequence[Any]) -> str:
    return "uint8" if all(view.dtype == np.uint8 for view in views) else "float32"


def _action(reference: str, actions: Sequence[Any]) -> Discrete | Box:
    if all(isinstance(space, spaces.Discrete) for space in actions):
        return Discrete(max(int(space.n) for space in actions))
    if all(_is_box(space) for space in actions):
        size = max(int(np.prod(space.shape)) for space in actions)
        return Box(
            size, _bound([space.low for space in actions], size), _bound([space.high for space in actions], size)
        )
    odd = next((space for space in actions if not isinstance(space, spaces.Discrete) and not _is_box(space)), None)
    if odd is None:  # players of both kinds, each of which all of them might have
        found = [next(space for space in actions if isinstance(space, kind)) for kind in (spaces.Discrete, spaces.Box)]
    else:
        found = [odd]
    remedy = remedy_for_actions(reference, actions)
    raise UserError(
        f"expected actions all discrete, or all boxes of floats between finite bounds, in '{reference}', "
        f"got {' and '.join(map(str, found))}; {remedy}"
    )


def _is_box(space: Any) -> bool:
    return isinstance(space, spaces.Box) and space.dtype.kind == "f" and space.is_bounded()


def _bound(of_players: Sequence[NDArray[Any]], size: int) -> Bound:
    """Return the bound of a Box from those of the players [N]: one number where all are the same, else [N, D]."""
    if len({float(number) for bound in of_players for number in bound.flat}) == 1:
        return float(of_players[0].flat[0])
    return tuple(
        tuple(np.pad(bound.reshape(-1).astype(np.float64), (0, size - bound.size)).tolist()) for bound in of_players
    )
