"""How fast it is: ratios to what is there already, measured side by side; `python -m tests.benchmarks.speed`.

All times are CPU time of one process with one thread (`time.process_time`), so that a busy machine measures the same.
What is compared alternates, and medians are shown. Each benchmark runs in a process of its own; --only NAME runs one.

    environment   a VecEnv of 64 OpenSpiel games against a bare loop over one pyspiel state
    pettingzoo    the same VecEnv against PettingZoo's own versions of the games
    native        the native batches of 512, spread and foraging against their originals; hearts, of OpenSpiel's
    batched       batches of 256 of libraries that step them by themselves: JaxMARL's and VMAS's
    workers       two processes of slow environments against one, in wall-clock time
    ippo          training as configs/train/ippo_connect_four.yaml says, and the memory that it takes
    tournament    round robins of scripted and of foreign agents, the store included
"""

import argparse
import os
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from open_spiel.python.observation import make_observation

from games.contract import VecEnv
from games.errors import UserError
from games.keys import fold
from games.random_play import random_actions
from games.registry import load as load_game
from games.registry import make
from games.workers import Workers
from marl.base.schema import load
from marl.base.terminal import Terminal
from marl.rollout.loop import Carry, rollout
from marl.training.config import TrainConfig
from marl.training.train import prepare
from tests.benchmarks import timing
from tests.benchmarks.timing import Row, Work, medians
from tournaments.records.store import Store
from tournaments.tournament import TournamentConfig, run

CONFIG = Path(__file__).parents[2] / "configs" / "train" / "ippo_connect_four.yaml"
GAMES = {"tic_tac_toe": "tictactoe_v3", "connect_four": "connect_four_v3"}  # and what PettingZoo calls them
NUM_ENVS = 64


def environment(options: argparse.Namespace) -> Iterator[Row]:
    """On both sides a step is: the legal actions, an action applied, the view of who is to move, and a new game after
    the last move. Ours also writes masks, rewards and ends into arrays.

    With choosing, an action is drawn uniformly from the legal ones (ours: vectorised, from the mask), and the bare loop
    does no more than that. Alone, both play the actions of one recorded run, and both give what the contract asks of a
    last step: the returns, and the last view of every player.
    """
    for name in GAMES:
        choosing = medians(stepping(name, 500), bare(name, 500))
        alone = medians(stepping(name, 500, record(name, 500)), bare(name, 500, record(name, 500)))
        for how, (ours, theirs) in (("with choosing", choosing), ("alone", alone)):
            yield f"{name}, {how}: VecEnv of {NUM_ENVS}, steps per CPU-second", f"{ours:,.0f}", ""
            yield f"{name}, {how}: bare loop over pyspiel", f"{theirs:,.0f}", ""
            yield f"{name}, {how}: ratio", f"{ours / theirs:.2f}", "≥ 0.45"


def stepping(name: str, length: int, recorded: list[np.ndarray] | None = None) -> Work:
    """Return the work of stepping a VecEnv, with actions drawn from the mask, or recorded ones [length][E, N]."""
    venv = make(f"openspiel:{name}", NUM_ENVS)
    rng = np.random.default_rng(0)

    def work() -> int:
        steps = 0
        timestep = venv.reset(np.arange(NUM_ENVS, dtype=np.uint64))
        for t in range(length):
            actions = draw(timestep.action_mask, rng) if recorded is None else recorded[t]
            timestep = venv.step(actions)
            steps += NUM_ENVS - int(timestep.first.sum())
        return steps

    return work


def draw(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw legal actions [E, N] from a mask [E, N, A] that is all False where a player is not acting."""
    legal = mask.any(1)  # [E, A]: one player acts at a time
    nth = (rng.random(len(mask)) * legal.sum(1)).astype(np.int64)
    chosen = (np.cumsum(legal, 1) > nth[:, None]).argmax(1)
    return np.broadcast_to(chosen[:, None], mask.shape[:2])


def record(name: str, length: int) -> list[np.ndarray]:
    venv, rng = make(f"openspiel:{name}", NUM_ENVS), np.random.default_rng(0)
    timestep, actions = venv.reset(np.arange(NUM_ENVS, dtype=np.uint64)), []
    for _ in range(length):
        actions.append(draw(timestep.action_mask, rng).copy())
        timestep = venv.step(actions[-1])
    return actions


def bare(name: str, length: int, recorded: list[np.ndarray] | None = None) -> Work:
    """Return the work of playing the games that `stepping` plays, one after the other, with as little as one can."""
    game = load_game(f"openspiel:{name}").native
    observe = make_observation(game)._observation.set_from
    rng = np.random.default_rng(0)
    steps = NUM_ENVS * length
    # The recorded columns one behind the other; the slot in which an environment is reset holds no action.
    column = None if recorded is None else np.stack(recorded)[:, :, 0].T.ravel().tolist()

    def choosing() -> int:
        draws = rng.random(steps).tolist()
        state = game.new_initial_state()
        for u in draws:
            legal = state.legal_actions()
            state.apply_action(legal[int(u * len(legal))])
            if state.is_terminal():
                state = game.new_initial_state()
            observe(state, state.current_player())
        return steps

    def replaying() -> int:
        done = 0
        for start in range(0, steps, length):
            state = game.new_initial_state()
            for action in column[start : start + length]:
                if state.is_terminal():
                    state = game.new_initial_state()
                    observe(state, 0)
                    continue
                state.legal_actions()
                state.apply_action(action)
                done += 1
                player = state.current_player()
                if player >= 0:
                    observe(state, player)
                else:
                    state.returns()
                    observe(state, 0)
                    observe(state, 1)
        return done

    return choosing if column is None else replaying


def pettingzoo(options: argparse.Namespace) -> Iterator[Row]:
    os.environ["PYGAME_HIDE_SUPPORT_PROMPT"] = "1"
    for name, twin in GAMES.items():
        try:
            theirs = aec(twin, 2000)
        except ImportError as error:
            yield f"{name}: PettingZoo's {twin}", f"not installed ({error.name})", "≥ 15"
            continue
        ours, other = medians(stepping(name, 500), theirs, repetitions=5)
        yield f"{name}: VecEnv of {NUM_ENVS}, steps per CPU-second", f"{ours:,.0f}", ""
        yield f"{name}: PettingZoo's {twin}", f"{other:,.0f}", ""
        yield f"{name}: ratio", f"{ours / other:.1f}", "≥ 15"


def aec(twin: str, steps: int) -> Work:
    """Return the work of PettingZoo's own loop (its documentation's), with a legal action drawn from the mask."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import pettingzoo.classic

        env = getattr(pettingzoo.classic, twin).env()
    rng = np.random.default_rng(0)

    def work() -> int:
        done = 0
        while done < steps:
            env.reset(seed=done)
            for _ in env.agent_iter():
                observation, _, terminated, truncated, _ = env.last()
                if terminated or truncated:
                    env.step(None)
                    continue
                legal = observation["action_mask"].nonzero()[0]
                env.step(legal[int(rng.random() * len(legal))])
                done += 1
        return done

    return work


def native(options: argparse.Namespace) -> Iterator[Row]:
    """Random legal actions, recorded, for ours; the originals draw theirs, in their own plain loops."""
    for reference, target in NATIVE.items():
        [rate] = medians(batch(reference), repetitions=5)
        yield f"`{reference}`: steps per CPU-second", f"{rate:,.0f}", target
    for reference, (name, original, target) in ORIGINALS.items():
        try:
            theirs = original(1000)
        except ImportError as error:
            yield f"`{reference}` against {name}", f"not installed ({error.name})", target
            continue
        ours, other = medians(batch(reference), theirs, repetitions=5)
        yield f"`{reference}`: steps per CPU-second", f"{ours:,.0f}", ""
        yield f"{name}", f"{other:,.0f}", ""
        yield f"`{reference}`: ratio", f"{ours / other:.0f}", target


def batch(reference: str, num_envs: int = 512, length: int = 100) -> Work:
    """Return the work of stepping a batch through recorded actions."""
    venv = make(reference, num_envs)
    timestep, recorded = venv.reset(np.arange(num_envs, dtype=np.uint64)), []
    for t in range(length):
        recorded.append(random_actions(venv.spec, timestep, np.full(num_envs, t)))
        timestep = venv.step(recorded[-1])

    def work() -> int:
        steps = 0
        venv.reset(np.arange(num_envs, dtype=np.uint64))
        for actions in recorded:
            steps += num_envs - int(venv.step(actions).first.sum())
        return steps

    return work


def mpe2_spread(steps: int) -> Work:
    from mpe2 import simple_spread_v3

    env, rng = simple_spread_v3.parallel_env(N=3), np.random.default_rng(0)

    def work() -> int:
        env.reset(seed=0)
        for _ in range(steps):
            env.step({agent: int(rng.integers(5)) for agent in env.agents})
            if not env.agents:
                env.reset()
        return steps

    return work


def lbforaging(steps: int) -> Work:
    import gymnasium
    import lbforaging  # noqa: F401 - registers its environments

    env = gymnasium.make("Foraging-8x8-2p-3f-v3", disable_env_checker=True).unwrapped
    rng = np.random.default_rng(0)

    def work() -> int:
        env.reset(seed=0)
        for _ in range(steps):
            over = env.step([int(rng.integers(6)), int(rng.integers(6))])[2]
            if over:
                env.reset()
        return steps

    return work


NATIVE = {
    "matrix(game=climbing)": "≥ 5,000,000",
    "matrix(game=prisoners_dilemma, steps=50, memory=true)": "≥ 5,000,000",
    "two_step": "",
    "coin_game": "≥ 500,000",
    "predator_prey": "≥ 50,000",
    "dec_tiger": "",
    "openspiel:hearts": "≥ 50,000",
}
BATCHED = (
    "jaxmarl:HeuristicEnemySMAX(map_name=3m)",
    "jaxmarl:MPE_simple_spread_v3",
    "jaxmarl:overcooked(layout=cramped_room)",
    "jaxmarl:hanabi",
    "vmas:balance",
    "vmas:simple_spread",
)
ORIGINALS = {
    "spread": ("mpe2's simple_spread_v3", mpe2_spread, "≥ 100"),
    "foraging": ("lbforaging's Foraging-8x8-2p-3f-v3", lbforaging, "≥ 20"),
}


def workers(options: argparse.Namespace) -> Iterator[Row]:
    """The best of five wall-clock rates of each, by turns: other load can only make one slower."""
    load = os.getloadavg()[0]
    for reference in ("pettingzoo:mpe2.simple_spread_v3", "gymnasium:lbforaging.Foraging-8x8-2p-3f-v3"):
        try:
            alone, both = make(reference, NUM_ENVS), Workers(reference, NUM_ENVS, 2)
        except UserError as error:
            yield f"`{reference}` by two workers", str(error), "≥ 1.6"
            continue
        rates = [[wall_rate(venv) for venv in (alone, both)] for _ in range(5)]
        one, two = (max(column) for column in zip(*rates, strict=True))
        both.close()
        yield f"`{reference}`, {NUM_ENVS} environments, one process: steps per second", f"{one:,.0f}", ""
        yield f"`{reference}`, two workers (load before: {load:.1f})", f"{two:,.0f}", ""
        yield f"`{reference}`: ratio", f"{two / one:.2f}", "≥ 1.6"


def batched(options: argparse.Namespace) -> Iterator[Row]:
    """Random legal actions, recorded, in 256 environments of libraries that step batches themselves."""
    for reference in BATCHED:
        try:
            [rate] = medians(batch(reference, 256, 20), repetitions=5)
        except UserError as error:
            yield f"`{reference}`: steps per CPU-second", str(error), ""
            continue
        yield f"`{reference}`: steps per CPU-second", f"{rate:,.0f}", ""


def wall_rate(venv: VecEnv, length: int = 100) -> float:
    timestep = venv.reset(np.arange(venv.num_envs, dtype=np.uint64))
    recorded = [random_actions(venv.spec, timestep, np.full(venv.num_envs, t)) for t in range(length)]
    start = time.perf_counter()
    for actions in recorded:
        venv.step(actions)
    return venv.num_envs * length / (time.perf_counter() - start)


def ippo(options: argparse.Namespace) -> Iterator[Row]:
    config = load(TrainConfig, CONFIG)
    trained = prepare(config, Path("run"), device="cpu")  # which is not made
    config, venv, learner = trained.config, trained.venv, trained.learner
    actors = list(learner.actors())
    seating, draw = trained.opponents.begin(learner.seating(config.num_envs), learner.leaders(), len(actors))
    roster = actors + [opponent.entrant.agent for opponent in trained.opponents.present]
    carry = Carry(venv, roster, fold(1, np.arange(len(roster))), fold(2, np.arange(config.num_envs)))
    before = peak_memory()
    spent = []
    for _ in range(13):
        started = time.process_time()
        trajectory = rollout(venv, roster, seating, carry, config.rollout_length, draw)
        played = time.process_time()
        learner.update(trajectory, range(len(actors)))
        spent.append((played - started, time.process_time() - played, trajectory.steps))
    playing, learning, steps = (np.array(column) for column in zip(*spent[1:], strict=True))  # the first warms
    yield (
        "IPPO at connect four, steps per CPU-second, learning included",
        f"{np.median(steps / (playing + learning)):,.0f}",
        "≥ 17,000",
    )
    yield "the rollout alone", f"{np.median(steps / playing):,.0f}", ""
    yield "the update alone", f"{np.median(steps / learning):,.0f}", ""
    yield "the update's share of the time", f"{learning.sum() / (playing + learning).sum():.0%}", ""
    yield "peak memory, MiB (of them before the first step)", f"{peak_memory():,.0f} ({before:,.0f})", ""


def peak_memory() -> float:
    """Return the most memory that this process ever held, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def tournament(options: argparse.Namespace) -> Iterator[Row]:
    scripted = ("tit_for_tat", "grim_trigger", "always_cooperate", "always_defect")
    dilemma = "matrix(game=prisoners_dilemma, steps=9, memory=true)"
    own = TournamentConfig(game=dilemma, agents=scripted, seeds=500, workers=1)
    [games] = medians(lambda: _games_of(own), repetitions=5)
    yield (
        "a tournament of four built-in agents at a dilemma of 9 steps, games per CPU-second",
        f"{games:,.0f}",
        "≥ 5,000",
    )
    bots = tuple(f"tests.bots:{name}" for name in ("Second", "Third", "First", "AlsoFirst"))
    foreign = TournamentConfig(game="openspiel:tic_tac_toe", agents=bots, seeds=500, workers=1)
    [games] = medians(lambda: _games_of(foreign), repetitions=5)
    what = "a tournament of four foreign agents at tic-tac-toe, games per CPU-second of the process that plays them"
    yield what, f"{games:,.0f}", "≥ 5,000"


def _games_of(config: TournamentConfig) -> int:
    """Play a tournament, and return how many games it had."""
    with tempfile.TemporaryDirectory() as folder, Store(run(config, Path(folder), Terminal(quiet=True))) as store:
        return len(store)


BENCHMARKS = {
    "environment": environment,
    "pettingzoo": pettingzoo,
    "native": native,
    "batched": batched,
    "workers": workers,
    "ippo": ippo,
    "tournament": tournament,
}


if __name__ == "__main__":
    timing.run("tests.benchmarks.speed", BENCHMARKS, argparse.ArgumentParser(description="Measure how fast it is."))
