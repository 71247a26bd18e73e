"""How fast learners of a team are, beside other libraries; `python -m tests.benchmarks.cooperative` (peers.md).

As in tests/benchmarks/speed.py all times are CPU time of one thread, what is compared alternates, medians are shown,
and each benchmark runs in a process of its own; --only NAME runs one.

    benchmarl    our `qmix` against BenchMARL's at simple_spread; --benchmarl is a Python that has benchmarl and mpe2
    epymarl      our `qmix` against EPyMARL's at level-based foraging; --epymarl is a checkout of its repository,
                 --epymarl-python a Python that has what it imports
    lbforaging   our `qmix` as EPyMARL sets it, at level-based foraging
    jaxmarl      200,000 steps of `qmix` against JaxMARL's QMIX-RNN at its own simple_spread, compilation included;
                 --jaxmarl is a checkout of its repository, --jaxmarl-python a Python that has what its script imports
    where        where a learner's time goes
    memory       what 5,000 episodes take in replay
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from games.keys import fold
from games.registry import make
from marl.algorithms.value_factorization.batch import EpisodeBatch
from marl.learning.replay import EpisodeReplay
from marl.rollout.agent import Random
from marl.rollout.loop import Carry, rollout
from marl.training.config import TrainConfig
from marl.training.train import Run, prepare
from tests.benchmarks import timing
from tests.benchmarks.timing import Row, clock, medians

NUM_ENVS, LENGTH = 64, 25  # environments, and steps of each between two rounds of updates
MPE2_SPREAD, SPREAD = "pettingzoo:mpe2.simple_spread_v3 | team_reward", "spread | team_reward"
LBFORAGING = "gymnasium:lbforaging.Foraging-8x8-2p-3f-v3 | team_reward(how=sum)"
FORAGING = "foraging | team_reward(how=sum)"

# BenchMARL's defaults: two layers of 256 without memory, a mixer of 32, 1,000 updates in 6,000 steps, targets by a
# moving average. It samples transitions, 128 by default; both sides take 125 here, of ours five whole episodes. The
# mixer's weights are one layer of the state there, and two here.
BENCHMARL = {
    "name": "qmix",
    "recurrent": False,
    "last_action": False,
    "hidden": 256,
    "hypernet_hidden": 32,
    "batch_episodes": 5,
    "replay_episodes": 40_000,
    "steps_per_update": 6,
    "target_update": 0.005,
}
EPYMARL = {
    "name": "qmix",
    "recurrent": False,
    "last_action": False,
    "standardise_rewards": True,
    "steps_per_update": 50,  # one update an episode
}
# JaxMARL's ql_rnn_mpe.yaml: an update in 8 environments x 26 steps.
JAXMARL = {
    "name": "qmix",
    "last_action": False,
    "hypernet_hidden": 128,
    "gamma": 0.9,
    "learning_rate": 5e-3,
    "max_grad_norm": 25,
    "steps_per_update": 208,
    "epsilon_steps": 20_000,
}
JAXMARL_STEPS = 200_000


class Trainer:
    """A training run without evaluation, logs and checkpoints."""

    def __init__(self, game: str, algorithm: dict[str, Any]) -> None:
        config = TrainConfig(game=game, algorithm=algorithm, num_envs=NUM_ENVS, rollout_length=LENGTH)
        self.run: Run = prepare(config, Path("run"), device="cpu")  # which is not made
        venv, self.learner = self.run.venv, self.run.learner
        self.actors = list(self.learner.actors())
        self.seating = self.learner.seating(NUM_ENVS)
        self.carry = Carry(venv, self.actors, fold(1, np.arange(1)), fold(2, np.arange(NUM_ENVS)))

    def play(self) -> int:
        """Collect and learn once; return the environment steps."""
        trajectory = rollout(self.run.venv, self.actors, self.seating, self.carry, LENGTH)
        self.learner.update(trajectory, {0})
        return trajectory.steps

    def warm(self) -> "Trainer":
        """Play until there are updates: before, a step costs less than it will."""
        while self.learner.updates == 0:
            self.play()
        return self

    def rate(self) -> float:
        """Play once; return steps per CPU-second."""
        start = time.process_time()
        return self.play() / (time.process_time() - start)


def benchmarl(options: argparse.Namespace) -> Iterator[Row]:
    """Environment, acting, replay and updates on both sides; 1,500 or 1,600 steps of each by turns.

    BenchMARL collects 6,000 steps at a time by default, in 10 environments; a quarter of it, and of the updates, here.
    """
    if options.benchmarl is None:
        yield "BenchMARL's QMIX", "skipped: name a Python that has it with --benchmarl", "≥ 4"
        return
    with Partner([options.benchmarl, "-c", BENCHMARL_DRIVER]) as theirs:
        games = {"mpe2's simple_spread_v3": MPE2_SPREAD, "native spread": SPREAD}
        ours = {name: Trainer(game, BENCHMARL).warm().rate for name, game in games.items()}
        theirs.rate()
        rates = [[rate() for rate in (theirs.rate, *ours.values())] for _ in range(options.repetitions)]
    other, *rates = (statistics.median(column) for column in zip(*rates, strict=True))
    yield "BenchMARL's QMIX at mpe2's simple_spread_v3, training steps per CPU-second", f"{other:,.0f}", ""
    for name, rate, target in zip(ours, rates, ("≥ 4", ""), strict=True):
        yield f"our QMIX at {name}, training steps per CPU-second", f"{rate:,.0f}", ""
        yield f"our QMIX at {name}: ratio", f"{rate / other:.2f}", target


class Partner:
    """A process that works when it is asked to, one line each, and says how many steps it made in how many seconds."""

    def __init__(self, command: list[str]) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)

    def __enter__(self) -> "Partner":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def rate(self) -> float:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("SPENT "):
                steps, seconds = line.split()[1:]
                return float(steps) / float(seconds)
        raise SystemExit("the other library's process ended early: see tests/benchmarks/peers.md")


BENCHMARL_DRIVER = """
import sys, tempfile, time, types

import torch
from mpe2 import simple_spread_v3

# TorchRL looks for the environment where PettingZoo had it before 1.25.
modules = types.ModuleType("all_modules")
modules.all_environments = {"mpe/simple_spread_v3": simple_spread_v3}
sys.modules["pettingzoo.utils.all_modules"] = modules

from benchmarl.algorithms import QmixConfig
from benchmarl.environments import PettingZooTask
from benchmarl.experiment import Experiment, ExperimentConfig
from benchmarl.experiment.callback import Callback
from benchmarl.models.mlp import MlpConfig

torch.set_num_threads(1)
FRAMES = 1500


class Turns(Callback):
    def on_setup(self):
        sys.stdin.readline()
        self.start = time.process_time()

    def on_train_end(self, training, group):
        print("SPENT", FRAMES, time.process_time() - self.start, flush=True)
        self.on_setup()


task = PettingZooTask.SIMPLE_SPREAD.get_from_yaml()
task.config["max_cycles"] = 25
config = ExperimentConfig.get_from_yaml()
config.evaluation = config.create_json = config.prefer_continuous_actions = False
config.loggers = []
config.save_folder = tempfile.mkdtemp()
config.off_policy_collected_frames_per_batch = FRAMES
config.off_policy_n_optimizer_steps = FRAMES // 6
config.off_policy_train_batch_size = 125
Experiment(
    task=task,
    algorithm_config=QmixConfig.get_from_yaml(),
    model_config=MlpConfig.get_from_yaml(),
    critic_model_config=MlpConfig.get_from_yaml(),
    seed=0,
    config=config,
    callbacks=[Turns()],
).run()
"""


def epymarl(options: argparse.Namespace) -> Iterator[Row]:
    """Environment, acting, replay and an update an episode on both sides; about 1,600 steps of each by turns.

    EPyMARL plays lbforaging's game in both comparisons; the native one equals it step by step.
    """
    if options.epymarl is None:
        yield "EPyMARL's QMIX", "skipped: name a checkout of its repository with --epymarl", "≥ 6"
        return
    games = {"lbforaging's Foraging-8x8-2p-3f": LBFORAGING, "native foraging": FORAGING}
    for kind, recurrent in (("feed-forward", False), ("GRU", True)):
        ours = [Trainer(game, EPYMARL | {"recurrent": recurrent}).warm().rate for game in games.values()]
        with Partner([options.epymarl_python, "-c", EPYMARL_DRIVER, options.epymarl, kind]) as theirs:
            rates = [[rate() for rate in (theirs.rate, *ours)] for _ in range(options.repetitions)]
        other, *rates = (statistics.median(column) for column in zip(*rates, strict=True))
        yield (
            f"EPyMARL's QMIX at lbforaging's Foraging-8x8-2p-3f, {kind}: training steps per CPU-second",
            f"{other:,.0f}",
            "",
        )
        for game, rate, target in zip(games, rates, ("≥ 6", ""), strict=True):
            yield f"QMIX at {game}, {kind}: training steps per CPU-second", f"{rate:,.0f}", ""
            yield f"QMIX at {game}, {kind}: ratio", f"{rate / other:.2f}", "" if recurrent else target


EPYMARL_DRIVER = """
import sys, time, types
from pathlib import Path

import torch, yaml

torch.set_num_threads(1)
sys.modules["smaclite"] = types.ModuleType("smaclite")  # of another environment, imported with all of them
source, recurrent = Path(sys.argv[1]) / "src", sys.argv[2] == "GRU"
sys.path.insert(0, str(source))
sys.modules["smaclite.env"] = types.ModuleType("smaclite.env")
sys.modules["smaclite.env"].SMACliteEnv = None
import run
from utils.logging import Logger, get_logger

config = {}
for name in ("default", "envs/gymma", "algs/qmix"):
    config |= yaml.safe_load((source / "config" / f"{name}.yaml").read_text())
config["env_args"] |= {"key": "lbforaging:Foraging-8x8-2p-3f-v3", "time_limit": 50, "seed": 0}
never = 10**9
config |= {"use_rnn": recurrent, "device": "cpu", "use_cuda": False, "test_nepisode": 1, "t_max": never}
config |= {"test_interval": never, "log_interval": never, "learner_log_interval": never, "runner_log_interval": never}
STEPS = 1600


class Turns(run.r_REGISTRY["episode"]):
    before, start = 0, None

    def run(self, test_mode=False):
        if self.t_env - self.before >= STEPS:
            if self.start is not None:
                print("SPENT", self.t_env - self.before, time.process_time() - self.start, flush=True)
            sys.stdin.readline()
            self.before, self.start = self.t_env, time.process_time()
        return super().run(test_mode)


run.r_REGISTRY["episode"] = Turns
run.run_sequential(types.SimpleNamespace(**config), Logger(get_logger()))
"""


def lbforaging(options: argparse.Namespace) -> Iterator[Row]:
    """EPyMARL's defaults of QMIX: batches of 32 of 5,000 episodes, networks of 64, targets copied in 200 updates."""
    measured = {
        "feed-forward, lbforaging's environment": (LBFORAGING, EPYMARL, "≥ 2,800"),
        "GRU, lbforaging's environment": (LBFORAGING, EPYMARL | {"recurrent": True}, "≥ 1,300"),
        "feed-forward, native": (FORAGING, EPYMARL, ""),
        "GRU, native": (FORAGING, EPYMARL | {"recurrent": True}, ""),
    }
    runs = [Trainer(game, settings).warm() for game, settings, _ in measured.values()]
    rates = medians(*(trainer.play for trainer in runs), repetitions=options.repetitions)
    for (name, (_, _, target)), rate in zip(measured.items(), rates, strict=True):
        yield f"QMIX at Foraging-8x8-2p-3f, {name}: training steps per CPU-second", f"{rate:,.0f}", target


def jaxmarl(options: argparse.Namespace) -> Iterator[Row]:
    """Whole processes on one core, imports and compilation included, by turns.

    Neither side evaluates or logs. Their loop over seeds, `vmap`, is left out: for one seed it only computes both sides
    of every condition. They make their 208 steps in 8 environments; ours has 64, and learns from the 32nd episode on
    instead of the 10,000th step.
    """
    if options.jaxmarl is None:
        yield "JaxMARL's QMIX-RNN", "skipped: name a checkout of its repository with --jaxmarl", "≤ 0.8"
        return
    driver = [options.jaxmarl_python, "-c", JAXMARL_DRIVER, options.jaxmarl, str(JAXMARL_STEPS)]
    commands = [[sys.executable, "-c", "from tests.benchmarks.cooperative import train; train()"], driver]
    seconds = [[cpu_seconds(command) for command in commands] for _ in range(max(1, options.repetitions // 2))]
    ours, theirs = (statistics.median(column) for column in zip(*seconds, strict=True))
    yield f"QMIX with GRUs at simple_spread, {JAXMARL_STEPS:,} steps: CPU-seconds of our process", f"{ours:.1f}", ""
    yield "JaxMARL's QMIX-RNN, the same", f"{theirs:.1f}", ""
    yield "ratio", f"{ours / theirs:.2f}", "≤ 0.8"


def train() -> None:
    """Make our side's steps."""
    one_core()
    trainer, steps = Trainer(SPREAD, JAXMARL), 0
    while steps < JAXMARL_STEPS:
        steps += trainer.play()


def one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def cpu_seconds(command: list[str]) -> float:
    """Run a command; return the CPU time of it and its children."""
    one = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": one}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


JAXMARL_DRIVER = """
import os, sys, types
from pathlib import Path

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
sys.modules["wandb"] = types.ModuleType("wandb")  # imported by the script, and not used when nothing is logged
checkout, steps = Path(sys.argv[1]), int(sys.argv[2])
scripts = checkout / "baselines" / "QLearning"
sys.path[:0] = [str(checkout), str(scripts)]

import jax, yaml
from qmix_rnn import env_from_config, make_train

config = {}
for name in ("config.yaml", "alg/ql_rnn_mpe.yaml"):
    config |= yaml.safe_load((scripts / "config" / name).read_text())
config |= {"TOTAL_TIMESTEPS": steps, "TEST_DURING_TRAINING": False}
env, _ = env_from_config(config)
jax.block_until_ready(jax.jit(make_train(config, env))(jax.random.PRNGKey(0)))
"""


def where(options: argparse.Namespace) -> Iterator[Row]:
    """Percent of the CPU time; `recording` is what is left of the rollout: copying, seating, stacking."""
    for name, game, settings in (
        ("foraging, feed-forward", FORAGING, EPYMARL),
        ("foraging, GRU", FORAGING, EPYMARL | {"recurrent": True}),
        ("spread, GRU", SPREAD, JAXMARL),
    ):
        trainer = Trainer(game, settings).warm()
        spent = clocked(trainer)
        start, steps = time.process_time(), 0
        for _ in range(2 * options.repetitions):
            steps += trainer.play()
        total = time.process_time() - start
        spent["recording"] = total - spent["environment"] - spent["acting"] - spent.pop("update")
        spent["forward"] = spent.pop("learn") - spent["targets"] - spent["backward and step"]
        parts = ", ".join(f"{part} {seconds / total:.1%}" for part, seconds in spent.items())
        yield f"QMIX at {name}, {steps / total:,.0f} steps per CPU-second", parts, ""


def clocked(trainer: Trainer) -> dict[str, float]:
    """Return the CPU time by part, which grows as the trainer plays."""
    spent, learner = dict.fromkeys(PARTS, 0.0), trainer.learner
    clock(spent, "environment", trainer.run.venv, "step")
    clock(spent, "acting", trainer.actors[0], "act")
    clock(spent, "replay", learner.replay, "add")
    clock(spent, "batch", learner, "batch")
    clock(spent, "backward and step", learner.optimizers["all"], "descend")
    clock(spent, "targets", learner.target_team, "forward")
    clock(spent, "targets", learner.target_mix, "forward")
    clock(spent, "targets", EpisodeBatch, "targets")
    clock(spent, "learn", learner, "learn")
    clock(spent, "update", learner, "update")
    return spent


PARTS = ("environment", "acting", "recording", "replay", "batch", "forward", "targets", "backward and step")


def memory(options: argparse.Namespace) -> Iterator[Row]:
    """Growth of the resident set by random play in replay, against the bytes of the steps as the Spec has them.

    A step is the views, masks and global state, an action of one byte, a reward, and three flags of each player; an
    episode's last view, which pays nobody, is not counted.
    """
    episodes, venv = 5000, make(FORAGING, NUM_ENVS)
    spec, roster = venv.spec, [Random(venv.spec)]
    replay, seating = EpisodeReplay(spec, episodes), np.zeros((NUM_ENVS, spec.num_players), np.int64)
    carry = Carry(venv, roster, fold(1, np.arange(1)), fold(2, np.arange(NUM_ENVS)))
    for _ in range(2):
        rollout(venv, roster, seating, carry, LENGTH)  # what playing itself needs
    before = resident()
    if before is None:
        yield "memory of replay", "skipped: needs Linux's /proc", "≤ 1.2"
        return
    while len(replay) < episodes:
        replay.add(rollout(venv, roster, seating, carry, LENGTH), {0})
    grown = resident() - before
    view = int(np.prod(spec.observation.shape)) * np.dtype(spec.observation.dtype).itemsize
    step = spec.num_players * (view + spec.num_actions + 1 + 4 + 3) + 4 * spec.global_state_size
    needed = step * int(replay.state()["episodes"][:, 2].sum())  # first row, stride, length
    yield f"{episodes:,} episodes of foraging in replay, MiB", f"{grown / 2**20:.1f}", ""
    yield "their steps' bytes, MiB", f"{needed / 2**20:.1f}", ""
    yield "ratio", f"{grown / needed:.2f}", "≤ 1.2"


def resident() -> int | None:
    """Return the bytes that this process holds in memory now."""
    path = Path("/proc/self/statm")
    return int(path.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if path.exists() else None


BENCHMARKS = {
    "benchmarl": benchmarl,
    "epymarl": epymarl,
    "lbforaging": lbforaging,
    "jaxmarl": jaxmarl,
    "where": where,
    "memory": memory,
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure how fast learners of a team are.")
    parser.add_argument("--benchmarl", metavar="PYTHON", help="a Python that has benchmarl and mpe2")
    parser.add_argument("--epymarl", metavar="CHECKOUT", help="EPyMARL's repository")
    parser.add_argument("--epymarl-python", metavar="PYTHON", default=sys.executable, help="what runs its code")
    parser.add_argument("--jaxmarl", metavar="CHECKOUT", help="JaxMARL's repository")
    parser.add_argument("--jaxmarl-python", metavar="PYTHON", default=sys.executable, help="what runs its script")
    timing.run("tests.benchmarks.cooperative", BENCHMARKS, parser)
