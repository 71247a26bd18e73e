"""Responses to mixtures: training runs against them, or the exact best response."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from games.keys import fold_one, stream
from games.registry import make
from marl.agents import checkpoint
from marl.base.digests import Json
from marl.base.parcels import Writes
from marl.base.units import Unit
from marl.evaluation.tabular import respond as respond_to
from marl.training.config import TrainConfig
from tournaments.populations.files import Member, Weights
from tournaments.populations.policies import policies_of
from tournaments.populations.psro.config import BEST, PsroConfig
from tournaments.populations.psro.solution import opponents
from tournaments.populations.training import (
    DIGEST,
    DIVERGED,
    MEMBERS,
    against,
    output_of,
    train_unit,
    training_in_rounds,
    unit_of,
)


def name_of(response: int) -> str:
    """Return the id of a response."""
    return f"response-{response:04d}"


def responses_of(round: int, config: PsroConfig) -> Sequence[int]:
    """Return the numbers of the responses that train in a round, the lowest first."""
    return range(max(0, round + 1 - config.pipeline), min(round + 1, config.iterations))


def until_of(response: int, round: int, config: PsroConfig) -> int:
    """Return the step at which a response's round ends."""
    return (round + 1 - response) * config.response // config.pipeline


def run_of(response: int, round: int, config: PsroConfig) -> str:
    """Return the folder of a response's run in a round, relative to the population's."""
    run = f"{MEMBERS}/{name_of(response)}"
    return run if config.pipeline == 1 else f"{run}/{round:04d}"


@dataclass(frozen=True)
class Response:
    """What a response does in one round: a unit of work."""

    name: str
    training: TrainConfig
    until: int | None  # the step at which the round ends; None: that at which the response does
    weights: Weights  # of the mixture that it answers, by the seat of each member
    run: str  # relative to the population's folder
    parent: str | None  # the digest of the checkpoint with whose learner it begins
    agents: Mapping[str, str]  # references by digest: of its opponents, and of its parent

    @classmethod
    def of(
        cls,
        config: PsroConfig,
        number: int,
        round: int,
        weights: Weights,
        agents: Mapping[str, str],
        begun: str | None,
    ) -> "Response":
        """Return what a response, by its number, does in a round; `begun` is the folder of its newest checkpoint."""
        parent = checkpoint.read(Path(begun))["integrity"] if begun else None
        return cls(
            name=name_of(number),
            training=response_to(weights, config, number, parent),
            until=until_of(number, round, config) if config.pipeline > 1 else None,
            weights=weights,
            run=run_of(number, round, config),
            parent=parent,
            agents={**agents, parent: begun} if parent and begun else agents,
        )

    @property
    def unit(self) -> Unit:
        """The unit of work."""
        return unit_of(self.name, self.training, self.until)

    @property
    def decision(self) -> dict[str, Any]:
        """What was decided, as JSON data."""
        goes_on = {} if self.until is None else {"parent": self.parent, "until": self.until}
        return {"opponents": opponents(self.weights)} | goes_on

    def task(self, folder: Path, device: str) -> tuple[Any, ...]:
        """Return the arguments of `respond`."""
        config = self.training.model_dump(mode="json")
        return config, Writes(folder, self.run), self.run, dict(self.agents), device, self.until

    def made(self, output: Json, round: int) -> Member:
        """Return the agent that the unit made; `round` is the first whose table it may be in."""
        return Member(
            self.name if self.until is None else f"{self.name}.{round - 1:04d}",
            output["digest"],
            "response",
            round,
            checkpoint=output["checkpoint"],
            algorithm=self.training.algorithm["name"],
            step=output["step"],
            seed=self.training.seed,
            diverged=output.get(DIVERGED),
        )


def response_to(weights: Weights, config: PsroConfig, response: int, parent: str | None = None) -> TrainConfig:
    """Return the training run of a response to a mixture; `parent` is the digest of its checkpoint, if it has one.

    It names its opponents by their digests, so no path is in its checkpoints.
    """
    return training_in_rounds(
        config,
        config.learner,
        seed=fold_one(stream(config.seed, "response"), response) >> 1,
        steps=config.response,
        parent=f"{DIGEST}{parent}" if parent else None,
        opponents=against(opponents(weights)),
    )


def respond(
    config: dict[str, Any], folder: str, run: str, agents: Mapping[str, str], device: str, until: int | None
) -> dict[str, Json]:
    """Make a response, or go on with one, as `train_unit` does."""
    response = TrainConfig.model_validate(config)
    if response.algorithm["name"] == BEST:
        return output_of(Path(folder), _computed(response, Path(folder) / run, agents))
    return train_unit(config, folder, run, agents, device, until)


def _computed(response: TrainConfig, run: Path, agents: Mapping[str, str]) -> Path:
    """Compute the best response to the opponents of a training run, and write it as a checkpoint."""
    spec = make(response.game, 1).spec
    policies = policies_of(spec, "learner: best_response", game=response.game)
    for digest, reference in agents.items():
        policies.read(digest, reference)
    mixture = {
        entry.agent.removeprefix(DIGEST): np.broadcast_to(entry.weight, spec.num_players).tolist()
        for entry in response.opponents.agents
    }
    folder = checkpoint.folder_of(run, 0)
    if not folder.exists():
        checkpoint.write(
            folder,
            algorithm=BEST,
            settings={},
            spec=spec,
            config=response.model_dump(mode="json"),
            step=0,
            parent=None,
            agent=respond_to(policies.tree, policies.mixture(opponents(mixture))),
            learner={},
        )
    return folder
