"""Recordings: the observations and actions of each step, and their assembly into trajectories."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.arrays import Actions, Views
from games.contract import TimeStep
from marl.rollout.seating import Seating
from marl.rollout.types import Trajectory

Mask = NDArray[np.bool_]


@dataclass
class Moment:
    """The observations and actions of one step, copied out of the environment's arrays."""

    obs: Views  # [B, *O] of the players who were acting or truncated
    action_mask: NDArray[np.bool_]  # [B, A]
    seen: NDArray[np.bool_]  # [E, N] the players of these rows, in row-major order
    acting: NDArray[np.bool_]  # [E, N]
    terminated: NDArray[np.bool_]  # [E, N]
    truncated: NDArray[np.bool_]  # [E, N]
    first: NDArray[np.bool_]  # [E]
    global_state: NDArray[np.float32]  # [E, S]
    seating: Seating  # [E, N]
    action: Actions  # [E, N] or [E, N, D]
    extras: dict[str, NDArray[Any]]  # [E, N, ...]
    reward: NDArray[np.float32]  # [E, N] of the transition that followed
    handed_over: NDArray[np.bool_]  # [E, N] decisions that were complete in an earlier trajectory


def side_by_side(parts: Sequence[Sequence[Moment]]) -> list[Moment]:
    """Join the moments of several plays of equal length into those of one batch of environments."""
    return [_joined(moments) for moments in zip(*parts, strict=True)]


def _joined(moments: Sequence[Moment]) -> Moment:
    rows = {
        field.name: np.concatenate([getattr(moment, field.name) for moment in moments])
        for field in fields(Moment)
        if field.name != "extras"
    }
    like = {name: value for moment in moments for name, value in moment.extras.items()}
    extras = {
        name: np.concatenate(
            [
                moment.extras.get(name, np.zeros((len(moment.first), *value.shape[1:]), value.dtype))
                for moment in moments
            ]
        )
        for name, value in like.items()
    }
    return Moment(**rows, extras=extras)


class Recording:
    """Assemble moments into trajectories.

    A decision whose successor lies beyond a trajectory's end is completed by the next trajectory, which begins with the
    moments from that decision on. A decision that is still incomplete there is dropped.
    """

    def __init__(self) -> None:
        self._waiting: list[Moment] = []  # the last moments, from the first incomplete decision on

    def add(self, played: list[Moment]) -> Trajectory:
        """Return the trajectory of waiting moments and those of a call of `play_steps`."""
        recorded, moments = len(self._waiting), [*self._waiting, *played[:-1]]
        trajectory = _assemble(moments, played[-1], recorded)
        for moment, complete in zip(moments, trajectory.complete, strict=True):
            moment.handed_over = moment.handed_over | complete
        waits = [t for t, moment in enumerate(moments) if (moment.acting & ~moment.handed_over).any()]
        self._waiting = moments[max(min(waits), recorded) :] if waits else []
        return trajectory


def see(timestep: TimeStep, seating: Seating) -> Moment:
    """Copy a time step into a moment; `action`, `extras` and `reward` are set when the step has been taken."""
    seen = timestep.acting | (timestep.truncated & ~timestep.terminated)
    return Moment(
        obs=timestep.obs[seen],
        action_mask=timestep.action_mask[seen],
        seen=seen,
        acting=timestep.acting.copy(),
        terminated=timestep.terminated.copy(),
        truncated=timestep.truncated.copy(),
        first=timestep.first.copy(),
        global_state=timestep.global_state.copy(),
        seating=seating,
        action=np.zeros(0),
        extras={},
        reward=np.zeros(0, np.float32),
        handed_over=np.zeros(seen.shape, bool),
    )


def _assemble(moments: list[Moment], final: Moment, recorded: int) -> Trajectory:
    """Stack moments into a Trajectory; the first `recorded` of them were part of the previous one."""
    every = [*moments, final]

    def seen(name: str) -> NDArray[Any]:
        return np.stack([getattr(moment, name) for moment in every])

    def done(name: str) -> NDArray[Any]:
        return np.stack([getattr(moment, name) for moment in moments])

    mask = seen("seen")
    index = np.where(mask, np.cumsum(mask).reshape(mask.shape) - 1, -1)
    acting, terminated, truncated = seen("acting"), seen("terminated"), seen("truncated")
    names = {name: moment.extras[name] for moment in moments for name in moment.extras}
    return Trajectory(
        obs=np.concatenate([moment.obs for moment in every]),
        action_mask=np.concatenate([moment.action_mask for moment in every]),
        index=index,
        acting=acting,
        terminated=terminated,
        truncated=truncated,
        first=seen("first"),
        global_state=seen("global_state"),
        action=done("action"),
        reward=done("reward"),
        extras={
            name: np.stack([moment.extras.get(name, np.zeros_like(like)) for moment in moments])
            for name, like in names.items()
        },
        seating=done("seating"),
        complete=successor_known(acting, terminated, truncated) & ~done("handed_over"),
        recorded=recorded,
    )


def successor_known(acting: Mask, terminated: Mask, truncated: Mask) -> Mask:
    """Return whether a decision's successor, the player's next decision or its end, is in the recording [T, E, N].

    All arguments are [T+1, E, N]. Other decisions wait for the next recording.
    """
    known = np.zeros_like(acting[:-1])
    seen = acting[-1] | terminated[-1] | truncated[-1]
    for t in reversed(range(len(known))):
        known[t] = acting[t] & seen
        seen = seen | acting[t] | terminated[t] | truncated[t]
    return known
