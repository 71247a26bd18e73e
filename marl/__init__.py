"""Multi-agent and game-playing reinforcement learning on one game contract.

    make              a game by reference, as a batch of environments
    load_agent        an agent by reference: a name, a class, a run or a checkpoint folder
    play              episodes between agents: returns, lengths, moves
    evaluate          the mean return of an agent in each seat
    train             a training run
    train_population  several learners, side by side or against each other
    run_tournament    a round robin
    rate              the ratings that a tournament's games give

Names are imported when they are first used, so `import marl` costs little and loads neither torch nor numpy.
"""

import importlib
from typing import Any

from marl.base import moved
from marl.names import keep_ours

# The public names, and the modules that have them; marl/__init__.pyi says the same to type checkers.
_HOMES = {
    "marl.api": (
        "make",
        "load_agent",
        "play",
        "Played",
        "evaluate",
        "train",
        "train_population",
        "run_tournament",
        "rate",
    ),
    "games.contract": ("Spec", "TimeStep", "State", "Game", "VecEnv", "Array", "Discrete", "Box"),
    "games.errors": ("UserError", "RunFailed"),
    "marl.rollout.agent": ("Agent", "Stateless"),
    "marl.rollout.types": ("View", "Decision", "Hidden", "Trajectory", "Tensors"),
    "marl.learning.learner": ("Learner",),
    "marl.evaluation.evaluate": ("Evaluation",),
    "tournaments.reports.summary": ("Summary",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME]

keep_ours()
moved.install()


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value = importlib.import_module("importlib.metadata").version("marl")
    elif name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'marl' has no attribute '{name}'", name=name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
