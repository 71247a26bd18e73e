"""Whole episodes of two players, laid out as encounters: what each side saw, did and was paid."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from games.errors import RunFailed
from marl.algorithms.opponent_shaping.networks import Head, flat
from marl.rollout.types import Trajectory


@dataclass(frozen=True)
class Episodes:
    """Whole episodes, each of T steps, by place: S = E * N places, player p of environment e at e * N + p."""

    views: Tensor  # [T+1, S, I] with the last ones, on which nobody decided
    legal: Tensor  # [T+1, S, A]
    action: Tensor  # [T, S]
    reward: Tensor  # [T, S]
    goes_on: Tensor  # [S] 1 where the game goes on beyond the recording, 0 where it is over

    @classmethod
    def of(cls, trajectory: Trajectory, length: int, device: str) -> "Episodes":
        """Take the episodes out of a trajectory that holds one of `length` steps in each environment, and its reset."""
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
        index = np.where(index >= 0, index, 0)  # where the game is over nobody sees anything, and nothing is read

        def tensor(array: Any) -> Tensor:
            return torch.from_numpy(array).to(device)

        legal = trajectory.action_mask[index]
        legal[length] = legal[length - 1]  # a mask where nobody acts is all False; V(s_T) takes the one before
        return cls(
            flat(tensor(trajectory.obs))[tensor(index)],
            tensor(legal),
            tensor(trajectory.action[:length].reshape(length, -1)),
            tensor(trajectory.reward[:length].reshape(length, -1)),
            tensor(1 - trajectory.terminated[length].reshape(-1).astype(np.float32)),
        )

    def timed(self, places: Tensor) -> Tensor:
        """Return the views of some places with the time beside them [T+1, P, I+1]: what critics see."""
        time = torch.arange(len(self.views), dtype=torch.float32, device=self.views.device)
        views = at(self.views, places)
        return torch.cat([views, time[:, None, None].expand(-1, views.shape[1], 1)], 2)

    def taken(self, values: Tensor, places: Tensor) -> Tensor:
        """Return of values [T.., P, A] those of the actions taken there [T, P]."""
        action = at(self.action, places)
        return values[: len(action)].gather(2, action[..., None])[..., 0]


@dataclass(frozen=True)
class Estimates:
    """What networks say of some places' decisions."""

    log_probs: Tensor  # [T+1, P, A]
    q: Tensor  # [T+1, P, A]

    @property
    def value(self) -> Tensor:
        """V = sum_u pi(u) Q(u) [T+1, P]."""
        return (self.log_probs.exp() * self.q).sum(2)


@dataclass(frozen=True)
class Side:
    """One side of the table in P encounters: what it did, what it was paid, and what is thought of that."""

    estimates: Estimates
    action: Tensor  # [T, P]
    reward: Tensor  # [T, P]
    log_prob: Tensor  # [T, P] of the actions taken
    advantage: Tensor  # [T, P] r + γ V' - V


@dataclass(frozen=True)
class Encounters:
    """P encounters as the learner sees them: its own side, the other's, and whose networks the other is taken for."""

    me: Side
    other: Side
    views: Tensor  # [T+1, P, I] the other's
    legal: Tensor  # [T+1, P, A] the other's
    opposite: list[tuple[Head, Tensor]]  # policies, and which of the P encounters are with them

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.me, self.other


def at(x: Tensor, places: Tensor) -> Tensor:
    """Return what belongs to some places of [T, S, ...], in the order of `places`, without a copy where it is all."""
    every = len(places) == x.shape[1] and bool((places == torch.arange(x.shape[1], device=x.device)).all())
    return x if every else x.index_select(1, places)


def discounted(x: Tensor, rate: float) -> Tensor:
    """Return y_t = sum_{k >= t} rate^(k-t) x_k of [T, ...]."""
    out, ahead = torch.empty_like(x), torch.zeros_like(x[0])
    for t in reversed(range(len(x))):
        ahead = x[t] + rate * ahead
        out[t] = ahead
    return out
