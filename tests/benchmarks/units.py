"""What units of work cost beside the work itself: ids, journal, worker processes; and a population beside another
checkout of this project.

    git clone . ../before && git -C ../before checkout COMMIT
    python -m tests.benchmarks.units --base ../before

All times are CPU time with one thread; children are counted. The variants alternate, and medians are shown.

    journal      200 units in this process, beside the same calls without ids and without a journal
    processes    200 empty units by two workers, beside two processes that only import what a unit does
    population   `marl population` of four short members, beside the other checkout
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from marl.base.units import Journal, Unit, work
from tests.benchmarks import timing
from tests.benchmarks.timing import Row

HERE = Path(__file__).parents[2]
UNITS = 200
SIZE = 128  # of a matrix; which a unit multiplies PRODUCTS times: about 30 ms
PRODUCTS = 1000
REPETITIONS = 5
CONFIG = {"member": "m", "algorithm": {f"setting-{number}": number / 7 for number in range(40)}}  # as large as a run's
MEMBER = {
    "game": "openspiel:tic_tac_toe",
    "algorithm": {"name": "ippo", "hidden": [64, 64]},
    "steps": 20_000,
    "stretch": 10_000,
    "evaluation": {"panel": ["random"], "seeds": 20},
}


def multiply(number: int, products: int) -> dict[str, float]:
    """Do what a unit does."""
    torch.set_num_threads(1)
    matrix = torch.eye(SIZE)
    for _ in range(products):
        matrix = matrix @ matrix
    return {"trace": float(matrix.trace()), "number": number}


def units(products: int) -> dict[Unit, tuple[int, int]]:
    return {Unit("train", CONFIG | {"number": number}, number): (number, products) for number in range(UNITS)}


def journalled(products: int, workers: int) -> None:
    """Work through the units, and write a journal."""
    from tests.benchmarks.units import multiply  # under a name by which a worker finds it

    with tempfile.TemporaryDirectory() as folder:
        work(Journal(Path(folder) / "journal.jsonl"), units(products), multiply, workers)


def bare(products: int) -> None:
    for number in range(UNITS):
        multiply(number, products)


def worker() -> None:
    """Start a process that imports what a unit does."""
    subprocess.run([sys.executable, "-c", "import tests.benchmarks.units"], cwd=HERE, check=True)


def spent(act: Callable[[], object]) -> float:
    """Return the CPU seconds of this process and of its children that have ended."""

    def now() -> float:
        kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))

    start = now()
    act()
    return now() - start


def medians(*acts: Callable[[], object]) -> list[float]:
    rounds = [[spent(act) for act in acts] for _ in range(REPETITIONS)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def journal(_: argparse.Namespace) -> Iterator[Row]:
    with_journal, without = medians(lambda: journalled(0, 1), lambda: bare(0))
    each = (with_journal - without) / UNITS
    yield "id and journal line of a unit, CPU-milliseconds", f"{each * 1e3:.2f}", ""
    with_journal, without = medians(lambda: journalled(PRODUCTS, 1), lambda: bare(PRODUCTS))
    what = f"{UNITS} units of {PRODUCTS} products of {SIZE}x{SIZE} matrices"
    yield f"{what}, CPU-milliseconds each", f"{1e3 * without / UNITS:.0f}", ""
    yield f"{what}: with a journal / without", f"{with_journal / without:.3f}", "at most 1.10"


def processes(_: argparse.Namespace) -> Iterator[Row]:
    empty, none = medians(lambda: journalled(0, 2), lambda: [worker() for _ in range(2)])
    yield f"two workers and {UNITS} empty units, CPU-seconds", f"{empty:.2f}", ""
    yield "of that, two processes that import torch", f"{none:.2f}", ""


def population(options: argparse.Namespace) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as home:
        config = {"workers": 2, "members": {f"m{k}": {"train": "member.json", "set": {"seed": k}} for k in range(4)}}
        for name, text in (("member", MEMBER), ("population", config)):
            (Path(home) / f"{name}.json").write_text(json.dumps(text))
        count = iter(range(1000))

        def train(root: Path) -> None:
            command = [sys.executable, "-m", "marl", "population", "population.json", "--run-dir", f"run{next(count)}"]
            environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
            subprocess.run(command, cwd=home, env=environment, check=True, stdout=subprocess.DEVNULL)

        roots = [HERE, *([options.base.resolve()] if options.base else [])]
        found = medians(*(lambda root=root: train(root) for root in roots))
        what = f"`marl population` of four members of {MEMBER['steps']:,} steps"
        yield f"{what}, CPU-seconds", f"{found[0]:.2f}", ""
        if options.base:
            yield f"{what}: beside the other checkout", f"{found[0] / found[1]:.3f}", "at most 1.10"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--base", type=Path, help="another checkout, to compare")
    timing.run("tests.benchmarks.units", {"journal": journal, "processes": processes, "population": population}, parser)
