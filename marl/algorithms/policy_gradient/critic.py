"""The critic over a whole trajectory: what it sees besides a player's own view, its values, and its memory.

A critic with a GRU is unrolled when an update begins. Its hidden states cannot be stored while acting, as those of the
actor are: a centralised critic sees more than an acting player may. They are carried from trajectory to trajectory.
A checkpoint has none of them, since the stretch that follows it opens new episodes, which begin with zeros.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from marl.algorithms.policy_gradient.batch import sequences
from marl.algorithms.policy_gradient.networks import ActorCritic
from marl.learning.networks import rows_by_network
from marl.learning.recurrent import before_each, pack
from marl.rollout.types import Trajectory

Floats = NDArray[np.float32]


class CriticInput:
    """What the critic sees besides a player's own view: nothing, unless an algorithm says otherwise."""

    size = 0  # S
    note = ""  # for the user, where a game has not what the algorithm is known for

    def of(self, trajectory: Trajectory) -> Floats | None:
        """Return it for every view of a trajectory [R, S]; None if it is nothing."""
        return None


@dataclass(frozen=True)
class Shown:
    """All views of a trajectory on the learner's device, to which they are copied once."""

    obs: Tensor  # [R, *O]
    action_mask: Tensor  # [R, A]
    player: Tensor  # [R]
    state: Tensor | None  # [R, S] what the critic sees besides

    @classmethod
    def of(cls, trajectory: Trajectory, state: Floats | None, device: str) -> "Shown":
        arrays = trajectory.obs, trajectory.action_mask, np.nonzero(trajectory.index >= 0)[2]
        obs, action_mask, player = (torch.from_numpy(array).to(device) for array in arrays)
        return cls(obs, action_mask, player, None if state is None else torch.from_numpy(state).to(device))

    def rows(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """Return some views by column; there is no state where the critic sees nothing besides."""
        chosen = torch.from_numpy(rows).to(self.obs.device)
        columns = {"obs": self.obs, "action_mask": self.action_mask, "player": self.player}
        columns |= {} if self.state is None else {"state": self.state}
        return {name: column.index_select(0, chosen) for name, column in columns.items()}

    def of_critic(self, rows: slice | NDArray[np.int64]) -> list[Tensor]:
        """Return what critics see of some views."""
        if isinstance(rows, slice):
            return [self.obs, self.player] + ([] if self.state is None else [self.state])
        columns = self.rows(rows)
        return [columns[name] for name in ("obs", "player", "state") if name in columns]


@dataclass(frozen=True)
class Values:
    """What the critic says of every view of a trajectory, with the networks before an update."""

    output: Floats  # [R] of the network
    value: Floats  # [T+1, E, N] in units of rewards; 0 where there is no view
    hidden: Floats | None  # [R, H] the hidden state of the GRU before each view


class Critics:
    """The critics of all groups of players."""

    def __init__(self, models: Sequence[ActorCritic], groups: NDArray[np.int64], device: str) -> None:
        self._models, self._groups, self._device = models, groups, device
        self._memory = Memory(models[0].hidden_size)

    def __call__(self, trajectory: Trajectory, shown: Shown) -> Values:
        """Compute the values of a trajectory, of which `shown` are the views."""
        seen = trajectory.index >= 0
        player = np.nonzero(seen)[2]  # in the order of the rows
        groups = rows_by_network(self._groups[player], self._models)
        output, of_row = (np.zeros(len(player), np.float32) for _ in range(2))
        before = None
        with torch.inference_mode():
            if self._models[0].hidden_size:
                before = self._unroll(trajectory, groups, shown, output)
            else:
                for rows, model in groups:
                    output[rows] = model.critic(*shown.of_critic(rows))[:, 0].cpu().numpy()
            for rows, model in groups:
                of_row[rows] = model.denormalised(torch.from_numpy(output[rows])).numpy()
        value = np.zeros(seen.shape, np.float32)
        value[seen] = of_row
        return Values(output, value, before)

    def _unroll(
        self, trajectory: Trajectory, groups: list[tuple[Any, ActorCritic]], shown: Shown, output: Floats
    ) -> Floats:
        """Write the outputs of recurrent critics [R]; return the hidden state before each view [R, H]."""
        seen = trajectory.index >= 0
        opening, sequence = self._memory.opening(trajectory), sequences(trajectory, seen)
        before, after = (np.zeros((len(output), opening.shape[1]), np.float32) for _ in range(2))
        for rows, model in groups:
            order, sizes = pack(np.unique(sequence[rows], return_inverse=True)[1])
            rows, blocks = np.arange(len(output))[rows][order], sizes.tolist()
            initial = torch.from_numpy(opening[rows[: sum(blocks[:1])]]).to(self._device)
            features = model.critic.features(*shown.of_critic(rows))
            out, hidden = model.critic.body(features, blocks, initial)
            output[rows] = out[:, 0].cpu().numpy()
            after[rows] = hidden.cpu().numpy()
            before[rows] = before_each(hidden, blocks, initial).cpu().numpy()
        self._memory.keep(trajectory, after)
        return before


class Memory:
    """The hidden states of the critics' GRUs between two trajectories, which may overlap (Trajectory.recorded)."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._index: NDArray[np.int64] | None = None  # of the trajectory before
        self._first = np.zeros((0, 0), bool)
        self._after = self._start = np.zeros((0, size), np.float32)

    def opening(self, trajectory: Trajectory) -> Floats:
        """Return for each view [R] the state with which its sequence opens in this trajectory [R, H].

        It is 0 in an episode that opens here.
        """
        time, env, player = np.nonzero(trajectory.index >= 0)
        self._start = self._at_start(trajectory)
        opened = np.cumsum(trajectory.first, axis=0)[time, env] > 0
        return np.where(opened[:, None], np.float32(0), self._start[env, player])

    def keep(self, trajectory: Trajectory, after: Floats) -> None:
        """Keep the states after each view [R, H] of the trajectory that has just been unrolled."""
        self._index, self._first, self._after = trajectory.index, trajectory.first, after

    def _at_start(self, trajectory: Trajectory) -> Floats:
        """Return the state of each seat [E, N, H] where a trajectory starts: after its last view before that."""
        if self._index is None or trajectory.first[0].all():
            return np.zeros((*trajectory.index.shape[1:], self._size), np.float32)
        start = len(self._index) - 1 - trajectory.recorded
        opened = np.cumsum(self._first[: start + 1], axis=0)
        in_episode = (opened[:-1] == opened[-1])[..., None]  # [start, E, 1]
        row = np.where(in_episode, self._index[:start], -1).max(0, initial=-1)  # [E, N] of the last view
        carried = np.where((opened[-1] > 0)[:, None, None], np.float32(0), self._start)
        return np.where((row >= 0)[..., None], self._after[row], carried)
