"""Learners: what an algorithm is to the training loop.

An entry point of the group `marl.algorithms` names a Learner class, or a user names one as `package.module:Class`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from games.contract import Spec
from marl.learning.idle import Needs
from marl.rollout.agent import Agent
from marl.rollout.seating import Seating, self_play
from marl.rollout.types import Tensors, Trajectory


class Learner(ABC):
    """Learn from trajectories. Raises UserError, with the remedy, for a game that it does not fit."""

    Config: ClassVar[type[BaseModel]]  # the settings with their defaults, which stand here and only here
    spec: Spec
    notes: Sequence[str] = ()  # for the user: how the algorithm fits this game, and what comes up while it learns
    may_lag: bool = False  # it also learns from trajectories of its previous weights, and its actors can be pickled
    whole_episodes: bool = False  # it learns from complete episodes only, so a stretch ends with none open
    rollout_length: int | None = None  # the length of the trajectories that it needs; None: any

    @abstractmethod
    def __init__(self, config: Any, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        """Build networks and optimisers; `key` is the root of all randomness, `total_steps` the length of the run."""

    @classmethod
    def resolved(cls, config: Any, spec: Spec, *, device: str) -> Any:
        """Return the settings of a new run, in which each `auto` that depends on the machine has been decided.

        The run's config.yaml holds them, so they are the same when the run is resumed on another machine.
        """
        return config

    @classmethod
    def needs(cls, config: Any, spec: Spec) -> Needs:
        """Return which settings are used only under some condition, whether it is met, and what it is.

        Such as `{"chunk_length": (config.recurrent, "recurrent: true")}`: a note names those that are set in vain.
        """
        return {}

    @classmethod
    def plays_whole_team(cls, config: Any) -> bool:
        """Return whether its agents play only where one of them holds all seats of a team; by default they do not."""
        return False

    @abstractmethod
    def actors(self) -> Sequence[Agent]:
        """Return the agents that play in training: they explore, and are the same objects at every call."""

    def seating(self, num_envs: int) -> Seating:
        """Return which of its actors plays each player [E, N] if no stranger plays; by default each plays itself."""
        return self_play(num_envs, self.spec.num_players, len(self.actors()))

    def leaders(self) -> Sequence[int]:
        """Return which of its actors keep a seat where strangers take the others; by default all."""
        return range(len(self.actors()))

    @abstractmethod
    def update(self, trajectory: Trajectory, mine: Sequence[int]) -> dict[str, float]:
        """Learn from the decisions of its actors; return metrics (their units: docs/reference/metrics.md).

        `mine` are their entries in the trajectory's seating, in the order of `actors()`.
        """

    @abstractmethod
    def agent(self) -> Agent:
        """Return the agent to evaluate and to rate; it plays any seat."""

    @abstractmethod
    def state(self) -> Tensors:
        """Return everything that a resumed run needs: networks, optimisers, counters."""

    @abstractmethod
    def load_state(self, state: Tensors) -> None:
        """Restore what `state` returned."""

    @abstractmethod
    def agent_state(self) -> Tensors:
        """Return the weights that `load_agent` needs."""

    @classmethod
    @abstractmethod
    def load_agent(cls, config: Any, spec: Spec, state: Tensors, *, device: str) -> Agent:
        """Build the agent of a checkpoint; other keywords are arguments of its reference: `runs/x(greedy=true)`."""
