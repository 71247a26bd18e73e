"""How fast IPPO is, beside JaxMARL's; `python -m tests.benchmarks.policy_gradient` (tests/benchmarks/peers.md).

As in tests/benchmarks/speed.py all times are CPU time of one thread, what is compared alternates, medians are shown,
and each benchmark runs in a process of its own; --only NAME runs one.

    jaxmarl      training at simple_spread in 16 and in 64 environments, against JaxMARL's IPPO-FF at its own one;
                 --jaxmarl is a checkout of its repository, --jaxmarl-python a Python that has what its script imports
    where        where the time goes: microseconds a step of each part
    commands     whole commands that need no torch, imports included
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from games.keys import fold
from marl.algorithms.policy_gradient import ppo
from marl.rollout.loop import Carry, play_steps
from marl.training.config import TrainConfig
from marl.training.train import prepare
from tests.benchmarks import timing
from tests.benchmarks.cooperative import Partner, cpu_seconds, one_core
from tests.benchmarks.timing import Row, clock

LENGTH, MINIBATCHES = 128, 4  # steps of each environment in an update, and minibatches of its data
STEPS = 81_920  # of the other side, each time that it is asked
TARGETS = {16: "≥ 0.5", 64: "≥ 0.8"}  # by the number of environments


class Trainer:
    """A training run as JaxMARL's ippo_ff_mpe.yaml sets it, without evaluation, logs and checkpoints.

    JaxMARL's value loss is clipped and its network does not see the player's index; ours are as they are. An episode of
    25 steps takes 26 of ours, since the step that resets is one of its own; it is not counted.
    """

    def __init__(self, num_envs: int) -> None:
        settings = {
            "name": "ippo",
            "hidden": [64, 64],
            "learning_rate": 2.5e-4,
            "epochs": 4,
            "minibatch_size": num_envs * LENGTH * 3 // MINIBATCHES,
        }
        config = TrainConfig(
            game="spread", algorithm=settings, num_envs=num_envs, rollout_length=LENGTH, steps=10_000_000
        )
        self.run = prepare(config, Path("run"), device="cpu")  # which is not made
        self.learner = self.run.learner
        self.actors = list(self.learner.actors())
        self.seating = self.learner.seating(num_envs)
        self.carry = Carry(self.run.venv, self.actors, fold(1, np.arange(1)), fold(2, np.arange(num_envs)))

    def update(self) -> int:
        """Collect and learn once; return the environment steps."""
        moments = play_steps(self.run.venv, self.actors, self.seating, self.carry, LENGTH)
        trajectory = self.carry.recording.add(moments)
        self.learner.update(trajectory, {0})
        return trajectory.steps

    def rate(self) -> float:
        """Train for about as many steps as the other side; return steps per CPU-second."""
        start, steps = time.process_time(), 0
        while steps < STEPS:
            steps += self.update()
        return steps / (time.process_time() - start)


def jaxmarl(options: argparse.Namespace) -> Iterator[Row]:
    """Steady state: compilation and imports are not counted on either side."""
    if options.jaxmarl is None:
        yield "JaxMARL's IPPO-FF", "skipped: name a checkout of its repository with --jaxmarl", "≥ 0.5, ≥ 0.8"
        return
    one_core()
    one = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ |= {"OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": one}
    for num_envs, target in TARGETS.items():
        driver = [options.jaxmarl_python, "-c", JAXMARL_DRIVER, options.jaxmarl, str(num_envs), str(STEPS)]
        ours = Trainer(num_envs)
        ours.update()
        with Partner(driver) as theirs:
            rates = [(ours.rate(), theirs.rate()) for _ in range(options.repetitions)]
        rate, other = (statistics.median(column) for column in zip(*rates, strict=True))
        what = f"IPPO at simple_spread, {num_envs} environments"
        yield f"{what}: training steps per CPU-second", f"{rate:,.0f}", ""
        yield f"{what}: JaxMARL's IPPO-FF", f"{other:,.0f}", ""
        yield f"{what}: ratio", f"{rate / other:.2f}", target


JAXMARL_DRIVER = """
import os, sys, time, types
from pathlib import Path

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
wandb = sys.modules["wandb"] = types.ModuleType("wandb")
wandb.log = lambda metrics: None
checkout, num_envs, steps = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
scripts = checkout / "baselines" / "IPPO"
sys.path[:0] = [str(checkout), str(scripts)]

import jax, yaml
from ippo_ff_mpe import make_train

config = yaml.safe_load((scripts / "config" / "ippo_ff_mpe.yaml").read_text())
config |= {"NUM_ENVS": num_envs, "TOTAL_TIMESTEPS": steps}
key = jax.random.PRNGKey(0)
train = jax.jit(make_train(config)).lower(key).compile()
jax.block_until_ready(train(key))
for line in sys.stdin:
    start = time.process_time()
    jax.block_until_ready(train(key))
    print("SPENT", steps, time.process_time() - start, flush=True)
"""


def where(options: argparse.Namespace) -> Iterator[Row]:
    """Each part holds the parts that it calls: the environment, acting and keys are parts of playing."""
    for num_envs in TARGETS:
        trainer, spent, steps = Trainer(num_envs), {}, 0
        trainer.update()
        clock(spent, "environment", trainer.run.venv, "step")
        clock(spent, "acting", trainer.actors[0], "act")
        clock(spent, "keys", trainer.carry, "keys")
        clock(spent, "update", trainer.learner, "update")
        clock(spent, "advantages", ppo, "gae")
        start = time.process_time()
        for _ in range(options.repetitions):
            steps += trainer.update()
        spent["all"] = time.process_time() - start
        parts = ", ".join(f"{part} {1e6 * seconds / steps:.1f}" for part, seconds in spent.items())
        yield f"IPPO at spread, {num_envs} environments: microseconds a step", parts, ""


def commands(options: argparse.Namespace) -> Iterator[Row]:
    tournament = "game: openspiel:tic_tac_toe\nagents: [random, 'mcts(simulations=2)']\nseeds: 20\n"
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "tournament.yaml"
        config.write_text(tournament, encoding="utf-8")
        played = {
            "marl evaluate random --game openspiel:tic_tac_toe --against random": "≤ 1",
            f"marl tournament run {config} --run-dir {folder}/N": "",
        }
        for command, target in played.items():
            argv = [sys.executable, "-m", *command.split()]
            spent = [
                cpu_seconds([word.replace(f"{folder}/N", f"{folder}/{n}") for word in argv])
                for n in range(options.repetitions)
            ]
            named = command.replace(f"{folder}/", "")
            yield f"`{named}`: CPU-seconds", f"{statistics.median(spent):.2f}", target


BENCHMARKS = {"jaxmarl": jaxmarl, "where": where, "commands": commands}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure how fast IPPO is.")
    parser.add_argument("--jaxmarl", metavar="CHECKOUT", help="JaxMARL's repository")
    parser.add_argument("--jaxmarl-python", metavar="PYTHON", default=sys.executable, help="what runs its script")
    timing.run("tests.benchmarks.policy_gradient", BENCHMARKS, parser)
