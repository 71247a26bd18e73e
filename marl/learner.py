"""Learners: what an algorithm is to the loop. An entry point of the group `marl.algorithms` names a Learner class."""

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from games.contract import Spec
from marl.agent import Agent
from marl.types import Tensors, Trajectory


class Learner(Protocol):
    """Learn from trajectories. Raises UserError, with the remedy, for a game that it does not fit."""

    Config: ClassVar[type[BaseModel]]  # the settings, with their defaults: said here and only here
    notes: Sequence[str]  # what the user should know of how this game fits

    def __init__(self, config: Any, spec: Spec, *, key: int, total_steps: int, device: str) -> None: ...

    def actors(self) -> Sequence[Agent]:
        """Return who plays while training: exploring agents, the same objects at every call."""
        ...

    def update(self, trajectory: Trajectory, mine: Collection[int]) -> dict[str, float]:
        """Learn from the decisions of the roster entries `mine`; return metrics (their units: docs/metrics.md)."""
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
    def load_agent(cls, config: Any, spec: Spec, state: Tensors, *, device: str, **options: Any) -> Agent:
        """Build the agent of a checkpoint; `options` are the arguments of its reference: `runs/x(greedy=True)`."""
        ...
