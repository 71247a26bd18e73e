"""Refuse, before a run begins, what would not fit into memory; keep what a run frees; collect less garbage."""

import ctypes
import gc
import os
import platform
from functools import cache

from games.errors import UserError


def refuse_beyond_memory(count: int, what: str, size: float, copies: float, setting: str) -> None:
    """Raise UserError where `count` things of `size` bytes would not fit into memory.

    `copies` is the number of copies of each at the peak: while an array grows, or while rows are gathered for a
    checkpoint, which is written without a further copy.
    """
    memory = physical_memory()
    needed = count * size * copies
    if needed > memory:
        fit = int(count * 0.8 * memory / needed)
        remedy = (
            f"set {setting} to {fit:,} or fewer" if fit else "not one of them is sure to fit: choose a smaller game"
        )
        raise UserError(
            f"{count:,} {what} take up to {needed / 2**30:.1f} GiB, and this machine has {memory / 2**30:.1f}: {remedy}"
        )


def physical_memory() -> int:
    """Return this machine's memory, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


# Of glibc's mallopt (malloc.h). Setting one of them also keeps glibc from adapting the others.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for its next arrays; on glibc alone, elsewhere nothing happens.

    Training allocates and frees the same arrays at every step. glibc returns most of them to the kernel, which clears
    each page before it hands it out again: of an update's time up to a quarter.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(_MMAP_THRESHOLD, 32 << 20)  # the most that glibc takes
    mallopt(_TRIM_THRESHOLD, 1 << 30)
    mallopt(_TOP_PAD, 64 << 20)


@cache  # later, garbage that is not collected yet would stay
def collect_less() -> None:
    """Exempt what exists now, above all modules, from Python's garbage collection, once in a process.

    A search makes some 10,000 positions a second. Every few seconds a full collection would visit all objects of all
    modules: 1.7 microseconds for each simulation, of some 50.
    """
    gc.freeze()
