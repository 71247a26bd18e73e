"""Refuse, before a run begins, what would not fit into memory."""

import os

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
