"""How many threads torch computes with, in processes that may never import it: to import it costs 2 CPU-seconds."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_OF_TORCH = "OMP_NUM_THREADS"  # what torch reads when it is imported


def use_one_thread() -> None:
    """Let torch compute with one thread, if it is imported, and if it will be: results may depend on the number."""
    os.environ[_OF_TORCH] = "1"
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@contextmanager
def threads_kept() -> Iterator[None]:
    """Afterwards let torch compute with as many threads as before."""
    torch, named = sys.modules.get("torch"), os.environ.get(_OF_TORCH)
    before = torch.get_num_threads() if torch else 0
    try:
        yield
    finally:
        if named is None:
            os.environ.pop(_OF_TORCH, None)
        else:
            os.environ[_OF_TORCH] = named
        if torch:
            torch.set_num_threads(before)
