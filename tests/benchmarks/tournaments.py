"""How fast tournaments, ratings and reports are: here, and beside another checkout of this project.

    git clone . ../before && git -C ../before checkout COMMIT
    python -m tests.benchmarks.tournaments --base ../before

All times are CPU time with one thread; commands count their children and imports. The two checkouts alternate, and
medians are shown. Without --base only this checkout is measured. --only NAME measures one part:

    playing    tournaments of checkpoints that play tic-tac-toe, in one process, their loading included
    pairs      the same, of 2 and 24 agents with the same number of games for each pair (--seeds; two games a seed)
    commands   `marl tournament rate` and `report` on a store of 500 agents and 249,500 games (one seed)
    ratings    the fit and the intervals in memory; each pool says how many seeds it has
    start      only here: a tournament of 1,000 checkpoints until its first games begin, and a worker with 50 of them
    table      only here: the payoff table by seat of a store of 100,192 games
    bots       only here: random games beside `pyspiel.evaluate_bots`
    batched    only here: games of networks, 64 at a time and one at a time
    again      only here: recorded games played again (`marl tournament verify`), beside playing them first
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from games.registry import make
from marl.agents import checkpoint
from marl.agents.load import identify
from marl.algorithms.policy_gradient.ippo import Ippo
from tests.benchmarks import timing
from tests.benchmarks.timing import Row
from tournaments.playback.moves import play_back
from tournaments.playing.match import play_chunk
from tournaments.ratings.davidson import probabilities
from tournaments.ratings.table import table
from tournaments.records.fixture import Fixture, seeds_of
from tournaments.records.played import PlayedGame
from tournaments.records.store import Store
from tournaments.schedules.round_robin import RoundRobin

HERE = Path(__file__).parents[2]
GAME = "openspiel:tic_tac_toe"
AGENTS = 24  # checkpoints that are trained to play
PLAYING = ((2, 250), (8, 9), (24, 1))  # agents and seeds: about 500 games
POOLS = ((1000, 500_000, 1_000_000), (200, 25, 995_000))  # agents, seeds, games

PLAY = """
import sys, tempfile, time
from pathlib import Path
import torch
from marl.base.terminal import Terminal
from tournaments.tournament import TournamentConfig, run
torch.set_num_threads(1)
agents, seeds = tuple(sys.argv[2:]), int(sys.argv[1])
config = TournamentConfig(game="openspiel:tic_tac_toe", agents=agents, seeds=seeds, workers=1)
def play():
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        run(config, Path(folder), Terminal(quiet=True))
        return time.process_time() - start
warm, spent, times = play(), 0.0, 0
while times == 0 or spent < 1:
    spent, times = spent + play(), times + 1
print(len(agents) * (len(agents) - 1) * seeds * times / spent)
"""
START = """
import sys, tempfile, time
from pathlib import Path
import rich.progress, torch
from games.registry import make
from marl.agents.load import load_entrant
from marl.base.terminal import Terminal
from tournaments.playing import play as play_module
from tournaments.tournament import TournamentConfig, run
torch.set_num_threads(1)
agents, batches = tuple(sys.argv[3:]), int(sys.argv[2])
config = TournamentConfig(game="openspiel:tic_tac_toe", agents=agents, seeds=int(sys.argv[1]), workers=1)
load_entrant(agents[0], make(config.game, 1).spec)  # for its imports
class Enough(Exception):
    pass
def memory():
    [size] = [line.split()[1] for line in open("/proc/self/smaps_rollup") if line.startswith("Pss:")]
    return int(size) / 1024
def play(*task, play=play_module.play_chunk, played=[]):
    if len(played) == batches:
        print(time.process_time() - start, memory() - before)
        raise Enough
    played.append(play(*task))
    return played[-1]
play_module.play_chunk = play
before, start = memory(), time.process_time()
try:
    with tempfile.TemporaryDirectory() as folder:
        run(config, Path(folder), Terminal(quiet=True))
except Enough:
    pass
"""
RATE = """
import sys, time
import numpy as np
from tournaments.ratings.elo import rate
from tournaments.records.results import Results
pool = np.load(sys.argv[1])
agents = tuple(f"agent {k:04d}" for k in range(int(pool["agents"])))
payoffs = np.stack([pool["payoff"], -pool["payoff"]], 1)
ended = np.full(len(payoffs), "finished")
def timed():
    results = Results(agents, pool["seats"], payoffs, pool["seeds"], ended)
    start = time.process_time()
    rate(results)
    return time.process_time() - start
timed()
print(timed())
"""


def sides(options: argparse.Namespace, measure: Callable[[Path], float]) -> list[float]:
    """Measure the other checkout, where one is given, and this one, by turns; return the medians."""
    checkouts = [*([options.base.resolve()] if options.base else []), HERE]
    taken = [[measure(checkout) for checkout in checkouts] for _ in range(options.repetitions)]
    return [statistics.median(column) for column in zip(*taken, strict=True)]


def rows(what: str, found: list[float], digits: int, target: str, *, faster: bool) -> Iterator[Row]:
    """Say what was measured on both sides and how many times as fast this one is; `faster`: whether more is better."""
    *base, here = found
    yield f"{what}", f"{here:,.{digits}f}", "" if base else target
    for before in base:
        yield f"{what}, before", f"{before:,.{digits}f}", ""
        yield f"{what}: times as fast", f"{here / before if faster else before / here:.1f}", target


def python(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the packages of a checkout."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=checkout, env=environment, check=True, capture_output=True, text=True
    )


def printed(checkout: Path, code: str, *arguments: str) -> float:
    """Run code with the packages of a checkout and return the number that it prints."""
    return float(python(checkout, "-c", code, *arguments).stdout.split()[-1])


def command(checkout: Path, *arguments: str) -> float:
    """Return the CPU-seconds of a `marl` command, its children's among them."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    python(checkout, "-m", "marl", *arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def trained(folder: Path) -> list[str]:
    """Train one run for a moment and return its checkpoints, which are the agents."""
    changes = ["steps=26_000", "stretch=1024", "num_envs=64", "rollout_length=16", "evaluation.panel=[]"]
    sets = [part for change in changes for part in ("--set", change)]
    python(
        HERE, "-m", "marl", "train", str(HERE / "configs/train/ippo_tic_tac_toe.yaml"), *sets, "--run-dir", str(folder)
    )
    found = sorted(str(path) for path in (folder / "checkpoints").iterdir() if path.name.isdigit())
    assert len(found) >= AGENTS, f"{len(found)} checkpoints"
    return found[:AGENTS]


def playing(options: argparse.Namespace) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        agents = trained(Path(folder) / "run")
        for count, seeds in PLAYING:
            found = sides(options, lambda at, n=count, s=seeds: printed(at, PLAY, str(s), *agents[:n]))  # type: ignore[misc]
            games = count * (count - 1) * seeds
            what = f"{count} agents, {seeds} seeds, {games} games in all: games per CPU-second"
            yield from rows(what, found, 0, "", faster=True)


def pairs(options: argparse.Namespace) -> Iterator[Row]:
    """Only here: before, 24 agents took many times as long."""
    with tempfile.TemporaryDirectory() as folder:
        agents, seeds = trained(Path(folder) / "run"), options.seeds
        taken = [
            [printed(HERE, PLAY, str(seeds), *agents[:count]) for count in (2, AGENTS)]
            for _ in range(options.repetitions)
        ]
        two, many = (statistics.median(column) for column in zip(*taken, strict=True))
        yield f"2 agents, {2 * seeds} games a pair: games per CPU-second", f"{two:,.0f}", ""
        yield f"{AGENTS} agents, {2 * seeds} games a pair: games per CPU-second", f"{many:,.0f}", ""
        yield f"{AGENTS} agents over 2 agents", f"{many / two:.2f}", "≥ 0.8"


def commands(options: argparse.Namespace) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        store(Path(folder) / "games.sqlite", agents=500, seeds=1)
        for name in ("rate", "report"):
            found = sides(options, lambda at, name=name: command(at, "tournament", name, folder))  # type: ignore[misc]
            what = f"`marl tournament {name}`, 500 agents, 1 seed, 249,500 games: CPU-seconds"
            yield from rows(what, found, 2, "≥ 6", faster=False)
        size = (Path(folder) / "report.html").stat().st_size  # this checkout's was written last
        yield "report.html, MB", f"{size / 1e6:.1f}", "≤ 3"


def ratings(options: argparse.Namespace) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.npz"
        for agents, seeds, games in POOLS:
            pool(path, agents, seeds, games)
            found = sides(options, lambda at: printed(at, RATE, str(path)))
            what = f"Davidson's model with intervals, {agents:,} agents, {seeds:,} seeds, {games:,} games: CPU-seconds"
            yield from rows(what, found, 2, "≥ 2", faster=False)


def start(options: argparse.Namespace) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        members = population(Path(folder), 1000)
        for agents, seeds, batches in ((members, 20, 0), (members[:50], 1, 9)):
            found = [
                [
                    float(number)
                    for number in python(HERE, "-c", START, str(seeds), str(batches), *agents).stdout.split()
                ]
                for _ in range(options.repetitions)
            ]
            seconds, size = (statistics.median(column) for column in zip(*found, strict=True))
            if batches:
                yield f"{len(agents)} members have played in one process: MiB beyond imports", f"{size:.0f}", "≤ 150"
            else:
                what = f"{len(agents):,} members, {seeds} seeds: until the first games begin"
                yield f"{what}, CPU-seconds", f"{seconds:.2f}", "≤ 2"
                yield f"{what}, MiB beyond imports", f"{size:.0f}", "≤ 100"


def population(folder: Path, members: int) -> list[str]:
    """Write checkpoints of small networks with different weights."""
    spec = make(GAME, 1).spec
    found = []
    for k in range(members):
        learner = Ippo(Ippo.Config(hidden=(16,)), spec, key=k, total_steps=1, device="cpu")
        found.append(checkpoint.folder_of(folder / f"member-{k:04d}", 0))
        checkpoint.write(
            found[-1],
            algorithm="ippo",
            settings=learner.config.model_dump(mode="json"),
            spec=spec,
            config={"game": GAME, "seed": k},
            step=0,
            parent=None,
            agent=learner.agent_state(),
            learner={},
        )
    return [str(path) for path in found]


def payoff_table(options: argparse.Namespace) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "games.sqlite"
        store(path, agents=32, seeds=101)
        with Store(path) as opened:
            agents = [agent.id for agent in opened.agents()]
            rate, reading = timing.medians(
                lambda: len(table(opened, agents).agents) // 32,
                lambda: len(opened.results()) // 100_192,
                repetitions=options.repetitions,
            )
        yield "the payoff table of 32 agents, 100,192 games: CPU-seconds", f"{1 / rate:.2f}", ""
        yield "of these to read the games", f"{1 / reading:.2f}", ""


def drawn(seats: np.ndarray, agents: int) -> np.ndarray:
    """Draw seat 0's payoffs from the model: strengths of one logit's spread, and a seat effect."""
    rng = np.random.default_rng(0)
    theta = rng.normal(size=agents)
    chances = probabilities(theta[seats[:, 0]] - theta[seats[:, 1]] + 0.2, np.log(0.5))
    return 1.0 - (rng.random(len(seats))[:, None] > np.cumsum(chances, 1)).sum(1).clip(max=2)


def pool(path: Path, agents: int, seeds: int, games: int) -> None:
    """Write results of a round robin, where that has so many games, else of random pairs in both seatings of a seed."""
    if games == agents * (agents - 1) * seeds:
        first, second = np.nonzero(~np.eye(agents, dtype=bool))
        seats = np.tile(np.stack([first, second], 1), (seeds, 1))
    else:
        rng = np.random.default_rng(1)
        first = rng.integers(0, agents, games // 2)
        second = (first + rng.integers(1, agents, games // 2)) % agents
        seats = np.stack([np.stack([first, second], 1), np.stack([second, first], 1)], 1).reshape(-1, 2)
    of_seed = np.repeat(np.arange(seeds, dtype=np.uint64), games // seeds)
    np.savez(path, agents=agents, seats=seats, payoff=drawn(seats, agents), seeds=of_seed)


def store(path: Path, agents: int, seeds: int) -> None:
    """Write the store of a tournament whose results are drawn."""
    ids = [f"{k:064x}" for k in range(agents)]
    fixtures = [fixture for block in RoundRobin(GAME, ids, 2, seeds, seed=0).blocks(256) for fixture in block]
    seats = np.array([[int(agent, 16) for agent in fixture.agents] for fixture in fixtures])
    moves = np.zeros((7, 2), np.int32).tobytes()
    with Store(path, create=True) as made:
        made.set("spec", make(GAME, 1).spec.to_json())
        made.set("game", GAME)
        for id in ids:
            made.add_agent(id, f"run/{id[-9:]}", f"runs/run/checkpoints/{id[-9:]}")
        made.add(
            PlayedGame(fixture, (paid, -paid), "finished", 7, moves, rounding=0.0)
            for fixture, paid in zip(fixtures, drawn(seats, agents).tolist(), strict=True)
        )


def random_games(game: str) -> list[Fixture]:
    """Return fixtures in which the random agent plays itself."""
    [agent] = identify(["random"], make(game, 1).spec)
    return [Fixture(game, (agent.digest, agent.digest), seed) for seed in seeds_of(0, range(256))]


def bots(options: argparse.Namespace) -> Iterator[Row]:
    """Count the games of two random agents in one process, without a store."""
    import pyspiel
    from open_spiel.python.bots.uniform_random import UniformRandomBot

    for game in (GAME, "openspiel:connect_four", "openspiel:leduc_poker"):
        fixtures = random_games(game)
        theirs = pyspiel.load_game(game.partition(":")[2])
        players = [UniformRandomBot(player, np.random.RandomState(player)) for player in range(2)]

        def ours(game: str = game, fixtures: list[Fixture] = fixtures) -> int:
            return len(play_chunk(game, ["random"], fixtures, 64))

        def evaluated(theirs: Any = theirs, players: list[Any] = players) -> int:
            for seed in range(256):
                pyspiel.evaluate_bots(theirs.new_initial_state(), players, seed)
            return 256

        here, there = timing.medians(ours, evaluated, repetitions=options.repetitions)
        yield f"{game}, random agents: games per CPU-second", f"{here:,.0f}", ""
        yield f"{game}, `pyspiel.evaluate_bots`: games per CPU-second", f"{there:,.0f}", ""
        yield f"{game}: times as fast", f"{here / there:.1f}", ""


def batched(options: argparse.Namespace) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        agents = population(Path(folder), 2)
        digests = [agent.digest for agent in identify(agents, make(GAME, 1).spec)]
        fixtures = [fixture for block in RoundRobin(GAME, digests, 2, 128, seed=0).blocks(256) for fixture in block]
        many, single = timing.medians(
            lambda: len(play_chunk(GAME, agents, fixtures, 64)),
            lambda: len([game for fixture in fixtures[:32] for game in play_chunk(GAME, agents, [fixture], 1)]),
            repetitions=options.repetitions,
        )
        yield "networks, 64 games at a time: games per CPU-second", f"{many:,.0f}", ""
        yield "networks, one game at a time: games per CPU-second", f"{single:,.0f}", ""
        yield "at a time over one by one", f"{many / single:.1f}", "≥ 10"


def again(options: argparse.Namespace) -> Iterator[Row]:
    for game in (GAME, "openspiel:connect_four", "coin_game"):
        fixtures = random_games(game)
        played, venv = play_chunk(game, ["random"], fixtures, 64), make(game, 256)
        verified, first = timing.medians(
            lambda venv=venv, played=played: len(play_back(venv, played)),  # type: ignore[misc]
            lambda game=game, fixtures=fixtures: len(play_chunk(game, ["random"], fixtures, 64)),  # type: ignore[misc]
            repetitions=options.repetitions,
        )
        yield f"{game}, played again: games per CPU-second", f"{verified:,.0f}", ""
        yield f"{game}, played by random agents: games per CPU-second", f"{first:,.0f}", ""


BENCHMARKS = {
    "playing": playing,
    "pairs": pairs,
    "commands": commands,
    "ratings": ratings,
    "start": start,
    "table": payoff_table,
    "bots": bots,
    "batched": batched,
    "again": again,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure tournaments, ratings and reports.")
    parser.add_argument("--base", type=Path, help="another checkout of this project, to compare with")
    parser.add_argument("--seeds", type=int, default=50, help="of `pairs`")
    timing.run("tests.benchmarks.tournaments", BENCHMARKS, parser)
