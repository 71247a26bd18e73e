"""Versus: several learners train in one game, each with its own algorithm.

    algorithm: {name: versus, learners: [{name: loqa}, {name: naive}]}

Every learner learns from its own decisions only; the others are strangers to it. Their seats differ between
environments. `runs/x` is the agent of the first learner, `runs/x(learner=1)` that of the second.
"""

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, Field, ValidationInfo, field_validator

from games.contract import Spec
from games.errors import UserError
from games.keys import stream
from marl.base.schema import Frozen, Section, is_record
from marl.learning.idle import idle
from marl.learning.learner import Learner
from marl.learning.registry import configured
from marl.rollout.agent import Agent, plays_whole_team
from marl.rollout.seating import Seating
from marl.rollout.types import Tensors, Trajectory, prefixed, under


class VersusConfig(Frozen):
    """The settings of each learner: its algorithm's name and that algorithm's settings."""

    learners: tuple[Section, ...] = Field(min_length=2)

    @field_validator("learners")
    @classmethod
    def _complete(cls, sections: tuple[dict[str, Any], ...], info: ValidationInfo) -> tuple[dict[str, Any], ...]:
        """Fill in the defaults, so that a checkpoint holds all settings of its learners."""
        made = [_section(section, record=is_record(info)) for section in sections]
        return tuple({"name": name} | settings.model_dump(mode="json") for name, _, settings in made)


class Versus(Learner):
    """Versus: several learners train against each other in one run.

    Raises UserError for more learners than players, for a learner with past selves, and for learners that need
    trajectories of different lengths.
    """

    Config: ClassVar[type[BaseModel]] = VersusConfig

    def __init__(self, config: VersusConfig, spec: Spec, *, key: int, total_steps: int, device: str) -> None:
        self.config, self.spec = config, spec
        if len(config.learners) > spec.num_players:
            raise UserError(
                f"{len(config.learners)} learners need as many players, and '{spec.name}' has {spec.num_players}; "
                "name fewer"
            )
        self._learners: dict[str, Learner] = {}
        self._idle: list[str] = []
        for k, section in enumerate(config.learners):
            name, made, settings = _section(section)
            learner = made(settings, spec, key=stream(key, f"learner.{k}"), total_steps=total_steps, device=device)
            if any(plays_whole_team(actor) for actor in learner.actors()):
                raise UserError(
                    f"{name} plays all seats of a team, and versus seats another learner beside it; leave it out"
                )
            if len(learner.actors()) > 1:
                raise UserError(f"versus seats one of each learner, and {name} brings past selves; set past_selves: 0")
            self._learners[_prefix(k, name)] = learner
            self._idle += [f"{name}: {note}" for note in idle(settings, made.needs(settings, spec))]
        self.notes = self._notes()
        lengths = {learner.rollout_length for learner in self._learners.values()} - {None}
        if len(lengths) > 1:
            raise UserError(f"the learners need trajectories of different lengths, {lengths}; choose others")
        self.rollout_length = next(iter(lengths), None)
        self.whole_episodes = any(learner.whole_episodes for learner in self._learners.values())

    @classmethod
    def resolved(cls, config: VersusConfig, spec: Spec, *, device: str) -> VersusConfig:
        learners = []
        for section in config.learners:
            name, made, settings = _section(section)
            settings = made.resolved(settings, spec, device=device)
            learners.append({"name": name} | settings.model_dump(mode="json"))
        return config.model_copy(update={"learners": tuple(learners)})

    def actors(self) -> Sequence[Agent]:
        return [learner.actors()[0] for learner in self._learners.values()]

    def agent(self) -> Agent:
        return next(iter(self._learners.values())).agent()

    def seating(self, num_envs: int) -> Seating:
        """Seat the learners in order, rotated by one seat from each environment to the next."""
        env, player = np.arange(num_envs)[:, None], np.arange(self.spec.num_players)[None, :]
        return (env + player) % len(self._learners)

    def update(self, trajectory: Trajectory, mine: Sequence[int]) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for (name, learner), entry in zip(self._learners.items(), mine, strict=True):
            metrics |= prefixed(name, learner.update(trajectory, [entry]))
        self.notes = self._notes()
        return metrics

    def _notes(self) -> list[str]:
        return [*self._idle, *(note for learner in self._learners.values() for note in learner.notes)]

    def state(self) -> Tensors:
        return {k: v for name, learner in self._learners.items() for k, v in prefixed(name, learner.state()).items()}

    def load_state(self, state: Tensors) -> None:
        for name, learner in self._learners.items():
            learner.load_state(under(name, state))

    def agent_state(self) -> Tensors:
        states = {name: learner.agent_state() for name, learner in self._learners.items()}
        return {k: v for name, state in states.items() for k, v in prefixed(name, state).items()}

    @classmethod
    def load_agent(
        cls, config: VersusConfig, spec: Spec, state: Tensors, *, device: str, learner: int = 0, greedy: bool = False
    ) -> Agent:
        if type(learner) is not int or not 0 <= learner < len(config.learners):
            learners = ", ".join(f"{k} is {section['name']}" for k, section in enumerate(config.learners))
            raise UserError(f"expected learner=0 to {len(config.learners) - 1}, got learner={learner}; {learners}")
        name, made, settings = _section(config.learners[learner])
        takes = inspect.signature(made.load_agent).parameters
        samples = "greedy" in takes and "search" not in takes  # other agents already play their best action
        mode = {"greedy": True} if greedy and samples else {}
        return made.load_agent(settings, spec, under(_prefix(learner, name), state), device=device, **mode)  # type: ignore[no-any-return]


def _prefix(k: int, name: str) -> str:
    return f"{k}.{name}"


def _section(section: dict[str, Any], *, record: bool = False) -> tuple[str, Any, BaseModel]:
    """Return a learner's name, its class and its settings."""
    if section.get("name") == "versus":
        raise UserError("versus cannot hold versus; name the learners themselves")
    return configured(section, "algorithm.learners", record=record)
