"""What the benchmarks share: rates by CPU time, their medians, and a process for each benchmark."""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

Row = tuple[str, str, str]  # what was measured, the result, what it should be
Work = Callable[[], int]  # do something and return how many times
Benchmark = Callable[[argparse.Namespace], Iterator[Row]]


def per_second(work: Work) -> float:
    """Do something once; return how often that is a CPU-second."""
    start = time.process_time()
    done = work()
    return done / (time.process_time() - start)


def medians(*works: Work, repetitions: int = 7) -> list[float]:
    """Return how often a CPU-second each work is done: the median of repetitions that alternate, after one to warm."""
    for work in works:
        work()
    rates = [[per_second(work) for work in works] for _ in range(repetitions)]
    return [statistics.median(column) for column in zip(*rates, strict=True)]


def clock(spent: dict[str, float], part: str, of: Any, name: str) -> None:
    """Add up the CPU time of a method in `spent[part]`."""
    method: Callable[..., Any] = getattr(of, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.process_time()
        try:
            return method(*args, **kwargs)
        finally:
            spent[part] = spent.get(part, 0.0) + time.process_time() - start

    setattr(of, name, timed)


def run(module: str, benchmarks: dict[str, Benchmark], parser: argparse.ArgumentParser) -> None:
    """Print the rows of every benchmark, each in a process of its own; those of --only in this one."""
    parser.add_argument("--only", choices=benchmarks, help="run one benchmark, in this process")
    parser.add_argument("--repetitions", type=int, default=7, help="of which the median is shown")
    options = parser.parse_args()
    if options.only is None:
        print("| measured | result | target |\n| :-- | --: | --: |", flush=True)
        one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
        for name in benchmarks:
            subprocess.run([sys.executable, "-m", module, *sys.argv[1:], "--only", name], env=one_thread, check=True)
        return
    torch.set_num_threads(1)
    for row in benchmarks[options.only](options):
        print(f"| {' | '.join(row)} |", flush=True)
