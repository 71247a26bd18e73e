"""How much of a population's work can be done side by side: the CPU time of its units, and their longest chain.

    python -m tests.benchmarks.side_by_side
    python -m tests.benchmarks.side_by_side --config league_kuhn --set steps=100_000

A population is run in one process, and the CPU time of every task (training, scores, pieces of games) is taken. Tasks
that are given to the engine together can run side by side; the next ones wait for all of them. Imports come before.

    units    the CPU-seconds of all tasks
    driver   those of the rest: the store, payoff tables, decisions, files
    chain    the sum of the longest task of each such group: nothing is faster, on however many cores
    two      the time of all tasks with two workers, which take the next task when they are free
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from marl.base import engine
from marl.base.origin import typed
from marl.base.tasks import Ended, attempt
from tests.benchmarks import timing
from tests.benchmarks.scaling import Work, in_rounds
from tests.benchmarks.timing import Row
from tournaments.populations.config import load_population
from tournaments.populations.loop import run

CONFIGS = {
    "league_kuhn": ["steps=100_000"],
    "pbt_ippo_spread": ["set.steps=50_000", "seeds=64"],
}
TARGET = 1.8


def measured(config: str, changes: Sequence[str]) -> tuple[list[list[float]], float]:
    """Return the CPU-seconds of each task, in groups that run side by side, and those of all else."""
    groups: list[list[float]] = []

    def recorded(
        function: Callable[..., Any],
        tasks: Iterable[tuple[Any, ...]],
        workers: int,
        engine: engine.Engine = "processes",
        names: Sequence[str] = (),
    ) -> Iterator[tuple[int, Ended[Any]]]:
        groups.append([])
        for place, task in enumerate(tasks):
            began = time.process_time()
            ended = attempt(function, task)
            groups[-1].append(time.process_time() - began)
            yield place, ended

    outcomes, engine.outcomes = engine.outcomes, recorded  # type: ignore[assignment]
    try:
        with tempfile.TemporaryDirectory() as folder:
            settings: Any = load_population(Path(config), typed(["writers=[]", *changes]))
            began = time.process_time()
            run(settings, Path(folder) / "run", resume=False)
            whole = time.process_time() - began
    finally:
        engine.outcomes = outcomes
    return groups, whole - sum(map(sum, groups))


def side_by_side(options: argparse.Namespace) -> Iterator[Row]:
    chosen = {options.config: options.set} if options.config else CONFIGS
    measured("psro_kuhn", ["iterations=1", "response=1_000"])  # imports
    for config, changes in chosen.items():
        groups, driver = measured(config, changes)
        units, chain = sum(map(sum, groups)), sum(map(max, filter(None, groups)))
        two = in_rounds([[Work(seconds, 0.0) for seconds in group] for group in groups], 2, 0.0)
        what = " ".join([config, *changes])
        yield f"{what}: CPU-seconds of units, and of the driver", f"{units:.1f}, {driver:.1f}", ""
        yield f"{what}: units / longest chain", f"{units / chain:.2f}", f"{TARGET} at least"
        yield f"{what}: units / time with two workers", f"{units / two:.2f}", "2 at most"
        yield f"{what}: the same with the driver's part", f"{(units + driver) / (two + driver):.2f}", "2 at most"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", help="a config of a population; else those that are measured by themselves")
    parser.add_argument("--set", action="append", default=[], help="a change of the config, as of marl population")
    timing.run("tests.benchmarks.side_by_side", {"side_by_side": side_by_side}, parser)
