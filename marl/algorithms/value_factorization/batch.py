"""A sample of whole episodes as tensors, laid out for recurrent networks and for mixers."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from games.contract import Spec
from marl.algorithms.value_factorization.networks import Inputs
from marl.learning import returns
from marl.learning.recurrent import Packed, pack
from marl.learning.standard import Standard
from marl.rollout.types import Trajectory


class EpisodeBatch:
    """Whole episodes as tensors.

    Axis letters: R rows, the observations of decisions and truncations, packed for the recurrent networks; B steps of
    all episodes, their final steps included; N players.
    """

    def __init__(
        self,
        spec: Spec,
        trajectory: Trajectory,
        inputs: Inputs,
        device: str,
        *,
        shared: bool,
        states: Standard | None = None,
        rewards: Standard | None = None,
        centre_rewards: bool = False,
    ) -> None:
        """Lay out a sample; `shared`: one network for all players; standardise by `states` and `rewards` if given.

        Rewards are divided by their deviation; with `centre_rewards` their mean is subtracted before.
        """
        acting, truncated = trajectory.acting, trajectory.truncated & ~trajectory.terminated
        t, k, n = np.nonzero(trajectory.index >= 0)  # in the order of the rows
        self._length = (trajectory.terminated | trajectory.truncated).all(2).argmax(0)  # [K] steps
        self._inside = np.arange(len(acting))[:, None] <= self._length  # [T+1, K]
        self.num_steps, self.num_players = int(self._inside.sum()), spec.num_players
        step = np.cumsum(self._inside).reshape(self._inside.shape) - 1
        order, blocks = _pack(k * spec.num_players + n, n, spec.num_players, shared)
        before = _rows_before(blocks)
        t, k, n = t[order], k[order], n[order]
        acts = acting[t, k, n]
        action = np.where(acts, trajectory.action[np.minimum(t, len(trajectory.action) - 1), k, n], 0)
        mask = trajectory.action_mask[order]
        # A truncation has no action mask: use that of the player's last decision.
        mask = np.where(acts[:, None], mask, np.where((before >= 0)[:, None], mask[before], True))

        def tensor(array: NDArray[Any]) -> Tensor:
            return torch.from_numpy(array).to(device)

        last = tensor(np.where(before >= 0, action[before], -1))
        self.packed = Packed(inputs(tensor(trajectory.obs[order]), tensor(n), last), blocks)
        self.action_mask = tensor(mask)  # [R, A]
        self.action = tensor(action)  # [R]
        self.acts = tensor(acts)  # [R] False at truncations
        self._cell = tensor(step[t, k] * spec.num_players + n)  # [R]
        alive = np.ones_like(acting[:-1])
        alive[1:] = ~(trajectory.terminated | trajectory.truncated)[1:-1]
        self._reward = _mean(trajectory.reward, alive)  # [T, K] of the team
        if rewards:
            rewards.see(self._reward[self._inside[1:]])
            self._reward = rewards.apply(self._reward, centre=centre_rewards)
        self.acting = tensor(acting[self._inside])  # [B, N]
        self._acting, self._truncated = acting, truncated
        state = self._state(trajectory, spec)
        if states:
            states.see(state)
            state = states.apply(state)
        self.global_state = tensor(state)  # [B, S]

    def _state(self, trajectory: Trajectory, spec: Spec) -> NDArray[np.float32]:
        """Return the global state [B, S]; for a game without one, the observations of all players side by side."""
        if spec.global_state_size:
            states: NDArray[np.float32] = trajectory.global_state[self._inside]
            return states
        views = trajectory.obs.reshape(len(trajectory.obs), -1)[trajectory.index]
        views = np.where(trajectory.index[..., None] >= 0, views, 0)
        return np.asarray(views[self._inside].reshape(self.num_steps, -1), np.float32)

    def greedy(self, rows: Tensor) -> Tensor:
        """Return the best legal action of each row of outputs [R, A]."""
        return rows.detach().masked_fill(~self.action_mask, -torch.inf).argmax(1)

    def seats(self, rows: Tensor) -> Tensor:
        """Lay out values of rows [R, ...] by step and player [B, N, ...]; 0 where the player had no observation."""
        out = rows.new_zeros(self.num_steps * self.num_players, *rows.shape[1:])
        out = out.index_copy(0, self._cell, rows)
        return out.view(self.num_steps, self.num_players, *rows.shape[1:])

    def rows(self, seats: Tensor) -> Tensor:
        """Undo `seats`: return the values of the rows [R, ...] from values by step and player [B, N, ...]."""
        return seats.flatten(0, 1)[self._cell]

    def taken(self, rows: Tensor) -> Tensor:
        """Select from values [R, A, ...] those of the actions taken [B, N, ...]; 0 where the player did not act."""
        acts = self.acts.view(-1, *[1] * (rows.ndim - 2))
        return self.seats(self._of_action(rows, self.action) * acts)

    def chosen_rows(self, rows: Tensor, action: Tensor) -> Tensor:
        """Select from values [R, A, ...] those of each row's action [R]: [B, N, ...]."""
        return self.seats(self._of_action(rows, action))

    def _of_action(self, rows: Tensor, action: Tensor) -> Tensor:
        """Select from values [R, A, ...] those of an action for each row [R]: [R, ...]."""
        index = action.view(-1, 1, *[1] * (rows.ndim - 2)).expand(-1, 1, *rows.shape[2:])
        return rows.gather(1, index)[:, 0]

    def chosen(self, rows: Tensor, joint: Tensor) -> Tensor:
        """Select from outputs [R, A] those of joint actions [B, N]: [B, N]; 0 where the player had no observation."""
        return self.seats(rows.gather(1, self.rows(joint)[:, None])[:, 0])

    def action_masks(self) -> Tensor:
        """Return the action masks [B, N, A]; a player without an observation has the first action only."""
        mask = self.seats(self.action_mask)
        mask[..., 0] |= ~mask.any(2)
        return mask

    @property
    def taken_actions(self) -> Tensor:
        """The actions taken [B, N]; 0 where the player did not act."""
        return self.seats(self.action)

    def decided(self, each: bool) -> Tensor:
        """Return the steps at which any player acted [B, 1], or with `each` the players who did [B, N]."""
        return self.acting if each else self.acting.any(1, keepdim=True)

    @property
    def truncated_episodes(self) -> float:
        """The share of episodes that were truncated, and bootstrap from the value of their last views."""
        return float(self._truncated[self._length, np.arange(len(self._length))].any(1).mean())

    def targets(self, value: Tensor, *, gamma: float, td_lambda: float) -> Tensor:
        """Return the TD(λ) targets [B, M] of values [B, M]: M = 1 for the team, M = N for each player."""
        each = value.shape[1] == self.num_players
        decided, truncated = self._acting, self._truncated
        if not each:
            decided, truncated = (np.asarray(a.any(2, keepdims=True)) for a in (decided, truncated))
        dense = np.zeros(decided.shape, np.float32)
        dense[self._inside] = value.cpu().numpy()
        # A truncated episode bootstraps; the value of a terminal state is 0.
        dense *= decided | truncated
        reward = np.repeat(self._reward[..., None], decided.shape[2], 2)
        target = np.zeros_like(dense)
        target[:-1] = returns.td_lambda(dense, decided, reward, self._length, gamma=gamma, td_lambda=td_lambda)
        return torch.from_numpy(target[self._inside]).to(value.device)


def _pack(
    sequence: NDArray[np.int64], player: NDArray[np.int64], num_players: int, shared: bool
) -> tuple[NDArray[np.int64], list[list[int]]]:
    """Return the order of the packed rows, and the block sizes of each network."""
    members = [np.arange(len(player))] if shared else [np.flatnonzero(player == p) for p in range(num_players)]
    packed = [pack(sequence[rows]) for rows in members]
    order = np.concatenate([rows[order] for rows, (order, _) in zip(members, packed, strict=True)])
    return order, [sizes.tolist() for _, sizes in packed]


def _rows_before(blocks: list[list[int]]) -> NDArray[np.int64]:
    """Return the previous row of its sequence for each packed row [R], or -1."""
    last = [size for sizes in blocks for size in [0, *sizes][: len(sizes)]]  # the size of the block before each block
    shift = np.repeat(np.array(last, np.int64), [size for sizes in blocks for size in sizes])
    return np.where(shift > 0, np.arange(len(shift)) - shift, -1)


def _mean(reward: NDArray[np.float32], alive: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the team's reward [T, K]: the mean over the players who were still in the game."""
    return np.asarray((reward * alive).sum(2) / np.maximum(alive.sum(2), 1), np.float32)
