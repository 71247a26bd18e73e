"""Replay of searched positions: observations, the searches' policies and values, and the games' outcomes."""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.contract import Spec
from games.keys import fold, uniform
from marl.base.memory import refuse_beyond_memory
from marl.rollout.types import Tensors, Trajectory

Rows = dict[str, NDArray[Any]]


class PositionReplay:
    """Keep the newest `capacity` positions of games that are over.

    A position waits until its game ends; then its `outcome` [N] is each player's return from there on. The outcome of a
    truncated game (by a move limit, or at the end of a stretch) is unknown: the root value of the search replaces it.
    Raises UserError if so many positions do not fit into memory.

    With `whole_games` the positions of a game are stored in order of time, those of strangers included, which were not
    searched (`searched` is False, `root_value` NaN). Each has its `action`, the `reward` [N] up to the next position,
    the number of positions `left` in its game, and `cut`: whether the game was truncated. Later positions of a game are
    newer, so they are stored as long as the position is.

    With `may_resign` a recording marks the players that would have resigned but play on (`would_resign`, at most once a
    game). Then `would_resign` holds, for the games that the last recording ended, the number of such players and the
    number of those who did not lose: no player had a higher return.
    """

    def __init__(self, spec: Spec, capacity: int, *, whole_games: bool = False, may_resign: bool = False) -> None:
        self.spec, self.capacity, self.whole_games = spec, capacity, whole_games
        self._fields = _row(spec, whole_games, may_resign)
        self._searched = ("policy", "root_value", "searched", *(("would_resign",) if may_resign else ()))
        self.would_resign = (0, 0)
        row = sum(int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in self._fields.values())
        # Growing copies the rows: twice the memory for a moment. A checkpoint is written without a copy.
        refuse_beyond_memory(capacity, f"positions of '{spec.name}'", row, 2, "replay_positions")
        self._rows = self._no_rows()
        self._next = 0  # the number of positions ever stored
        self._waiting = self._no_rows()
        self._of = np.zeros((0, 2), np.int64)  # [W, 2] environment and episode of the waiting positions
        self._before = np.zeros((0, spec.num_players))  # [W, N] return before each waiting position
        self._paid = np.zeros((0, spec.num_players))  # [E, N] return so far in the open episodes
        self._episode = np.zeros(0, np.int64)  # [E] number of the open episode in its environment

    def __len__(self) -> int:
        """Return the number of positions."""
        return min(self._next, self.capacity)

    def add(self, trajectory: Trajectory, mine: Collection[int]) -> int:
        """Add the new steps of a recording; return the number of positions that got their outcome."""
        new = slice(trajectory.recorded, len(trajectory.action))
        self.would_resign = (0, 0)
        num_envs = trajectory.first.shape[1]
        if len(self._paid) != num_envs or trajectory.first[trajectory.recorded].all():
            settled = self._truncate()  # the environments were reset
            self._paid = np.zeros((num_envs, self.spec.num_players))
            self._episode = np.zeros(num_envs, np.int64)
        else:
            settled = 0
        seats = np.isin(trajectory.seating[new], list(mine))
        decided = trajectory.acting[new] & (seats.any(2, keepdims=True) if self.whole_games else seats)
        ended: list[NDArray[np.int64]] = []
        outcomes, truncated = [], []
        step, env, player = np.nonzero(decided)
        before = np.zeros((len(step), self.spec.num_players))
        episode = np.zeros(len(step), np.int64)
        for t in range(len(decided)):
            at = new.start + t
            here = step == t
            before[here], episode[here] = self._paid[env[here]], self._episode[env[here]]
            self._paid += trajectory.reward[at]
            over = (trajectory.terminated[at + 1] | trajectory.truncated[at + 1]).all(1)
            closed = np.flatnonzero(over)
            ended.append(np.stack([closed, self._episode[closed]], 1))
            outcomes.append(self._paid[closed])
            truncated.append(~trajectory.terminated[at + 1][closed].all(1))
            self._paid[closed] = 0
            self._episode[closed] += 1
        index = trajectory.index[new][decided]
        rows = {name: np.zeros((len(step), *shape), dtype) for name, (shape, dtype) in self._fields.items()}
        rows |= {"obs": trajectory.obs[index], "action_mask": trajectory.action_mask[index], "player": player}
        if self.whole_games:
            rows["action"], rows["root_value"] = trajectory.action[new][decided], rows["root_value"] + np.nan
        own = seats[decided]
        if own.any():  # without own decisions the recording has no results of a search
            for name in self._searched:
                rows[name][own] = trajectory.extras[name][new][decided][own]
        self._wait(rows, np.stack([env, episode], 1), before)
        return settled + self._settle(np.concatenate(ended), np.concatenate(outcomes), np.concatenate(truncated))

    def sample(self, count: int, key: int) -> Rows:
        """Draw `count` positions by `key`, with replacement."""
        return self.at(self.draw(count, key))

    def draw(self, count: int, key: int) -> NDArray[np.int64]:
        """Draw the indices of `count` positions by `key`, with replacement."""
        return (uniform(fold(key, np.arange(count))) * len(self)).astype(np.int64)

    def at(self, places: NDArray[np.int64]) -> Rows:
        """Return the positions with some indices."""
        return {name: rows[places] for name, rows in self._rows.items()}

    def unroll(self, places: NDArray[np.int64], steps: int) -> Rows:
        """Return positions and the `steps` after each in its game [B, steps + 1, ...]; the last is repeated.

        Observations and masks are those of the first position only: `obs` [B, *O], `action_mask` [B, A].
        """
        ahead = np.minimum(np.arange(steps + 1), self._rows["left"][places][:, None])
        first = {name: self._rows[name][places] for name in ("obs", "action_mask")}
        after = (places[:, None] + ahead) % self.capacity
        return first | {name: column[after] for name, column in self._rows.items() if name not in first}

    def renew(self, places: NDArray[np.int64], policy: NDArray[Any], root_value: NDArray[Any]) -> None:
        """Store the policies and root values of a new search of some positions."""
        rows = self._rows
        rows["policy"][places], rows["root_value"][places], rows["searched"][places] = policy, root_value, True
        cut = rows["cut"][places]
        rows["outcome"][places[cut]] = root_value[cut]

    def state(self) -> Tensors:
        """Return all positions, the waiting ones included."""
        of = {"of": self._of, "before": self._before, "paid": self._paid, "episode": self._episode}
        waiting = {f"waiting.{name}": rows for name, rows in self._waiting.items()}
        return {"next": np.array(self._next)} | of | waiting | {k: v[: len(self)] for k, v in self._rows.items()}

    def load_state(self, state: Tensors) -> None:
        arrays = {name: np.asarray(value).copy() for name, value in state.items()}
        self._next = int(arrays["next"])
        self._of, self._before = arrays["of"], arrays["before"]
        self._paid, self._episode = arrays["paid"], arrays["episode"]
        self._waiting = {name: arrays[f"waiting.{name}"] for name in self._waiting}
        self._rows = {name: arrays[name] for name in self._rows}

    def _no_rows(self) -> Rows:
        return {name: np.zeros((0, *shape), dtype) for name, (shape, dtype) in self._fields.items()}

    def _wait(self, rows: Rows, of: NDArray[np.int64], before: NDArray[np.float64]) -> None:
        self._waiting = {name: np.concatenate([column, rows[name]]) for name, column in self._waiting.items()}
        self._of = np.concatenate([self._of, of])
        self._before = np.concatenate([self._before, before])

    def _settle(self, ended: NDArray[np.int64], outcomes: NDArray[np.float64], cut: NDArray[np.bool_]) -> int:
        """Store the waiting positions of the episodes [K, 2] that have ended."""
        if len(ended) == 0 or len(self._of) == 0:
            return 0
        order = np.lexsort((ended[:, 1], ended[:, 0]))
        name = ended[order] @ np.array([1 << 32, 1])
        wanted = self._of @ np.array([1 << 32, 1])
        place = np.minimum(np.searchsorted(name, wanted), len(name) - 1)
        over = name[place] == wanted
        episode = order[place[over]]
        rows = {name: column[over] for name, column in self._waiting.items()}
        paid, before = outcomes[episode], self._before[over]
        rows["outcome"] = np.where(cut[episode, None], rows["root_value"], (paid - before).astype(np.float32))
        if "would_resign" in rows:
            would = rows["would_resign"] & ~cut[episode]  # the outcome of a truncated game is unknown
            own = paid[np.arange(len(paid)), rows["player"]]
            self.would_resign = (int(would.sum()), int((would & (own == paid.max(1))).sum()))
        if self.whole_games:
            rows["cut"] = cut[episode]
            rows = _in_order(rows, wanted[over], before, paid)
        self._waiting = {name: column[~over] for name, column in self._waiting.items()}
        self._of, self._before = self._of[~over], self._before[~over]
        self._keep(rows)
        return len(episode)

    def _truncate(self) -> int:
        """Store the waiting positions; their games will not be finished."""
        opened = np.stack([np.arange(len(self._episode)), self._episode], 1)
        return self._settle(opened, self._paid, np.ones(len(opened), bool))

    def _keep(self, rows: Rows) -> None:
        count = len(rows["player"])
        room = min(self.capacity, self._next + count)
        if len(self._rows["player"]) < room:
            more = min(self.capacity, max(room, 2 * len(self._rows["player"]), 1024)) - len(self._rows["player"])
            for name, column in self._rows.items():
                self._rows[name] = np.concatenate([column, np.zeros((more, *column.shape[1:]), column.dtype)])
        at = (self._next + np.arange(count)) % self.capacity
        for name, column in self._rows.items():
            column[at] = rows[name]
        self._next += count


def _in_order(rows: Rows, game: NDArray[np.int64], before: NDArray[Any], paid: NDArray[Any]) -> Rows:
    """Order positions [W] by game, then by time; add `left` and `reward`.

    `before` [W, N] is the return before a position, `paid` [W, N] the return at the end of its game.
    """
    order = np.argsort(game, kind="stable")
    size = np.unique(game, return_counts=True)[1]
    left = np.repeat(np.cumsum(size), size) - np.arange(len(game)) - 1
    after = np.where(left[:, None] > 0, np.roll(before[order], -1, 0), paid[order])
    rows = {name: column[order] for name, column in rows.items()}
    return rows | {"left": left, "reward": after - before[order]}


def _row(spec: Spec, whole_games: bool, may_resign: bool) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return the fields of a position: their shapes and dtypes."""
    of_position = {
        "obs": (spec.observation.shape, spec.observation.dtype),
        "action_mask": ((spec.num_actions,), "bool"),
        "player": ((), "int64"),
        "policy": ((spec.num_actions,), "float32"),
        "root_value": ((spec.num_players,), "float32"),
        "searched": ((), "bool"),
        "outcome": ((spec.num_players,), "float32"),
    }
    of_game = {
        "action": ((), "int64"),
        "reward": ((spec.num_players,), "float32"),
        "left": ((), "int64"),
        "cut": ((), "bool"),
    }
    of_player = {"would_resign": ((), "bool")}
    return of_position | (of_game if whole_games else {}) | (of_player if may_resign else {})
