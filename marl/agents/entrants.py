"""Who sits down: an agent's identity, by which schedules, stores and reports know it, and the agent that plays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from games.contract import Spec
from games.errors import UserError
from games.keys import fold_one
from marl.agents import checkpoint
from marl.agents.chat.agent import Chat
from marl.agents.foreign import ForeignAgent
from marl.learning.learner import Learner
from marl.rollout.agent import Agent
from marl.rollout.referee import Answerable, Trusted


@dataclass(frozen=True)
class Training:
    """Where a checkpoint comes from, as its checkpoint.json says; `parent` is the digest of the one before."""

    folder: Path
    algorithm: str
    step: int
    parent: str | None


@dataclass(frozen=True)
class Identity:
    """Who an agent is: what a schedule, a store and a report need to know of it. Its weights need not be read."""

    name: str  # to show
    reference: str  # from which `read` gets the same agent
    digest: str  # of its code or its weights, and its arguments
    draws: int = field(kw_only=True)  # the seed of its randomness, from its weights or reference, not from its code
    foreign: bool = field(default=False, kw_only=True)  # a user's class, which plays in a process of its own
    training: Training | None = field(default=None, kw_only=True)  # None for an agent that is no checkpoint
    whole_team: bool = field(default=False, kw_only=True)  # it plays only where it holds all seats

    def refuse_beside_others(self) -> None:
        """Raise UserError for an agent that cannot sit beside others."""
        if self.whole_team:
            raise UserError(
                f"'{self.reference}' plays all seats of a team, and cannot sit beside others: leave it out, or "
                "train it with distil: true"
            )


@dataclass(frozen=True)
class Entrant(Identity):
    """An agent that is loaded, and can play."""

    agent: Agent
    size: int = field(default=0, kw_only=True)  # bytes of its weights
    parts: tuple["Entrant", ...] = field(default=(), kw_only=True)  # the agents with which it looks ahead

    def stream(self, key: int) -> int:
        """Return the key of this agent's randomness: another agent in the same seat draws other numbers."""
        return fold_one(key, self.draws)

    def answerable(self, spec: Spec) -> Agent:
        """Return the agent as it plays outside tournaments: a failure or illegal move ends the run and names it."""
        return Answerable(self.agent, self.name, spec)

    def rated(self) -> Agent:
        """Return the agent as it plays in tournaments: if it fails, a foreign one forfeits; any other ends the run."""
        return self.agent if self.foreign else Trusted(self.agent, self.name)

    def rest(self) -> None:
        """End the agent's process, or close its connection, and those of its parts; the next call starts another."""
        if isinstance(self.agent, ForeignAgent | Chat):
            self.agent.close()
        for part in self.parts:
            part.rest()

    def load(self) -> "Entrant":
        """Return this agent, which is loaded; one that is not yet (`Trained`) has the same method."""
        return self


@dataclass(frozen=True)
class Trained(Identity):
    """An agent of a checkpoint whose weights are not read yet. Everything that needs no weights is checked."""

    folder: Path
    about: checkpoint.About
    learner: type[Learner]
    config: BaseModel
    options: Mapping[str, Any]  # by which it plays
    spec: Spec
    device: str

    @property
    def kind(self) -> tuple[type[Learner], str]:
        """What decides, with the game, whether such an agent can play: its algorithm, and its options."""
        return self.learner, str(sorted(self.options.items()))

    def load(self) -> Entrant:
        """Read the weights, verified, and build the agent; raises UserError where that cannot be done."""
        state = checkpoint.tensors(self.folder, self.about, checkpoint.AGENT)
        # Not by torch, which would start its threads.
        if not all(np.isfinite(tensor.float().numpy()).all() for tensor in state.values()):
            raise UserError(f"the weights of '{self.folder}' are not all finite; choose another checkpoint of the run")
        try:
            agent = self.learner.load_agent(self.config, self.spec, state, device=self.device, **self.options)
        except (KeyError, RuntimeError) as error:  # torch raises these for weights that do not fit a network
            raise UserError(
                f"the weights of '{self.folder}' do not fit this version of {self.about['algorithm']}; install the "
                "version that wrote them"
            ) from error
        size = sum(tensor.nbytes for tensor in state.values())
        return Entrant(
            self.name, self.reference, self.digest, agent, draws=self.draws, size=size, whole_team=self.whole_team
        )
