"""The parent of a run: a checkpoint whose learner it begins with, and goes on from at the checkpoint's step.

The learner takes over all that it has learned from: networks, optimisers, replay and counters. Its settings may differ
from the parent's, and so may the game, the seed and the opponents; what shapes its networks may not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from games.contract import Spec
from games.errors import UserError, written
from marl.agents import checkpoint
from marl.agents.load import checkpoint_folder, refuse_other_games
from marl.agents.references import identified
from marl.learning.learner import Learner
from marl.training.config import TrainConfig


@dataclass(frozen=True)
class Parent:
    """A checkpoint with a learner that fits a run's algorithm and game."""

    folder: Path
    about: checkpoint.About

    @property
    def digest(self) -> str:
        """The digest of all that the checkpoint holds; of format 1, which has none, that of its agent."""
        return self.about.get("integrity", self.about["digest"])


def find(config: TrainConfig, name: str, spec: Spec, agents: Mapping[str, str] | None = None) -> Parent | None:
    """Return the parent that a config names, by its folder or by `digest:<64 hex digits>`; None if it names none.

    `agents` are folders by digest. `name` is the run's algorithm. Raises UserError for a checkpoint that is not there,
    of another algorithm, of a game with other players, views or actions, or of a step at which the run is over.
    """
    if config.parent is None:
        return None
    with config.origin.blame(("parent",)):
        digest = identified(config.parent, agents or {})
        folder = checkpoint_folder(Path(config.parent if digest is None else (agents or {})[digest]))
        parent = Parent(folder, checkpoint.read(folder))
        if digest not in (None, parent.digest):
            raise UserError(
                f"expected the checkpoint {digest[:8]}... at '{folder}', got another ({parent.digest[:8]}...); put "
                "back the one that was there"
            )
        trained_by = parent.about["algorithm"]
        if trained_by != name:
            raise UserError(f"expected a run of {name}, got '{folder}', which is of {trained_by}; name one of {name}")
        refuse_other_games(folder, parent.about, spec)
        if parent.about["step"] >= config.steps:
            raise UserError(
                f"the learner of '{folder}' has trained {parent.about['step']:,} steps, which count, and the run ends "
                f"at {config.steps:,}; set steps to more"
            )
        return parent


def begin(learner: Learner, parent: Parent, settings: Mapping[str, object]) -> None:
    """Give a learner with some settings the state of a parent's; raises UserError where it does not fit."""
    state = checkpoint.learner_state(parent.folder, parent.about)
    try:
        learner.load_state(state)
    except (KeyError, ValueError, RuntimeError) as error:  # from dictionaries, numpy and torch
        theirs = parent.about["settings"]
        other = [key for key, value in settings.items() if theirs.get(key) != value]
        what = ", ".join(f"{key}: {written(theirs.get(key))}" for key in other) or "another version's"
        raise UserError(
            f"the learner's state in '{parent.folder}' does not fit: its settings that differ are {what}; take over "
            "those that shape networks, or leave 'parent' out"
        ) from error
