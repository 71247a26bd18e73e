"""What many cores do to a tournament of 1,000 agents, a league, PSRO and population-based training: costs that are
measured here, and schedules on 1 to 1,000 cores that are simulated from them.

    python -m tests.benchmarks.scaling [--cores 1 10 100 1000] [--json costs.json]

Costs are CPU time with one thread, medians of several:

    start      a worker process, until it can take a task (its imports)
    dispatch   the driver's part of an empty task, by two worker processes; with Ray where it is installed (--ray)
    play       games of small networks at tic-tac-toe, in a worker, a piece of 256 games with 8 agents or fewer
    store      the driver's part of a game that is stored
    train      a round of a league's learner: 20,000 steps of IPPO at connect four, scaled to the round's length
    state      bytes of a learner's state, which a round writes and the next one reads

The simulation has one driver, which hands out tasks and stores results one after the other, and workers that take the
next task when they are free. It knows of no network, drive or memory that is shared: a cluster is no faster than it
says.
"""

import argparse
import heapq
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from games.registry import make
from marl.agents import checkpoint
from marl.base import engine
from marl.base.terminal import Terminal
from marl.training.config import TrainConfig
from marl.training.train import train
from tournaments.playing.match import dismiss, play_chunk
from tournaments.records.played import PlayedGame
from tournaments.records.store import Store
from tournaments.schedules.pieces import batches
from tournaments.schedules.round_robin import RoundRobin

GAME, LEAGUE = "openspiel:tic_tac_toe", "openspiel:connect_four"
REPETITIONS = 5
TASKS = 400
AGENTS = 8  # in a piece of a large tournament
BATCH = 256
STEPS = 20_000


@dataclass(frozen=True)
class Costs:
    """CPU-seconds, but for `state`."""

    start: float  # of a worker
    dispatch: float  # of a task, the driver's
    play: float  # of a game, a worker's
    store: float  # of a game, the driver's
    train: float  # of a step, a worker's
    state: float  # bytes of a learner's checkpoint


@dataclass(frozen=True)
class Work:
    """A task: what a worker does, and what the driver does with its result, in seconds."""

    seconds: float
    folded: float


def nothing(number: int) -> int:
    """Do nothing in a worker."""
    return number


def imports(number: int) -> float:
    """Return the CPU-seconds that a worker has used."""
    import marl.training.train  # noqa: F401

    return time.process_time()


def measure(ray: bool) -> Costs:
    """Return what things cost on this machine."""
    named = _named(ray)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with engine.kept(named, folder):
            start = statistics.median(engine.run(imports, [(0,), (1,)], 2, named))
            dispatch = _median(lambda: list(engine.run(nothing, [(k,) for k in range(TASKS)], 2, named))) / TASKS
        learning, state = _learning(folder)
        play, stored = _games(folder)
    return Costs(start, dispatch, play, stored, learning, state)


def _named(ray: bool) -> engine.Engine:
    return "ray" if ray else "processes"


def _median(work: Callable[[], object]) -> float:
    """Return the CPU-seconds of this process for a piece of work."""
    found = []
    for _ in range(REPETITIONS):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return statistics.median(found)


def _config(game: str, steps: int, seed: int = 0) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "game": game,
            "algorithm": "ippo",
            "steps": steps,
            "stretch": steps,
            "seed": seed,
            "writers": (),
            "evaluation": {"panel": ()},
        }
    )


def _learning(folder: Path) -> tuple[float, float]:
    """Return the CPU-seconds of a step of training, and the bytes of a checkpoint."""
    spent, states = [], []
    for k in range(3):
        began = time.process_time()
        made = train(_config(LEAGUE, STEPS), folder / f"{k}", resume=False, console=Terminal(quiet=True))
        spent.append(time.process_time() - began)
        states.append(sum(file.stat().st_size for file in made.iterdir()))
    return statistics.median(spent) / STEPS, statistics.median(states)


def _games(folder: Path) -> tuple[float, float]:
    """Return the CPU-seconds of a game, its agents' loading included, and of storing one."""
    quiet = Terminal(quiet=True)
    made = [train(_config(GAME, 1, k), folder / f"agent-{k}", resume=False, console=quiet) for k in range(AGENTS)]
    agents = {str(checkpoint.read(path)["digest"]): str(path) for path in made}
    spec = make(GAME, 1).spec
    schedule = RoundRobin(GAME, list(agents), spec.num_players, 20, 0)
    pieces = list(batches(schedule.blocks(BATCH, set()), BATCH, set()))
    played: list[list[PlayedGame]] = []

    def play() -> None:
        dismiss()
        seated = [sorted({agents[agent] for fixture in piece for agent in fixture.agents}) for piece in pieces]
        played[:] = [play_chunk(GAME, names, piece, 64) for names, piece in zip(seated, pieces, strict=True)]

    seconds = _median(play)
    stored = []
    for k in range(REPETITIONS):
        with Store(folder / f"{k}.sqlite", create=True) as store:
            store.set("spec", spec.to_json())
            store.set("game", GAME)
            for digest, reference in agents.items():
                store.add_agent(digest, digest, reference)
            began = time.process_time()
            for piece in played:
                store.add(piece)
            stored.append(time.process_time() - began)
    games = sum(map(len, played))
    return seconds / games, statistics.median(stored) / games


def makespan(tasks: Sequence[Work], cores: int, dispatch: float, free: float = 0.0) -> float:
    """Return when the last of some tasks has been folded, if the driver and all cores are free at `free`.

    The driver hands a task to a core when both are free, and folds a result when it comes; both take its time.
    """
    driver, workers, running = free, [free] * cores, []
    heapq.heapify(workers)
    waiting = list(reversed(tasks))
    while waiting or running:
        if waiting and len(running) < cores:
            task = waiting.pop()
            driver = max(driver, heapq.heappop(workers)) + dispatch
            heapq.heappush(running, (driver + task.seconds, task.folded))
        else:
            ended, folded = heapq.heappop(running)
            heapq.heappush(workers, ended)
            driver = max(driver, ended) + folded
    return driver


def in_rounds(rounds: Sequence[Sequence[Work]], cores: int, dispatch: float) -> float:
    """Return when the last of some rounds is over, each of which waits for all tasks of the one before."""
    now = 0.0
    for tasks in rounds:
        now = makespan(tasks, cores, dispatch, now)
    return now


def workloads(costs: Costs) -> dict[str, list[list[Work]]]:
    """Return rounds of tasks by what they are."""
    piece = Work(BATCH * costs.play, BATCH * costs.store)

    def games(pairs: int) -> list[Work]:
        return [piece] * -(-2 * pairs // BATCH)

    def training(learners: int, steps: int) -> list[Work]:
        # Learners do not take equally long: the first a fifth less than the mean, the last a fifth more.
        return [Work(steps * costs.train * (0.8 + 0.4 * k / max(1, learners - 1)), 0.0) for k in range(learners)]

    league = [part for _ in range(20) for part in (games(12 * 20 * 64), training(12, 500_000))]
    psro = {
        k: [part for n in range(60 + k - 1) for part in (games(200 * n * k), training(k, 500_000 // k))] for k in (1, 8)
    }
    return {
        "tournament: 1,000 agents, 19.98 million games": [[piece] * (999 * 1000 * 20 // BATCH)],
        "league: 12 learners, 20 rounds of 500,000 steps": league,
        "PSRO: 60 responses of 500,000 steps": psro[1],
        "the same with `pipeline: 8`": psro[8],
        "PBT: 64 members, 20 rounds of 500,000 steps": [training(64, 500_000) for _ in range(20)],
    }


def report(costs: Costs, cores: Sequence[int]) -> Iterator[str]:
    """Yield the lines of a table: wall time in minutes, and the share of the cores that works."""
    heads = [f"{n:,} core" + ("s" if n > 1 else "") for n in cores]
    yield f"| | CPU-hours | {' | '.join(heads)} |"
    yield f"| :-- | --: | {' | '.join('--:' for _ in cores)} |"
    for name, rounds in workloads(costs).items():
        whole = sum(task.seconds for tasks in rounds for task in tasks)
        cells = []
        for n in cores:
            wall = costs.start + in_rounds(rounds, n, costs.dispatch)
            cells.append(f"{wall / 60:,.1f} min, {whole / wall / n:.0%}")
        yield f"| {name} | {whole / 3600:.1f} | {' | '.join(cells)} |"


def main() -> None:
    """Measure, or read what was measured; print the costs and the schedules."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--ray", action="store_true", help="dispatch tasks by a local Ray")
    parser.add_argument("--json", type=Path, help="a file of costs: read if it is there, else written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.json and options.json.exists():
        costs = Costs(**json.loads(options.json.read_text()))
    else:
        costs = measure(options.ray)
    if options.json:
        options.json.write_text(json.dumps(asdict(costs), indent=1) + "\n")
    for name, value in asdict(costs).items():
        print(f"{name:10} {value:.6g}", flush=True)
    print("\n".join(report(costs, options.cores)))


if __name__ == "__main__":
    from tests.benchmarks import scaling  # under its name, by which workers find its functions

    scaling.main()
