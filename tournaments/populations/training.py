"""A round of a learner's training, as a unit of work.

All that it depends on is in the unit by value or by digest: its opponents, and the checkpoint with whose learner it
begins. So its bytes do not depend on where these lie.
"""

import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from games.errors import Diverged
from marl.agents import checkpoint
from marl.agents.cost import METRICS
from marl.base.digests import Json
from marl.base.files import MOST_LOG, parse_json, read_text
from marl.base.terminal import Terminal
from marl.base.units import Unit
from marl.training.config import TrainConfig
from marl.training.opponents import label_of
from marl.training.train import train
from marl.training.units import training_unit
from tournaments.populations.settings import InRounds

MEMBERS = "members"
DIGEST = "digest:"  # before a digest, where it stands for a reference
DIVERGED = "diverged"  # of a unit's output: why it ended before its last step


def against(opponents: Mapping[str, Sequence[float] | float], share: float = 1.0) -> dict[str, Any]:
    """Return the opponents of a training run by their digests, with weights, which may be by the learner's seat."""
    listed = [{"agent": f"{DIGEST}{digest}", "weight": weights} for digest, weights in opponents.items()]
    return {"agents": listed, "share": share}


def training_in_rounds(
    config: InRounds,
    algorithm: Mapping[str, Any] | None,
    *,
    seed: int,
    steps: int,
    parent: str | None,
    opponents: Mapping[str, Any],
) -> TrainConfig:
    """Return the training run of a learner's rounds, in which nobody is evaluated: members meet in games.

    `parent` and `opponents` are named by digests, so no path is in its checkpoints.
    """
    return TrainConfig.model_validate(
        {
            "game": config.game,
            "algorithm": algorithm,
            "seed": seed,
            "steps": steps,
            "stretch": config.stretch,
            "num_envs": config.num_envs,
            "rollout_length": config.rollout_length,
            "threads": config.threads,
            "keep": 1,
            "writers": config.writers,
            "parent": parent,
            "opponents": dict(opponents),
            "evaluation": {"panel": ()},
        }
    )


def unit_of(member: str, config: TrainConfig, until: int | None = None) -> Unit:
    """Return the unit of work that trains a member to the config's last step, or to `until` before it."""
    return training_unit(member, config.model_dump(mode="json"), config.seed, until)


def train_unit(
    config: dict[str, Any], folder: str, run: str, agents: Mapping[str, str], device: str, until: int | None = None
) -> dict[str, Json]:
    """Train in a run's folder, relative to the population's, on from its newest checkpoint: a unit's function.

    `agents` are references by digest. Return its newest checkpoint, as `output_of` does. A run that diverges would do
    so again: its output is its last checkpoint of before, with the reason under "diverged".
    """
    quiet = Terminal(file=io.StringIO(), force_terminal=False)
    settings, path = TrainConfig.model_validate(config), Path(folder) / run
    try:
        made = train(settings, path, resume=True, device=device, console=quiet, agents=agents, until=until)
    except Diverged as error:
        newest = checkpoint.newest(path)
        assert newest is not None  # a run begins with one
        return output_of(Path(folder), newest) | {DIVERGED: str(error)}
    return output_of(Path(folder), made)


def output_of(folder: Path, made: Path) -> dict[str, Json]:
    """Return where a checkpoint lies in the population's folder, its agent's digest, and its step."""
    about = checkpoint.read(made)
    return {"checkpoint": str(made.relative_to(folder)), "digest": about["digest"], "step": about["step"]}


def outcomes_of(run: Path, opponents: Collection[str]) -> dict[str, Json]:
    """Return the episodes that ended against each opponent, by its digest, and what the learner scored in them.

    They are read from the run's log, which a run that goes on has cut at its checkpoint: so a kill changes nothing.
    """
    found = {}
    rows = [parse_json(line) for line in read_text(run / METRICS, MOST_LOG).splitlines()]
    for digest in sorted(opponents):
        name = f"against/{label_of(digest)}"
        ended = [row for row in rows if f"{name}/ended" in row]
        if ended:
            score = sum(row[f"{name}/ended"] * row[f"{name}/score_mean"] for row in ended)
            found[digest] = {"episodes": sum(row[f"{name}/ended"] for row in ended), "score": score}
    return found
