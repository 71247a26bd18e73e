"""A response to a mixture, as a unit of work: a training run against it, or the exact best response."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from games.keys import fold_one, stream
from games.registry import make
from marl.agents import checkpoint
from marl.base.terminal import Terminal
from marl.base.units import Unit
from marl.evaluation.tabular import respond as respond_to
from marl.training.config import TrainConfig
from marl.training.train import train
from tournaments.populations.config import BEST, PsroConfig
from tournaments.populations.policies import policies_of
from tournaments.populations.psro import Weights, opponents

MEMBERS = "members"
DIGEST = "digest:"  # before an agent's digest, where it stands for a reference


def name_of(round: int) -> str:
    """Return the id of a round's response."""
    return f"response-{round:04d}"


def response_to(weights: Weights, config: PsroConfig, round: int) -> TrainConfig:
    """Return the training run of a round's response to a mixture.

    It names its opponents by their digests, so no path is in its checkpoints.
    """
    against = [{"agent": f"{DIGEST}{digest}", "weight": pair} for digest, pair in opponents(weights).items()]
    return TrainConfig.model_validate(
        {
            "game": config.game,
            "algorithm": config.learner,
            "seed": fold_one(stream(config.seed, "response"), round) >> 1,
            "steps": config.response,
            "stretch": config.stretch,
            "num_envs": config.num_envs,
            "rollout_length": config.rollout_length,
            "threads": config.threads,
            "keep": 1,
            "writers": config.writers,
            "opponents": {"agents": against, "share": 1.0},
            "evaluation": {"panel": ()},
        }
    )


def unit_of(response: TrainConfig, name: str) -> Unit:
    """Return the unit of work of a response."""
    return Unit("train", {"member": name, "config": response.model_dump(mode="json")}, response.seed)


def respond(config: dict[str, Any], folder: str, name: str, agents: Mapping[str, str], device: str) -> dict[str, Any]:
    """Make a response in this process, or go on with one, and return its checkpoint, digest and step.

    `agents` are the references of its opponents by digest.
    """
    response, run = TrainConfig.model_validate(config), Path(folder) / MEMBERS / name
    if response.algorithm["name"] == BEST:
        made = _computed(response, run, agents)
    else:
        quiet = Terminal(file=io.StringIO(), force_terminal=False)
        made = train(response, run, resume=True, device=device, console=quiet, agents=agents)
    about = checkpoint.read(made)
    return {"checkpoint": str(made.relative_to(folder)), "digest": about["digest"], "step": about["step"]}


def _computed(response: TrainConfig, run: Path, agents: Mapping[str, str]) -> Path:
    """Compute the best response to the opponents of a training run, and write it as a checkpoint."""
    spec = make(response.game, 1).spec
    policies = policies_of(spec, "learner: best_response")
    for digest, reference in agents.items():
        policies.read(digest, reference)
    against = {
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
            agent=respond_to(policies.tree, policies.mixture(opponents(against))),
            learner={},
        )
    return folder
