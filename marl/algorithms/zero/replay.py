"""Replay of searched positions: what was seen, what the search made of it, and how the game then went."""

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

    A position waits until its game ends; then its `outcome` is what each player was paid from it on, [N]. Of a game
    that was cut, by a move limit or at a stretch's end, nobody knows how it would have ended: the search's own word
    stands in for the outcome, and never a draw. Raises UserError where so many positions would not fit into memory.

    With `whole_games` the positions of a game lie one after the other in time, those of strangers included, which
    nobody searched (`searched` is False, `root_value` NaN). Each has its `action`, the `reward` [N] that was paid up to
    the next, how many of its game are `left` after it, and whether the game was `cut`. What comes after a position is
    newer, so it is there as long as the position is.

    With `may_resign` a recording says where a player would have given up that plays on instead (`would_resign`, once a
    game at most); then `would_resign` counts, of the games that the last recording ended, such players, and those of
    them that did not lose after all: nobody was paid more.
    """

    def __init__(self, spec: Spec, capacity: int, *, whole_games: bool = False, may_resign: bool = False) -> None:
        self.spec, self.capacity, self.whole_games = spec, capacity, whole_games
        self._fields = _row(spec, whole_games, may_resign)
        self._searched = ("policy", "root_value", "searched", *(("would_resign",) if may_resign else ()))
        self.would_resign = (0, 0)
        row = sum(int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in self._fields.values())
        # While they grow the old rows lie beside the new ones; a checkpoint is written from the rows themselves.
        refuse_beyond_memory(capacity, f"positions of '{spec.name}'", row, 2, "replay_positions")
        self._rows = self._none()
        self._next = 0  # of all positions ever kept
        self._waiting = self._none()
        self._of = np.zeros((0, 2), np.int64)  # [W, 2] environment and episode of the positions that wait
        self._before = np.zeros((0, spec.num_players))  # [W, N] what had been paid before them
        self._paid = np.zeros((0, spec.num_players))  # [E, N] in the open episodes so far
        self._episode = np.zeros(0, np.int64)  # [E] counts the episodes of an environment

    def __len__(self) -> int:
        """Return the number of positions."""
        return min(self._next, self.capacity)

    def add(self, trajectory: Trajectory, mine: Collection[int]) -> int:
        """Take in what is new in a recording; return how many positions have got their outcome."""
        new = slice(trajectory.recorded, len(trajectory.action))
        self.would_resign = (0, 0)
        num_envs = trajectory.first.shape[1]
        if len(self._paid) != num_envs or trajectory.first[trajectory.recorded].all():
            cut = self._give_up()  # the environments were opened afresh
            self._paid = np.zeros((num_envs, self.spec.num_players))
            self._episode = np.zeros(num_envs, np.int64)
        else:
            cut = 0
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
        if own.any():  # a recording in which only strangers moved holds nothing of a search
            for name in self._searched:
                rows[name][own] = trajectory.extras[name][new][decided][own]
        self._wait(rows, np.stack([env, episode], 1), before)
        return cut + self._settle(np.concatenate(ended), np.concatenate(outcomes), np.concatenate(truncated))

    def sample(self, count: int, key: int) -> Rows:
        """Draw `count` positions by `key`, with replacement."""
        return self.at(self.draw(count, key))

    def draw(self, count: int, key: int) -> NDArray[np.int64]:
        """Draw the places of `count` positions by `key`, with replacement."""
        return (uniform(fold(key, np.arange(count))) * len(self)).astype(np.int64)

    def at(self, places: NDArray[np.int64]) -> Rows:
        """Return the positions at some places."""
        return {name: rows[places] for name, rows in self._rows.items()}

    def unroll(self, places: NDArray[np.int64], steps: int) -> Rows:
        """Return positions and the `steps` after each in its game [B, steps + 1, ...], past its end the last again.

        Of views and masks only the first: `obs` [B, *O], `action_mask` [B, A].
        """
        ahead = np.minimum(np.arange(steps + 1), self._rows["left"][places][:, None])
        first = {name: self._rows[name][places] for name in ("obs", "action_mask")}
        after = (places[:, None] + ahead) % self.capacity
        return first | {name: held[after] for name, held in self._rows.items() if name not in first}

    def renew(self, places: NDArray[np.int64], policy: NDArray[Any], root_value: NDArray[Any]) -> None:
        """Let what a new search made of positions replace what the old one did, if there was one."""
        rows = self._rows
        rows["policy"][places], rows["root_value"][places], rows["searched"][places] = policy, root_value, True
        cut = rows["cut"][places]
        rows["outcome"][places[cut]] = root_value[cut]

    def state(self) -> Tensors:
        """Return everything, the positions that wait included."""
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

    def _none(self) -> Rows:
        return {name: np.zeros((0, *shape), dtype) for name, (shape, dtype) in self._fields.items()}

    def _wait(self, rows: Rows, of: NDArray[np.int64], before: NDArray[np.float64]) -> None:
        self._waiting = {name: np.concatenate([held, rows[name]]) for name, held in self._waiting.items()}
        self._of = np.concatenate([self._of, of])
        self._before = np.concatenate([self._before, before])

    def _settle(self, ended: NDArray[np.int64], outcomes: NDArray[np.float64], cut: NDArray[np.bool_]) -> int:
        """Keep the positions of the episodes [K, 2] that have ended."""
        if len(ended) == 0 or len(self._of) == 0:
            return 0
        order = np.lexsort((ended[:, 1], ended[:, 0]))
        name = ended[order] @ np.array([1 << 32, 1])
        wanted = self._of @ np.array([1 << 32, 1])
        place = np.minimum(np.searchsorted(name, wanted), len(name) - 1)
        over = name[place] == wanted
        episode = order[place[over]]
        rows = {name: held[over] for name, held in self._waiting.items()}
        paid, before = outcomes[episode], self._before[over]
        rows["outcome"] = np.where(cut[episode, None], rows["root_value"], (paid - before).astype(np.float32))
        if "would_resign" in rows:
            would = rows["would_resign"] & ~cut[episode]  # how a game that was cut would have ended nobody knows
            own = paid[np.arange(len(paid)), rows["player"]]
            self.would_resign = (int(would.sum()), int((would & (own == paid.max(1))).sum()))
        if self.whole_games:
            rows["cut"] = cut[episode]
            rows = _in_order(rows, wanted[over], before, paid)
        self._waiting = {name: held[~over] for name, held in self._waiting.items()}
        self._of, self._before = self._of[~over], self._before[~over]
        self._keep(rows)
        return len(episode)

    def _give_up(self) -> int:
        """Keep the positions that wait for games which nobody will finish."""
        opened = np.stack([np.arange(len(self._episode)), self._episode], 1)
        return self._settle(opened, self._paid, np.ones(len(opened), bool))

    def _keep(self, rows: Rows) -> None:
        count = len(rows["player"])
        room = min(self.capacity, self._next + count)
        if len(self._rows["player"]) < room:
            more = min(self.capacity, max(room, 2 * len(self._rows["player"]), 1024)) - len(self._rows["player"])
            for name, held in self._rows.items():
                self._rows[name] = np.concatenate([held, np.zeros((more, *held.shape[1:]), held.dtype)])
        at = (self._next + np.arange(count)) % self.capacity
        for name, held in self._rows.items():
            held[at] = rows[name]
        self._next += count


def _in_order(rows: Rows, game: NDArray[np.int64], before: NDArray[Any], paid: NDArray[Any]) -> Rows:
    """Order positions [W] by their games and in time, as they came; say what is left after each, and what it was paid.

    `before` [W, N] had been paid when a position was seen, `paid` [W, N] at the end of its game.
    """
    order = np.argsort(game, kind="stable")
    size = np.unique(game, return_counts=True)[1]
    left = np.repeat(np.cumsum(size), size) - np.arange(len(game)) - 1
    after = np.where(left[:, None] > 0, np.roll(before[order], -1, 0), paid[order])
    rows = {name: held[order] for name, held in rows.items()}
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
