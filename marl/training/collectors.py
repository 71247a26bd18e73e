"""Collectors play the games of a learner, in this process or in worker processes.

    Collector          play and learn alternately, with the present actors
    WorkerCollector    play in worker processes during learning, with the actors of one update before:

        workers    | generation 1 |   generation 2   |   generation 3   |
        learner                   | update 1         | update 2         |
                   actors of:  0                  0                  1

All randomness comes from keys, so the games do not depend on the number of workers. A worker that dies is replaced, and
its games of the present stretch are played again from their keys, for which the actors of every generation are kept.
"""

import logging
import pickle  # noqa: TID251 - from a run to its own workers, never in a file
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from games.contract import Spec, VecEnv
from games.errors import RunFailed, WorkerDied, numbered_from
from games.keys import Keys, fold, stream
from games.processes import Worker, shares, stop_all
from games.registry import make
from marl.agents.entrants import Entrant
from marl.agents.load import load_entrant
from marl.base.memory import collect_less, keep_freed_memory
from marl.rollout.agent import Agent
from marl.rollout.loop import Carry, play_steps, rollout
from marl.rollout.recording import Moment, Recording, side_by_side
from marl.rollout.seating import Draw, Seating
from marl.rollout.types import Trajectory

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Beginning:
    """The start of a stretch: the seating and how opponents take seats of it, and the keys of agents and episodes."""

    seating: Seating  # [E, N]
    draw: Draw | None
    streams: Keys  # [roster]
    seeds: Keys  # [E]

    def share(self, start: int, stop: int) -> "Beginning":
        """Return the part for the environments from `start` to `stop`, excluded."""
        return Beginning(self.seating[start:stop], self.draw, self.streams, self.seeds[start:stop])

    def carry(self, venv: VecEnv, roster: Sequence[Agent]) -> Carry:
        return Carry(venv, roster, self.streams, self.seeds)


def beginning(key: int, seating: Seating, roster: int, draw: Draw | None = None) -> Beginning:
    """Return the beginning of a stretch from its `key`, for a roster of so many agents."""
    streams, seeds = fold(stream(key, "agents"), np.arange(roster)), fold(key, np.arange(len(seating)))
    return Beginning(seating, draw, streams, seeds)


class Collector:
    """Play in this process, `length` steps a generation."""

    elsewhere = 0.0  # CPU-seconds spent in other processes, so far

    def __init__(self, venv: VecEnv, length: int) -> None:
        self._venv, self._length = venv, length

    def open(self, actors: Sequence[Agent], opponents: Sequence[Entrant], how: Beginning) -> None:
        """Drop the open episodes, and open a new one in every environment; the roster is `actors` and `opponents`."""
        self._roster = [*actors, *(entrant.answerable(self._venv.spec) for entrant in opponents)]
        self._beginning, self._carry = how, how.carry(self._venv, self._roster)

    def begin(self, *, closing: bool = False) -> None:
        """Start to play the next generation; with `closing`, of the open episodes only (`loop.play_steps`)."""
        self._closing = closing

    def take(self) -> Trajectory:
        """Return the recording of the generation that was begun."""
        how = self._beginning
        return rollout(
            self._venv, self._roster, how.seating, self._carry, self._length, how.draw, closing=self._closing
        )

    def close(self) -> None:
        """Stop the worker processes, if there are any."""


class WorkerCollector(Collector):
    """Play in worker processes, each of which holds a share of the environments.

    Raises what a worker raised; WorkerDied if one dies twice while playing the same games, or if more than MOST_DEATHS
    die in a stretch.
    """

    MOST_DEATHS = 8

    def __init__(self, game: str, num_envs: int, workers: int, length: int) -> None:
        parts = enumerate(shares(num_envs, workers))
        self._tables = [Table(game, index, start, stop) for index, (start, stop) in parts]
        self._length = length
        self._workers: list[Worker] = []
        self._stop = weakref.finalize(self, stop_all, self._workers)

    def open(self, actors: Sequence[Agent], opponents: Sequence[Entrant], how: Beginning) -> None:
        self._actors, self._beginning, self._deaths = actors, how, 0
        self._opponents = [(entrant.reference, entrant.digest) for entrant in opponents]
        self._recording = Recording()
        # The pickled actors of each generation of the stretch, and whether it plays the open episodes only.
        self._generations: list[tuple[bytes, bool]] = []
        if not self._workers:
            self._workers += [self._start_worker(table) for table in self._tables]

    def begin(self, *, closing: bool = False) -> None:
        actors = pickle.dumps(list(self._actors))
        if self._generations and self._generations[-1][0] == actors:
            actors = self._generations[-1][0]  # kept once
        self._generations.append((actors, closing))
        for index in range(len(self._workers)):
            self._ask(index, len(self._generations) - 1)

    def take(self) -> Trajectory:
        try:
            parts = [self._answer(index) for index in range(len(self._workers))]
        except BaseException:
            self.close()
            raise
        return self._recording.add(side_by_side(parts))

    def close(self) -> None:
        self._stop()

    def _start_worker(self, table: "Table") -> Worker:
        return Worker(str(table), "marl.training.collectors:Host", [table])

    def _ask(self, index: int, generation: int) -> None:
        table = self._tables[index]
        actors, closing = self._generations[generation]
        opening = None
        if generation == 0:
            opening = self._beginning.share(table.start, table.stop), self._opponents
        self._workers[index].ask("play", actors, opening, self._length, closing)

    def _answer(self, index: int) -> list[Moment]:
        try:
            return self._received(index)
        except WorkerDied as error:
            self._deaths += 1
            if self._deaths > self.MOST_DEATHS:
                raise
            _log.warning("%s; another one plays its games again", str(error).partition(";")[0])
            self._workers[index].connection.close()
            self._workers[index] = self._start_worker(self._tables[index])
            for generation in range(len(self._generations) - 1):
                self._ask(index, generation)
                self._received(index)
            self._ask(index, len(self._generations) - 1)
            return self._received(index)

    def _received(self, index: int) -> list[Moment]:
        moments: list[Moment]
        moments, spent = self._workers[index].answer()
        self.elsewhere += spent
        return moments


@dataclass(frozen=True)
class Table:
    """The environments `start` to `stop` (excluded) that one worker plays."""

    game: str
    worker: int
    start: int
    stop: int

    def __str__(self) -> str:
        return f"rollout worker {self.worker} of '{self.game}' (environments {self.start} to {self.stop - 1})"


Named = tuple[str, str]  # an opponent's reference and digest


class Host:
    """The part of a worker process: play the environments of its table."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._venv: VecEnv | None = None
        self._opponents: dict[Named, Agent] = {}
        self._spent = 0.0

    def play(
        self, actors: bytes, opening: tuple[Beginning, Sequence[Named]] | None, length: int, closing: bool
    ) -> tuple[list[Moment], float]:
        """Play one generation, from a beginning or from where the one before ended; `closing`: as `loop.play_steps`.

        Returns its moments, and the CPU-seconds that this process has spent since the previous call.
        """
        if self._venv is None:
            torch.set_num_threads(1)
            keep_freed_memory()
            collect_less()
            self._venv = make(self._table.game, self._table.stop - self._table.start)
        if opening is not None:
            self._load(self._venv.spec, opening[1])
        roster: list[Agent] = [*pickle.loads(actors), *(self._opponents[named] for named in self._named)]
        with numbered_from(self._table.start):
            if opening is not None:
                self._beginning, self._carry = opening[0], opening[0].carry(self._venv, roster)
            how = self._beginning
            moments = play_steps(self._venv, roster, how.seating, self._carry, length, how.draw, closing=closing)
        before, self._spent = self._spent, time.process_time()
        return moments, self._spent - before

    def _load(self, spec: Spec, named: Sequence[Named]) -> None:
        """Load the opponents of a stretch; those of the stretch before are there, and the others are forgotten."""
        kept = {name: agent for name, agent in self._opponents.items() if name in named}
        for reference, digest in named:
            if (reference, digest) in kept:
                continue
            entrant = load_entrant(reference, spec)
            if entrant.digest != digest:
                raise RunFailed(
                    f"the opponent '{reference}' changed while it was being played against; go on with --resume"
                )
            kept[reference, digest] = entrant.answerable(spec)
        self._named, self._opponents = named, kept
