"""Learners: what an algorithm is to the loop. An entry point of the group `marl.algorithms` names a Learner class."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from games.contract import Spec
from marl.rollout.agent import Agent
from marl.rollout.seating import Seating, self_play
from marl.rollout.types import Tensors, Trajectory


class Learner(Protocol):
    """Learn from trajectories. Raises UserError, with the remedy, for a game that it does not fit."""

    Config: ClassVar[type[BaseModel]]  # the settings, with their defaults: said here and only here
    spec: Spec
    notes: Sequence[str] = ()  # what the user should know of how this game fits
    may_lag: bool = False  # it learns from games a generation old, too, and its actors can be pickled
    rollout_length: int | None = None  # the length of the trajectories that it needs; None: any

    def __init__(self, config: Any, spec: Spec, *, key: int, total_steps: int, device: str) -> None: ...

    def actors(self) -> Sequence[Agent]:
        """Return who plays while training: exploring agents, the same objects at every call."""
        ...

    def seating(self, num_envs: int) -> Seating:
        """Return which of its actors holds each player [E, N] where no stranger plays: every actor plays itself."""
        return self_play(num_envs, self.spec.num_players, len(self.actors()))

    def leaders(self) -> Sequence[int]:
        """Return which of its actors keep a seat where strangers take the others: all of them."""
        return range(len(self.actors()))

    def update(self, trajectory: Trajectory, mine: Sequence[int]) -> dict[str, float]:
        """Learn from the decisions of its actors; return metrics (their units: docs/metrics.md).

        `mine` are their entries in the trajectory's seating, in the order of `actors()`.
        """
        ...

    def agent(self) -> Agent:
        """Return what a tournament rates, for any seat."""
        ...

    def state(self) -> Tensors:
        """Return everything that training goes on from: networks, optimisers, counters."""
        ...

    def load_state(self, state: Tensors) -> None: ...

    def agent_state(self) -> Tensors:
        """Return what is enough to play."""
        ...

    @classmethod
    def load_agent(cls, config: Any, spec: Spec, state: Tensors, *, device: str) -> Agent:
        """Build the agent of a checkpoint; more keywords are the arguments of its reference: `runs/x(greedy=True)`."""
        ...
