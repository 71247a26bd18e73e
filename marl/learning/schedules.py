"""Schedules: how exploration and learning rates change over a run, and how many updates are due."""


def ramp(start: float, end: float, steps: int, duration: int) -> float:
    """Return the value after `steps` of a linear change from `start` to `end`, which is reached after `duration`."""
    progress = min(1.0, steps / duration)
    return float(start + progress * (end - start))


def annealed(value: float, steps: int, total_steps: int) -> float:
    """Return `value` after `steps` of a linear decay to 0 at `total_steps`, 0 afterwards.

    It does not use `ramp`, whose rounding differs: runs of earlier versions must give the same bytes.
    """
    return value * max(0.0, 1 - steps / total_steps)


def due(before: int, after: int, every: int) -> int:
    """Return how many updates are due between two step counts, with one update after every `every` steps."""
    return after // every - before // every
