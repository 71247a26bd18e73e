"""How fast IPPO is, beside JaxMARL's and CleanRL's; `python -m tests.benchmarks.policy_gradient` (peers.md).

As in tests/benchmarks/speed.py all times are CPU time of one thread, what is compared alternates, medians are shown,
and each benchmark runs in a process of its own; --only NAME runs one.

    jaxmarl      training at simple_spread in 16 and in 64 environments, against JaxMARL's IPPO-FF at its own one;
                 --jaxmarl is a checkout of its repository, --jaxmarl-python a Python that has what its script imports
    recurrent    the same with GRUs, against its IPPO-RNN
    learning     the returns of JaxMARL's IPPO-FF after 50,000 to 200,000 steps, five seeds
    cleanrl      training at simple_spread against CleanRL's PPO on SuperSuit's vectoriser (tests/benchmarks/cleanrl.py)
    where        where the time goes: microseconds a step of each part
    floor        the same, apart, beside the time of the matrix products alone at the processor's measured rate
    whole        200,000 steps of spread as whole processes, imports and compilation counted, beside JaxMARL's
    precision    a gradient step in float32, in bfloat16, and compiled by torch.compile
    commands     whole commands that need no torch, imports included
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from games.keys import fold
from marl.algorithms.policy_gradient import ppo
from marl.learning.networks import Perceptron, generator_of
from marl.rollout.loop import Carry, play_steps
from marl.training.config import TrainConfig
from marl.training.train import prepare
from tests.benchmarks import timing
from tests.benchmarks.cooperative import Partner, cpu_seconds, one_core
from tests.benchmarks.timing import Row, clock

LENGTH = 128  # steps of each environment in an update
STEPS = 81_920  # of the other side, each time that it is asked
FEW = 8_192  # the same, where it is slow
TARGETS = {16: "≥ 0.5", 64: "≥ 0.8"}  # by the number of environments
FEED_FORWARD = {"hidden": [64, 64], "learning_rate": 2.5e-4, "minibatches": 4}
RECURRENT = {
    "hidden": [128],
    "hidden_size": 128,
    "recurrent": True,
    "learning_rate": 5e-4,
    "minibatches": 2,
    "clip": 0.3,
}


class Trainer:
    """A training run as JaxMARL's ippo_ff_mpe.yaml or ippo_rnn_mpe.yaml sets it, without evaluation, logs, checkpoints.

    JaxMARL's value loss is clipped and its network does not see the player's index; ours are as they are. An episode of
    25 steps takes 26 of ours, since the step that resets is one of its own; it is not counted.
    """

    def __init__(self, num_envs: int, settings: Mapping[str, Any] = FEED_FORWARD) -> None:
        size = num_envs * LENGTH * 3 // settings["minibatches"]
        settings = {"name": "ippo", "epochs": 4, "minibatch_size": size} | settings
        del settings["minibatches"]
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


def rate_of(side: Any, least: int) -> float:
    """Train for at least so many steps; return steps per CPU-second."""
    start, steps = time.process_time(), 0
    while steps < least:
        steps += side.update()
    return steps / (time.process_time() - start)


def compared(what: str, whose: str, rates: list[tuple[float, float]], target: str) -> Iterator[Row]:
    """Yield the medians of (our rate, the other's) and their ratio."""
    rate, other = (statistics.median(column) for column in zip(*rates, strict=True))
    yield f"{what}: training steps per CPU-second", f"{rate:,.0f}", ""
    yield f"{what}: {whose}", f"{other:,.0f}", ""
    yield f"{what}: ratio", f"{rate / other:.2f}", target


def on_one_core() -> None:
    one_core()
    one = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ |= {"OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": one}


def beside_jaxmarl(
    options: argparse.Namespace, script: str, settings: Mapping[str, Any], targets: Any
) -> Iterator[Row]:
    """Steady state: compilation and imports are not counted on either side."""
    if options.jaxmarl is None:
        yield f"JaxMARL's {script}", "skipped: name a checkout of its repository with --jaxmarl", ""
        return
    on_one_core()
    for num_envs, target in targets.items():
        driver = [options.jaxmarl_python, "-c", JAXMARL_DRIVER, options.jaxmarl, script, str(num_envs), str(STEPS)]
        ours = Trainer(num_envs, settings)
        ours.update()
        with Partner(driver) as theirs:
            rates = [(rate_of(ours, STEPS), theirs.rate()) for _ in range(options.repetitions)]
        yield from compared(f"IPPO at simple_spread, {num_envs} environments", f"JaxMARL's {script}", rates, target)


def jaxmarl(options: argparse.Namespace) -> Iterator[Row]:
    yield from beside_jaxmarl(options, "ippo_ff_mpe", FEED_FORWARD, TARGETS)


def recurrent(options: argparse.Namespace) -> Iterator[Row]:
    yield from beside_jaxmarl(options, "ippo_rnn_mpe", RECURRENT, dict.fromkeys(TARGETS, ""))


def cleanrl(options: argparse.Namespace) -> Iterator[Row]:
    from tests.benchmarks.cleanrl import Ppo

    on_one_core()
    for num_envs, target in {16: "", 64: "≥ 10"}.items():
        ours, theirs = Trainer(num_envs), Ppo(num_envs)
        rates = [(rate_of(ours, STEPS), rate_of(theirs, FEW)) for _ in range(options.repetitions + 1)][1:]
        yield from compared(
            f"IPPO at simple_spread, {num_envs} environments", "CleanRL's PPO, SuperSuit", rates, target
        )


def learning(options: argparse.Namespace) -> Iterator[Row]:
    """The mean return, summed over the players, of the episodes of a rollout; ours is `marl sweep ippo_spread`."""
    if options.jaxmarl is None:
        yield "JaxMARL's ippo_ff_mpe", "skipped: name a checkout of its repository with --jaxmarl", ""
        return
    on_one_core()
    for num_envs, changes in ((16, {}), (64, {}), (64, {"LR": 2e-3, "NUM_STEPS": 25})):
        driver = [options.jaxmarl_python, "-c", LEARNING_DRIVER, options.jaxmarl, str(num_envs), json.dumps(changes)]
        returns = json.loads(subprocess.run(driver, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        shown = ", ".join(f"{mean:.1f}" for mean in np.mean(returns, 0))
        ends = " ".join(f"{seed[-1]:.1f}" for seed in returns)
        what = f"JaxMARL's ippo_ff_mpe, {num_envs} environments{''.join(f', {k} {v:g}' for k, v in changes.items())}"
        yield f"{what}: return after 50,000 to 200,000 steps", f"{shown} (at the end: {ends})", ""


JAXMARL_DRIVER = """
import os, sys, time, types
from pathlib import Path

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
wandb = sys.modules["wandb"] = types.ModuleType("wandb")
wandb.log = lambda metrics: None
checkout, script, num_envs, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
scripts = checkout / "baselines" / "IPPO"
sys.path[:0] = [str(checkout), str(scripts)]

import importlib, jax, yaml

config = yaml.safe_load((scripts / "config" / f"{script}.yaml").read_text())
config |= {"NUM_ENVS": num_envs, "TOTAL_TIMESTEPS": steps, "LR": float(config["LR"])}  # YAML 1.1 reads 5e-4 as text
key = jax.random.PRNGKey(0)
train = jax.jit(importlib.import_module(script).make_train(config)).lower(key).compile()
jax.block_until_ready(train(key))
for line in sys.stdin:
    start = time.process_time()
    jax.block_until_ready(train(key))
    print("SPENT", steps, time.process_time() - start, flush=True)
"""


WHOLE = """
import sys
from tests.benchmarks.policy_gradient import Trainer

trainer, steps = Trainer(int(sys.argv[1])), 0
while steps < int(sys.argv[2]):
    steps += trainer.update()
"""


JAXMARL_WHOLE = JAXMARL_DRIVER[: JAXMARL_DRIVER.index("for line in")]  # it is compiled, and trains once


LEARNING_DRIVER = """
import json, sys, types
from pathlib import Path

wandb = sys.modules["wandb"] = types.ModuleType("wandb")
wandb.log = lambda metrics: None
checkout, num_envs, changes = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
scripts = checkout / "baselines" / "IPPO"
sys.path[:0] = [str(checkout), str(scripts)]

import jax, yaml
from ippo_ff_mpe import make_train

config = yaml.safe_load((scripts / "config" / "ippo_ff_mpe.yaml").read_text())
config |= {"NUM_ENVS": num_envs, "TOTAL_TIMESTEPS": 200_000} | changes
train = jax.jit(make_train(config))
found = []
for seed in range(5):
    returns = train(jax.random.PRNGKey(seed))["metrics"]["returned_episode_returns"]
    found.append([float(returns[len(returns) * part // 4 - 1]) for part in (1, 2, 3, 4)])
print(json.dumps(found))
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


def floor(options: argparse.Namespace) -> Iterator[Row]:
    """No part holds another; `rest` is what the loop, recording, advantages, losses and minibatches take.

    The floor counts the multiplications and additions of all products, two operations each: forward, and for the
    gradient those of the weights and of the inputs of all layers but the first.
    """
    torch.set_num_threads(1)
    for num_envs in TARGETS:
        trainer, spent, steps = Trainer(num_envs), {}, 0
        trainer.update()
        learner, epochs = trainer.learner, 4
        [model], [optimizer] = learner.models, learner._optimizers
        clock(spent, "game", trainer.run.venv, "step")
        clock(spent, "acting", trainer.actors[0], "act")
        clock(spent, "values", learner, "_critics")
        clock(spent, "forward", model, "forward")
        clock(spent, "backward", optimizer, "gradient")
        clock(spent, "optimiser", optimizer, "step")
        start = time.process_time()
        for _ in range(options.repetitions):
            steps += trainer.update()
        spent["rest"] = time.process_time() - start - sum(spent.values())
        micro = {part: 1e6 * seconds / steps for part, seconds in spent.items()}
        yield (
            f"IPPO at spread, {num_envs} environments: microseconds a step",
            ", ".join(f"{part} {value:.1f}" for part, value in micro.items()) + f", all {sum(micro.values()):.1f}",
            "",
        )
        rows = num_envs * LENGTH * 3 // FEED_FORWARD["minibatches"]
        rate = product_rate(rows)
        actor, critic = (operations(network.body) for network in (model.actor, model.critic))
        forward = 3 * (actor[0] + critic[0])  # of acting and of the values, three decisions a step
        learned = 3 * epochs * (sum(actor) + sum(critic))
        yield f"— the products alone, at {rate / 1e9:.0f} GFLOPS", f"{1e6 * (forward + learned) / rate:.1f}", ""
        yield f"— of them an update's, {epochs} epochs", f"{1e6 * learned / rate:.1f}", ""


def operations(body: torch.nn.Module) -> tuple[int, int]:
    """Return the floating-point operations of a row's products: forward, and of the gradient."""
    sizes = [2 * layer.in_features * layer.out_features for layer in body if isinstance(layer, torch.nn.Linear)]
    return sum(sizes), 2 * sum(sizes) - sizes[0]


def product_rate(rows: int, size: int = 64) -> float:
    """Return the floating-point operations per CPU-second of [rows, size] x [size, size], the best of ten."""
    x, weight = torch.randn(rows, size), torch.randn(size, size)

    def work() -> int:
        for _ in range(200):
            x @ weight
        return 200 * 2 * rows * size * size

    return max(timing.per_second(work) for _ in range(10))


def whole(options: argparse.Namespace) -> Iterator[Row]:
    if options.jaxmarl is None:
        yield "JaxMARL's ippo_ff_mpe", "skipped: name a checkout of its repository with --jaxmarl", ""
        return
    on_one_core()
    for num_envs in TARGETS:
        ours = [sys.executable, "-c", WHOLE, str(num_envs), "200000"]
        theirs = [options.jaxmarl_python, "-c", JAXMARL_WHOLE, options.jaxmarl, "ippo_ff_mpe", str(num_envs), "200000"]
        spent = [(cpu_seconds(ours), cpu_seconds(theirs)) for _ in range(options.repetitions)]
        mine, other = (statistics.median(column) for column in zip(*spent, strict=True))
        what = f"200,000 steps of spread, {num_envs} environments, imports and compilation counted"
        yield f"{what}: CPU-seconds here / JaxMARL", f"{mine:.1f} / {other:.1f}", ""
        yield f"{what}: times as fast as JaxMARL", f"{other / mine:.2f}", "2"


def precision(options: argparse.Namespace) -> Iterator[Row]:
    """Forward and gradient of tanh units with 5 outputs for 2,048 rows of 32 numbers; compiling is not counted."""
    torch.set_num_threads(1)
    for width in (64, 128):
        body = Perceptron([32, width, width, 5], 1.0, generator_of(1))
        plain = torch.nn.Sequential(*(torch.nn.Tanh() if isinstance(x, torch.nn.Tanh) else x for x in body))
        ways = {
            "float32, the hand-written gradient": gradients(body, body),
            "float32, automatic": gradients(body, plain),
            "bfloat16, automatic": gradients(body, plain, low=True),
            "float32, compiled": gradients(body, torch.compile(plain)),
        }
        rates = timing.medians(*ways.values(), repetitions=options.repetitions)
        shown = ", ".join(f"{way} {rate / rates[0]:.2f}" for way, rate in zip(ways, rates, strict=True))
        yield f"layers of {width}: speed, as shares of the first", shown, ""


def gradients(body: torch.nn.Module, call: Callable[[Tensor], Tensor], low: bool = False) -> timing.Work:
    """Return work that computes ten gradients of the parameters of `body`, which is called as `call`."""
    x, parameters = torch.randn(2048, 32), list(body.parameters())

    def work() -> int:
        for _ in range(10):
            with torch.autocast("cpu", torch.bfloat16, enabled=low):
                loss = call(x).float().square().mean()
            torch.autograd.grad(loss, parameters)
        return 10

    return work


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


BENCHMARKS = {
    "jaxmarl": jaxmarl,
    "recurrent": recurrent,
    "learning": learning,
    "cleanrl": cleanrl,
    "where": where,
    "floor": floor,
    "whole": whole,
    "precision": precision,
    "commands": commands,
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure how fast IPPO is.")
    parser.add_argument("--jaxmarl", metavar="CHECKOUT", help="JaxMARL's repository")
    parser.add_argument("--jaxmarl-python", metavar="PYTHON", default=sys.executable, help="what runs its script")
    timing.run("tests.benchmarks.policy_gradient", BENCHMARKS, parser)
