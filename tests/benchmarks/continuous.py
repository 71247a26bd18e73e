"""How fast `mappo` learns continuous actions, beside BenchMARL; `python -m tests.benchmarks.continuous` (peers.md).

    navigation   VMAS's navigation: both sides' returns after equal frames, and their CPU time, the simulator's apart
    transport    the same at VMAS's transport

--benchmarl is a Python that has benchmarl and vmas. Both sides learn from the same number of frames (steps of one
environment) with the settings below. They take turns, an update each, in one process each with one thread; a turn's
return is the mean over players of what the episodes paid that ended in it, by sampled actions.

What is not the same: BenchMARL's critic puts out one value for all players, ours one for each; the deviations of its
Gaussians depend on the view; an episode of 100 steps takes 101 of ours, since the step that resets is one of its own.
"""

import argparse
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from games.keys import fold
from marl.rollout.loop import Carry, rollout
from marl.rollout.types import Trajectory
from marl.training.config import TrainConfig
from marl.training.train import prepare
from tests.benchmarks import timing
from tests.benchmarks.timing import Row

ENVS, LENGTH = 64, 100  # environments, and steps of each in an update
PLAYERS = {"navigation": 3, "transport": 4}  # BenchMARL's
HIDDEN, EPOCHS, MINIBATCH = (64, 64), 5, 640  # MINIBATCH in frames of the team
LEARNING_RATE, GAMMA, GAE_LAMBDA, CLIP, MAX_GRAD_NORM = 1e-3, 0.95, 0.95, 0.2, 5.0

# The CPU time within VMAS, on both sides.
SIMULATOR = """
import time
from vmas.simulator.environment import Environment

class Simulator:
    spent, inside = 0.0, False

def timed(method):
    def wrapped(*args, **kwargs):
        if Simulator.inside:
            return method(*args, **kwargs)
        Simulator.inside, start = True, time.process_time()
        try:
            return method(*args, **kwargs)
        finally:
            Simulator.inside = False
            Simulator.spent += time.process_time() - start
    return wrapped

for name in ("step", "reset", "reset_at", "get_from_scenario"):
    setattr(Environment, name, timed(getattr(Environment, name)))
"""


class Ours:
    """A training run without evaluation, logs and checkpoints."""

    def __init__(self, scenario: str, seed: int) -> None:
        players = PLAYERS[scenario]
        settings = {
            "name": "mappo",
            "hidden": HIDDEN,
            "epochs": EPOCHS,
            "minibatch_size": MINIBATCH * players,
            "learning_rate": LEARNING_RATE,
            "gamma": GAMMA,
            "gae_lambda": GAE_LAMBDA,
            "clip": CLIP,
            "max_grad_norm": MAX_GRAD_NORM,
            "entropy_coefficient": 0.0,
        }
        game = f"vmas:{scenario}(continuous_actions=True, n_agents={players})"
        config = TrainConfig(game=game, algorithm=settings, num_envs=ENVS, rollout_length=LENGTH + 1, seed=seed)
        self.run = prepare(config, Path("run"), device="cpu")  # which is not made
        self.actors = list(self.run.learner.actors())
        self.seating = self.run.learner.seating(ENVS)
        keys = fold(fold(seed, np.arange(2))[:1], np.arange(1)), fold(fold(seed, np.arange(2))[1:], np.arange(ENVS))
        self.carry = Carry(self.run.venv, self.actors, *keys)
        self.paid = np.zeros((ENVS, players))

    def turn(self, simulator: type) -> tuple[int, float, float, float]:
        """Collect and learn once; return frames, CPU-seconds, those of the simulator, and the mean return."""
        start, before = time.process_time(), simulator.spent  # type: ignore[attr-defined]
        trajectory = rollout(self.run.venv, self.actors, self.seating, self.carry, LENGTH + 1)
        self.run.learner.update(trajectory, [0])
        spent, within = time.process_time() - start, simulator.spent - before  # type: ignore[attr-defined]
        return trajectory.steps, spent, within, self._returned(trajectory)

    def _returned(self, trajectory: Trajectory) -> float:
        """Return the mean of what the episodes paid that ended here, over them and the players."""
        ended = []
        over = np.asarray((trajectory.terminated | trajectory.truncated).all(2))  # [T+1, E]
        for t in range(trajectory.recorded, len(trajectory.reward)):
            self.paid[trajectory.first[t]] = 0
            self.paid += trajectory.reward[t]
            ended += self.paid[over[t + 1] & ~trajectory.first[t]].mean(1).tolist()
        return float(np.mean(ended)) if ended else float("nan")


class Theirs:
    """BenchMARL in a process of its own, which works when it is asked to."""

    def __init__(self, python: str, scenario: str, seed: int, updates: int) -> None:
        settings: list[float] = [ENVS, LENGTH, PLAYERS[scenario], EPOCHS, MINIBATCH, *HIDDEN]
        settings += [LEARNING_RATE, GAMMA, GAE_LAMBDA, CLIP, MAX_GRAD_NORM]
        words = [python, "-c", SIMULATOR + BENCHMARL_DRIVER, scenario, str(seed), str(updates), *map(str, settings)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)

    def turn(self) -> tuple[int, float, float, float]:
        """Return the same as `Ours.turn`."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("SPENT "):
                frames, *numbers = map(float, line.split()[1:])
                return (int(frames), *numbers)  # type: ignore[return-value]
        raise SystemExit("BenchMARL's process ended early: see tests/benchmarks/peers.md")


def compared(options: argparse.Namespace, scenario: str) -> Iterator[Row]:
    """Train both sides by turns, for every seed."""
    if options.benchmarl is None:
        yield f"BenchMARL's MAPPO at {scenario}", "skipped: name a Python that has it with --benchmarl", ""
        return
    namespace: dict[str, type] = {}
    exec(SIMULATOR, namespace)  # the same text times both sides
    simulator, updates = namespace["Simulator"], max(3, options.frames // (ENVS * LENGTH))
    last = max(1, updates // 5)  # turns whose returns count
    turns: dict[str, list[list[tuple[int, float, float, float]]]] = {"ours": [], "BenchMARL's": []}
    for seed in range(options.seeds):
        ours, theirs = Ours(scenario, seed), Theirs(options.benchmarl, scenario, seed, updates)
        both = [(ours.turn(simulator), theirs.turn()) for _ in range(updates)]
        theirs.process.kill()
        theirs.process.communicate()
        for taken, done in zip(turns.values(), zip(*both, strict=True), strict=True):
            taken.append(list(done))
            print(f"# seed {seed}: returns {' '.join(f'{turn[3]:.2f}' for turn in done)}", flush=True)
    what = f"{scenario}, {updates * ENVS * LENGTH:,} frames"
    for side, seeds in turns.items():
        first = [done[0][3] for done in seeds]
        returns = [statistics.mean(turn[3] for turn in done[-last:]) for done in seeds]
        yield f"{what}, {side}: return of the first update", _interval(first), ""
        yield f"{what}, {side}: return of the last {last}", _interval(returns), ""
    rates = {side: [_seconds(turn) for done in seeds for turn in done[1:]] for side, seeds in turns.items()}
    for part, kind in enumerate(("all", "the simulator", "all but the simulator")):
        ours_, theirs_ = (statistics.median(turn[part] for turn in side) for side in rates.values())
        yield f"{what}: microseconds a frame, {kind}, ours and BenchMARL's", f"{ours_:.0f}, {theirs_:.0f}", ""
        yield f"{what}: ratio, {kind}", f"{theirs_ / ours_:.2f}", {0: "≥ 1.5"}.get(part, "")


def _seconds(turn: tuple[int, float, float, float]) -> tuple[float, float, float]:
    frames, spent, within, _ = turn
    return 1e6 * spent / frames, 1e6 * within / frames, 1e6 * (spent - within) / frames


def _interval(numbers: list[float]) -> str:
    """Return the mean with Student's 95 % interval."""
    if len(numbers) < 2:
        return f"{numbers[0]:.2f}"
    half = stats.t.ppf(0.975, len(numbers) - 1) * statistics.stdev(numbers) / len(numbers) ** 0.5
    return f"{statistics.mean(numbers):.2f} ± {half:.2f}"


BENCHMARL_DRIVER = """
import sys, tempfile

import torch
from benchmarl.algorithms import MappoConfig
from benchmarl.environments import VmasTask
from benchmarl.experiment import Experiment, ExperimentConfig
from benchmarl.experiment.callback import Callback
from benchmarl.models.mlp import MlpConfig

torch.set_num_threads(1)
scenario, *numbers = sys.argv[1:]
seed, updates, envs, length, players, epochs, minibatch, *hidden = map(int, numbers[:9])
learning_rate, gamma, gae_lambda, clip, max_grad_norm = map(float, numbers[9:])


class Turns(Callback):
    def on_setup(self):
        sys.stdin.readline()
        self.start, self.within = time.process_time(), Simulator.spent

    def on_train_end(self, training, group):
        spent, within = time.process_time() - self.start, Simulator.spent - self.within
        print("SPENT", envs * length, spent, within, self.experiment.mean_return, flush=True)
        self.on_setup()


task = VmasTask[scenario.upper()].get_from_yaml()
task.config["n_agents"], task.config["max_steps"] = players, length
config = ExperimentConfig.get_from_yaml()
config.evaluation = config.create_json = config.render = False
config.loggers = []
config.save_folder = tempfile.mkdtemp()
config.max_n_iters, config.max_n_frames = updates, None
config.gamma, config.lr, config.clip_grad_val = gamma, learning_rate, max_grad_norm
config.adam_eps = 1e-5
config.on_policy_collected_frames_per_batch = envs * length
config.on_policy_n_envs_per_worker = envs
config.on_policy_n_minibatch_iters = epochs
config.on_policy_minibatch_size = minibatch
algorithm = MappoConfig.get_from_yaml()
algorithm.lmbda, algorithm.clip_epsilon, algorithm.entropy_coef = gae_lambda, clip, 0.0
model = MlpConfig.get_from_yaml()
model.num_cells = hidden
Experiment(
    task=task,
    algorithm_config=algorithm,
    model_config=model,
    critic_model_config=model,
    seed=seed,
    config=config,
    callbacks=[Turns()],
).run()
"""


def navigation(options: argparse.Namespace) -> Iterator[Row]:
    """Three agents go to goals of their own; each is paid for itself."""
    yield from compared(options, "navigation")


def transport(options: argparse.Namespace) -> Iterator[Row]:
    """Four agents push a package, as a team."""
    yield from compared(options, "transport")


if __name__ == "__main__":
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmarl", help="a Python that has benchmarl and vmas")
    parser.add_argument("--frames", type=int, default=64_000, help="of each side and seed")
    parser.add_argument("--seeds", type=int, default=3)
    timing.run("tests.benchmarks.continuous", {"navigation": navigation, "transport": transport}, parser)
