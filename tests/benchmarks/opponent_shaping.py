"""How fast learners of two-player games are; `python -m tests.benchmarks.opponent_shaping`.

CPU time of one thread, medians; each benchmark runs in a process of its own, --only NAME runs one.

    coin    LOQA at the Coin Game 3x3, 512 environments, the paper's networks, against the floor of its matrix products
    cost    the same by the board's size, the batch and the length of the episodes
    ipd     LOQA at the iterated prisoner's dilemma, 512 environments: 3,000 updates

The floor is the products' FLOPs by the rate at which this core multiplies matrices of the actor's size.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from games.keys import fold
from marl.algorithms.opponent_shaping.networks import OpponentShapingConfig
from marl.base.origin import typed
from marl.base.schema import load
from marl.rollout.agent import Member
from marl.rollout.loop import Carry, rollout
from marl.training.config import TrainConfig
from marl.training.train import prepare
from tests.benchmarks import timing
from tests.benchmarks.timing import Row, clock

CONFIGS = Path(__file__).parents[2] / "configs" / "train"


class Trainer:
    """A training run without evaluation, logs and checkpoints."""

    def __init__(self, config: str, **changes: object) -> None:
        sets = ["evaluation.panel=[self]", *(f"{key}={value}" for key, value in changes.items())]
        self.run = prepare(load(TrainConfig, CONFIGS / config, typed(sets)), Path("run"))  # which is not made
        self.learner, self.num_envs = self.run.learner, self.run.config.num_envs
        self.actors = list(self.learner.actors())
        self.seating = self.learner.seating(self.num_envs)
        streams = fold(1, np.arange(len(self.actors)))
        self.carry = Carry(self.run.venv, self.actors, streams, fold(2, np.arange(self.num_envs)))
        self.play()  # the first one warms

    def play(self) -> int:
        """Collect and learn once; return the environment steps."""
        length = self.learner.rollout_length
        trajectory = rollout(self.run.venv, self.actors, self.seating, self.carry, length)
        self.learner.update(trajectory, range(len(self.actors)))
        return trajectory.steps

    def rate(self, repetitions: int) -> float:
        """Return environment steps per CPU-second."""
        rates = []
        for _ in range(repetitions):
            start = time.process_time()
            rates.append(self.play() / (time.process_time() - start))
        return statistics.median(rates)

    def shares(self, repetitions: int) -> str:
        """Return where the CPU time goes; to be called last, for it wraps what is timed."""
        spent = dict.fromkeys(("environment", "update"), 0.0)
        clock(spent, "environment", self.run.venv, "step")
        clock(spent, "update", self.learner, "update")
        deciding = [actor.ensemble if isinstance(actor, Member) else actor for actor in self.actors]
        for k, agent in enumerate(dict.fromkeys(deciding)):  # members of one ensemble decide together
            clock(spent, f"acting {k}", agent, "act")
        start = time.process_time()
        for _ in range(repetitions):
            self.play()
        total = time.process_time() - start
        acting = sum(seconds for part, seconds in spent.items() if part.startswith("acting"))
        parts = {"environment": spent["environment"], "acting": acting, "update": spent["update"]}
        parts["recording"] = total - sum(parts.values())
        return ", ".join(f"{part} {seconds / total:.0%}" for part, seconds in parts.items())


def flops(inputs: int, config: OpponentShapingConfig, actions: int, past: bool) -> float:
    """Return the FLOPs of the matrix products that one environment step costs: two views, played and learnt from."""

    def head(view: int, hidden: tuple[int, ...], memory: int) -> int:
        sizes = [view, *hidden]
        layers = sum(a * b for a, b in itertools.pairwise(sizes))
        return 2 * (layers + 3 * memory * (sizes[-1] + memory) + memory * actions)

    actor = head(inputs, config.actor_hidden, config.actor_memory)
    critic = head(inputs + 1, config.critic_hidden, config.critic_memory)
    learnt = 3 * (actor + critic) + critic  # forward and twice that back; the target critic
    return 2 * actor + (learnt + actor + critic if past else 2 * learnt)


def product_rate() -> float:
    """Return the FLOPs per CPU-second of the actor's largest product."""
    a, b = torch.randn(1024, 128), torch.randn(128, 384)
    rates = []
    for _ in range(9):
        start = time.process_time()
        for _ in range(50):
            a @ b
        rates.append(50 * 2 * 1024 * 128 * 384 / (time.process_time() - start))
    return statistics.median(rates)


def coin(options: argparse.Namespace) -> Iterator[Row]:
    for says, past in (("against itself", 0), ("against past selves", 100)):
        trainer = Trainer("loqa_coin_game.yaml", **{"algorithm.past_selves": past})
        rate = trainer.rate(options.repetitions)
        spec, config = trainer.run.venv.spec, trainer.learner.config
        needed = flops(int(np.prod(spec.observation.shape)), config, spec.num_actions, past > 0)
        floor = product_rate() / needed
        yield f"LOQA at the Coin Game 3x3, {says}, steps per CPU-second", f"{rate:,.0f}", "≥ 10,000"
        yield f"— as its products alone would allow ({needed / 1e6:.1f} MFLOP a step)", f"{floor:,.0f}", ""
        yield "— of it", trainer.shares(options.repetitions), ""


def cost(options: argparse.Namespace) -> Iterator[Row]:
    cases: list[tuple[str, dict[str, object]]] = [
        *((f"board of {n}x{n}", {"game": f"coin_game(height={n}, width={n})"}) for n in (3, 4, 5, 6, 7)),
        *((f"batch of {num_envs}", {"num_envs": num_envs}) for num_envs in (128, 512, 2048)),
        *((f"episodes of {horizon} steps", {"game": f"coin_game(horizon={horizon})"}) for horizon in (25, 50, 100)),
    ]
    for says, changes in cases:
        trainer = Trainer("loqa_coin_game.yaml", **changes)
        yield f"{says}, steps per CPU-second", f"{trainer.rate(options.repetitions):,.0f}", ""
        yield "— of it", trainer.shares(options.repetitions), ""


def ipd(options: argparse.Namespace) -> Iterator[Row]:
    trainer = Trainer("loqa_ipd.yaml")
    steps, rate = trainer.play(), trainer.rate(10 * options.repetitions)
    yield "LOQA at the iterated prisoner's dilemma, steps per CPU-second", f"{rate:,.0f}", ""
    yield "— 3,000 updates, CPU-seconds", f"{3000 * steps / rate:.0f}", "≤ 90"


BENCHMARKS = {"coin": coin, "cost": cost, "ipd": ipd}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure how fast learners of two-player games are.")
    timing.run("tests.benchmarks.opponent_shaping", BENCHMARKS, parser)
