"""How far a run is, read from the ends of its files: a list of runs reads no log whole."""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from games.errors import UserError
from marl.base.files import parse_json
from marl.base.lock import FILE as LOCK
from marl.base.lock import holder
from marl.base.schema import load
from marl.training.config import TrainConfig
from marl.training.runlog import EVALUATIONS, TAIL, logged_step
from tournaments.web.places import CONFIG, Mark, Place

STATES = {
    "running": "training now",
    "finished": "reached its last step",
    "stopped": "ended before its last step; --resume goes on",
    "killed": "its process was killed; --resume goes on",
    "unreadable": "its config cannot be read",
}


@dataclass(frozen=True)
class Evaluated:
    """The newest evaluation against an opponent: the mean return over all seats, and by seat."""

    against: str
    step: int
    value: float
    by_seat: Sequence[float]
    length: float | None

    @property
    def text(self) -> str:
        """The mean return."""
        return f"{self.value:+.3g}"


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    place: Place
    state: str  # of STATES
    step: int
    config: TrainConfig | None  # None where it cannot be read
    fault: str  # why it cannot
    evaluations: Sequence[Evaluated]  # the newest against each opponent
    changed: float  # seconds since 1970

    @property
    def share(self) -> float:
        """How much of the run is done, from 0 to 1."""
        return min(1.0, self.step / self.config.steps) if self.config else 0.0

    @property
    def algorithm(self) -> str:
        """The name of its algorithm."""
        return str(self.config.algorithm.get("name", "—")) if self.config else "—"


def progress_of(place: Place) -> Progress:
    """Return how far a run is, as its files say now."""
    mark = place.mark
    config, fault, step, newest = _read(place.path, mark)
    changed = max((found[3] for found in mark), default=0) / 1e9
    return Progress(place, _state(place.path, config, step), step, config, fault, newest, changed)


@lru_cache(maxsize=4096)
def _read(run: Path, mark: Mark) -> tuple[TrainConfig | None, str, int, Sequence[Evaluated]]:
    """Return a run's config, or why it cannot be read, its last step and its newest evaluations; with that mark."""
    config, fault = None, ""
    try:
        config = _config(run / CONFIG, next((tuple(rest) for name, *rest in mark if name == CONFIG), ()))
    except UserError as error:
        fault = str(error)
    return config, fault, logged_step(run), _newest_evaluations(run)


@lru_cache(maxsize=4096)
def _config(path: Path, mark: tuple[int, ...]) -> TrainConfig:
    """Return the config in a file that has that mark, which is as it was where the logs alone grow."""
    return load(TrainConfig, path, record=True)


def _state(run: Path, config: TrainConfig | None, step: int) -> str:
    if holder(run) is not None:
        return "running"
    if config is None:
        return "unreadable"
    if step >= config.steps:
        return "finished"
    return "killed" if (run / LOCK).exists() else "stopped"


def _newest_evaluations(run: Path) -> list[Evaluated]:
    """Return the newest evaluation against each opponent that stands near the end of the log."""
    found: dict[str, Evaluated] = {}
    try:
        with (run / EVALUATIONS).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            lines = file.read().splitlines()
    except OSError:
        return []
    for text in lines:
        # An incomplete line is still being written, or is the first of the tail.
        with suppress(ValueError, KeyError, TypeError):
            line: dict[str, Any] = parse_json(text.decode())
            by_seat = [float(value) for value in np.atleast_1d(line["return_mean"])]
            length = float(line["length_mean"]) if "length_mean" in line else None
            against = str(line["against"])
            found[against] = Evaluated(against, int(line["step"]), float(np.mean(by_seat)), by_seat, length)
    return list(found.values())
