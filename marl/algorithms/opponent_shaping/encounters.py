"""Whole episodes of two players: each seat's observations, actions and rewards, and two seats paired as an encounter.

Axis letters: T steps, E environments, N = 2 players, EN = E * N seats, B encounters, A actions, I inputs of a network.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from games.errors import RunFailed
from marl.algorithms.opponent_shaping.networks import Head, flat
from marl.rollout.types import Trajectory


def other_seat(seats: Tensor) -> Tensor:
    """Return the other seat of the same environment, for each of `seats` [B].

    The seat of player p of environment e is 2 e + p, so the two seats of an environment differ in the last bit.
    """
    return seats ^ 1


@dataclass(frozen=True)
class Episodes:
    """Whole episodes, each of T steps, by seat."""

    obs: Tensor  # [T+1, EN, I] including the final observations, on which nobody decided
    action_mask: Tensor  # [T+1, EN, A]
    action: Tensor  # [T, EN]
    reward: Tensor  # [T, EN]
    continues: Tensor  # [EN] 1 where the game was truncated: V(s_T) is bootstrapped; 0 where it terminated

    @classmethod
    def of(cls, trajectory: Trajectory, length: int, device: str) -> "Episodes":
        """Take the episodes out of a trajectory of one episode of `length` steps per environment, and its reset.

        Raises RunFailed if an episode has another length, or if a player did not act at some step.
        """
        ended = np.asarray((trajectory.terminated | trajectory.truncated).any(2))  # [T+2, E]
        if len(ended) != length + 2 or ended[:length].any() or not ended[length].all():
            some = np.flatnonzero(ended[:length].any(1))
            raise RunFailed(
                f"expected all episodes to take {length} steps, as many as the game allows, and one took "
                f"{some[0] if len(some) else 'more'}; use ippo"
            )
        if not trajectory.acting[:length].all():
            t, _, player = np.argwhere(~np.asarray(trajectory.acting[:length]))[0].tolist()
            raise RunFailed(
                f"expected both players to decide at every step, and player {player} sat out step {t} of an episode; "
                "use ippo"
            )
        index = trajectory.index[: length + 1].reshape(length + 1, -1)
        index = np.where(index >= 0, index, 0)  # terminated seats have no final observation; row 0 is never used

        def tensor(array: NDArray[Any]) -> Tensor:
            return torch.from_numpy(array).to(device)

        action_mask = trajectory.action_mask[index]
        # Nobody acts after the last step, so the mask there is all False; V(s_T) takes the mask of the step before.
        action_mask[length] = action_mask[length - 1]
        return cls(
            flat(tensor(trajectory.obs))[tensor(index)],
            tensor(action_mask),
            tensor(trajectory.action[:length].reshape(length, -1)),
            tensor(trajectory.reward[:length].reshape(length, -1)),
            tensor(1 - trajectory.terminated[length].reshape(-1).astype(np.float32)),
        )

    def obs_and_time(self, seats: Tensor) -> Tensor:
        """Return the input of the critics: the observations of some seats and the step [T+1, B, I+1]."""
        time = torch.arange(len(self.obs), dtype=torch.float32, device=self.obs.device)
        obs = of_seats(self.obs, seats)
        return torch.cat([obs, time[:, None, None].expand(-1, obs.shape[1], 1)], 2)

    def of_actions(self, values: Tensor, seats: Tensor) -> Tensor:
        """Select, from values [T.., B, A] of all actions, those of the actions that `seats` took [T, B]."""
        action = of_seats(self.action, seats)
        return values[: len(action)].gather(2, action[..., None])[..., 0]


@dataclass(frozen=True)
class Estimates:
    """The outputs of a policy and a Q network for the decisions of some seats."""

    log_probs: Tensor  # [T+1, B, A]
    q: Tensor  # [T+1, B, A]

    @property
    def value(self) -> Tensor:
        """V = sum_u pi(u) Q(u) [T+1, B]."""
        return (self.log_probs.exp() * self.q).sum(2)


@dataclass(frozen=True)
class Side:
    """One side of B encounters: its actions, its rewards, and its networks' estimates."""

    estimates: Estimates
    action: Tensor  # [T, B]
    reward: Tensor  # [T, B]
    log_prob: Tensor  # [T, B] of the actions taken
    advantage: Tensor  # [T, B] r + γ V' - V


@dataclass(frozen=True)
class Encounters:
    """B encounters as the learner sees them: its own side, and the other side with its policies."""

    me: Side
    other: Side
    other_obs: Tensor  # [T+1, B, I]
    other_action_mask: Tensor  # [T+1, B, A]
    other_policies: list[tuple[Head, Tensor]]  # each policy of the other side, and its encounters (indices into B)

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.me, self.other


def of_seats(x: Tensor, seats: Tensor) -> Tensor:
    """Select some seats of x [T, EN, ...], in the order of `seats`; no copy if these are all seats in order."""
    every = len(seats) == x.shape[1] and bool((seats == torch.arange(x.shape[1], device=x.device)).all())
    return x if every else x.index_select(1, seats)


def discounted(x: Tensor, rate: float) -> Tensor:
    """Return y_t = sum_{k >= t} rate^(k-t) x_k of x [T, ...]."""
    out, total = torch.empty_like(x), torch.zeros_like(x[0])
    for t in reversed(range(len(x))):
        total = x[t] + rate * total
        out[t] = total
    return out
