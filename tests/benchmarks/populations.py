"""What the machinery of a population costs beside its work, which is training responses and playing games.

    python -m tests.benchmarks.populations
    python -m tests.benchmarks.populations --config psro_leduc --set response=100_000 --iterations 10

CPU time with one thread, in one process, without imports. The machinery is all that is neither a response nor a game:
the store, payoff tables, their solution, units and journal, files, writers. Exploitability, which a config may leave
out, stands by itself: reading the members' policies, and NashConv by the whole tree of the game.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from marl.base.origin import typed
from marl.training.writers import load_writers
from tests.benchmarks import timing
from tests.benchmarks.timing import Row, clock
from tournaments.playing import play
from tournaments.populations import loop
from tournaments.populations.config import load_population
from tournaments.populations.policies import Policies
from tournaments.populations.psro import loop as rounds

MACHINERY = 0.10  # of the work


def psro(options: argparse.Namespace) -> Iterator[Row]:
    settings = load_population(
        Path(options.config), typed([f"iterations={options.iterations}", "workers=1", *options.set])
    )
    for writer in load_writers(settings.writers).values():  # which import their packages when they are opened
        with tempfile.TemporaryDirectory() as folder:
            writer.open(Path(folder), {}, -1)
            writer.close()
    spent: dict[str, float] = {}
    clock(spent, "work", rounds, "respond")
    clock(spent, "work", play, "play_chunk")
    for part in ("read", "nash_conv"):
        clock(spent, "exploitability", Policies, part)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        loop.run(settings, Path(folder) / "run", resume=False)
        whole = time.process_time() - start
    work, exploitability = spent["work"], spent.get("exploitability", 0.0)
    machinery = whole - work - exploitability
    what = f"{options.config}, {options.iterations} responses"
    yield f"{what}: CPU-seconds of training and games", f"{work:.1f}", ""
    yield f"{what}: the machinery beside these", f"{machinery / work:.3f}", f"{MACHINERY} at most"
    yield f"{what}: exploitability beside these", f"{exploitability / work:.3f}", ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="psro_kuhn")
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="a change of the config, as of marl population")
    timing.run("tests.benchmarks.populations", {"psro": psro}, parser)
