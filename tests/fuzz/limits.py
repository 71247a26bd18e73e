"""What keeps a mutant that is valid from running for long: work is cut to little, and all is done in this process.

What a config says stays as it was mutated until it has been checked. Numbers beyond `HOPELESS` stay, too: no machine
can do so much, so the command has to say so itself.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import games.check
import tournaments.tournament
from games.registry import make
from marl.base import engine
from marl.evaluation import evaluate
from marl.training import population, train
from marl.training.collectors import Collector

HOPELESS = 2**40
MOST = {"steps": 128, "stretch": 64, "num_envs": 16, "rollout_length": 32, "seeds": 3, "batch": 64, "episodes": 2}
MOST_OF_A_SETTING = 32  # as many blocks are still a network that is quickly built


class Limits:
    """Cut the work of commands while it is entered; `cut` tells whether anything was."""

    cut = False

    def few(self, number: Any, most: int) -> Any:
        """Return a number of things to do, or `most` where it is more."""
        if not isinstance(number, int | float) or isinstance(number, bool) or not most < number < HOPELESS:
            return number
        self.cut = True
        return most

    def config(self, config: Any) -> Any:
        """Return a checked config, with less to do."""
        fewer = {key: self.few(getattr(config, key), most) for key, most in MOST.items() if hasattr(config, key)}
        if hasattr(config, "evaluation"):
            seeds = self.few(config.evaluation.seeds, MOST["seeds"])
            fewer["evaluation"] = config.evaluation.model_copy(update={"seeds": seeds})
            fewer["algorithm"] = self._settings(config.algorithm)
        return config.model_copy(update=fewer)

    def _settings(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._settings(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [self._settings(entry) for entry in value]
        return self.few(value, MOST_OF_A_SETTING)

    def train(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """Return `train`, ended after one stretch."""

        def short(config: Any, folder: Any, *, resume: bool, **more: Any) -> Any:
            config = self.config(config)
            if not resume:
                config = config.model_copy(update={"steps": self.few(config.steps, min(config.stretch, HOPELESS))})
            return real(config, folder, resume=resume, **more)

        return short

    def tournament(self, real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda config, *given, **more: real(self.config(config), *given, **more)

    def evaluate(self, real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given, seeds, **more: real(*given, seeds=self.few(seeds, MOST["seeds"]), **more)

    def check(self, real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda game, episodes, **more: real(game, self.few(episodes, MOST["episodes"]), **more)

    def here(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """Return `engine.outcomes`, without processes."""

        def outcomes(function: Any, tasks: Any, workers: int, engine: Any = "processes", names: Any = ()) -> Any:
            self.cut = self.cut or workers > 1
            return real(function, tasks, 1, "processes", names)

        return outcomes

    def environments(self, game: str, num_envs: int, workers: int) -> Any:
        """Stand in for `Workers`."""
        self.cut = True
        return make(game, num_envs)

    def collector(self, game: str, num_envs: int, workers: int, length: int) -> Any:
        """Stand in for `WorkerCollector`."""
        self.cut = True
        return Collector(make(game, num_envs), length)


@contextmanager
def limited() -> Iterator[Limits]:
    """Cut the work of every command that is run within."""
    limits = Limits()
    with ExitStack() as stack:
        for module, name, wrap in (
            (train, "train", limits.train),
            (population, "train", limits.train),
            (train, "evaluate_entrant", limits.evaluate),
            (evaluate, "evaluate_entrant", limits.evaluate),
            (games.check, "check_game", limits.check),
            (tournaments.tournament, "run", limits.tournament),
            (engine, "outcomes", limits.here),
        ):
            stack.enter_context(patch.object(module, name, wrap(getattr(module, name))))
        stack.enter_context(patch.object(train, "Workers", limits.environments))
        stack.enter_context(patch.object(train, "WorkerCollector", limits.collector))
        yield limits
