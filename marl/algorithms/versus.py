"""Versus: several learners at one table, each by its own algorithm, each improving against the others as they improve.

    algorithm: {name: versus, learners: [{name: loqa}, {name: naive}]}

Every learner learns from its own decisions alone; to it the others are strangers. They change seats from environment
to environment. `runs/x` is the first of them, `runs/x(learner=1)` the second.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from games.contract import Spec
from games.errors import UserError
from games.keys import stream
from marl.agent import Agent
from marl.config import validate
from marl.entrants import algorithm
from marl.learner import Learner
from marl.networks import prefixed, under
from marl.rollout import Seating
from marl.types import Tensors, Trajectory


class VersusConfig(BaseModel):
    """The settings of each learner: its algorithm's name, and what that algorithm takes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learners: tuple[dict[str, Any], ...] = Field(min_length=2)


class Versus(Learner):
    """Several learners against each other.

    Raises UserError where there are more learners than players, or they need trajectories of different lengths.
    """

    Config: ClassVar[type[BaseModel]] = VersusConfig

    def __init__(self, config: VersusConfig, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        self.config, self.spec = config, spec
        if len(config.learners) > spec.num_players:
            raise UserError(
                f"{len(config.learners)} learners need as many players, and '{spec.name}' has {spec.num_players}; "
                "name fewer"
            )
        self._names, learners = [], []
        for k, section in enumerate(config.learners):
            name, made, settings = _section(section)
            self._names.append(f"{k}.{name}")
            learners.append(
                made(settings, spec, key=stream(key, f"learner.{k}"), total_steps=total_steps, device=device)
            )
        self._learners: list[Learner] = learners
        self.notes = [note for learner in self._learners for note in learner.notes]
        lengths = {learner.rollout_length for learner in self._learners} - {None}
        if len(lengths) > 1:
            raise UserError(f"the learners need trajectories of different lengths, {sorted(lengths)}; choose others")  # type: ignore[type-var]
        self.rollout_length = next(iter(lengths), None)

    def actors(self) -> Sequence[Agent]:
        return [actor for learner in self._learners for actor in learner.actors()]

    def agent(self) -> Agent:
        return self._learners[0].agent()

    def seating(self, num_envs: int) -> Seating:
        """Seat the learners one beside the other, moved on by a seat from each environment to the next."""
        env, player = np.arange(num_envs)[:, None], np.arange(self.spec.num_players)[None, :]
        leaders = np.array([entries[0] for entries in self._entries(range(len(self.actors())))])
        return leaders[(env + player) % len(leaders)]

    def _entries(self, mine: Sequence[int]) -> list[Sequence[int]]:
        """Return each learner's share of the entries."""
        shares, start = [], 0
        for learner in self._learners:
            count = len(learner.actors())
            shares.append(mine[start : start + count])
            start += count
        return shares

    def update(self, trajectory: Trajectory, mine: Sequence[int]) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for name, learner, entries in zip(self._names, self._learners, self._entries(mine), strict=True):
            metrics |= prefixed(name, learner.update(trajectory, entries))
        return metrics

    def state(self) -> Tensors:
        return self._all("state")

    def load_state(self, state: Tensors) -> None:
        for name, learner in zip(self._names, self._learners, strict=True):
            learner.load_state(under(name, state))

    def agent_state(self) -> Tensors:
        return self._all("agent_state")

    def _all(self, what: str) -> Tensors:
        named = zip(self._names, self._learners, strict=True)
        return {k: v for name, learner in named for k, v in prefixed(name, getattr(learner, what)()).items()}

    @classmethod
    def load_agent(cls, config: VersusConfig, spec: Spec, state: Tensors, *, device: str, learner: int = 0) -> Agent:
        if not 0 <= learner < len(config.learners):
            raise UserError(f"expected learner=0 to {len(config.learners) - 1}, got learner={learner}")
        name, made, settings = _section(config.learners[learner])
        return made.load_agent(settings, spec, under(f"{learner}.{name}", state), device=device)  # type: ignore[no-any-return]


def _section(section: dict[str, Any]) -> tuple[str, Any, BaseModel]:
    """Return a learner's name, its class and its settings."""
    settings = dict(section)
    name = settings.pop("name", None)
    if not isinstance(name, str) or name == "versus":
        raise UserError(f"expected the name of an algorithm in each of algorithm.learners, got {section!r}")
    made = algorithm(name)
    return name, made, validate(made.Config, settings, f"the section of {name} in algorithm.learners")
