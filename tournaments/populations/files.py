"""The files of a population: its members, and what each round measured, found and decided.

    population.json            the members, in the order in which they joined, and the mixture
    rounds/0007/cells.json     how many pairs of games each two members are to have
                payoff.json    the payoff table
                meta.json      what it says
                decision.json  whom the learners meet
                made.json      the checkpoints that a league's learners have made of it; begun.json: those of step 0
                end.json       why there is no next round, where the last iteration was not needed

Every file is written whole, and says the same whenever it is written again.
"""

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np

from games.errors import RunFailed, UserError
from marl.agents.populations import FILE, listed
from marl.base.files import parse_json, read_text, write_text
from marl.base.parcels import Reads
from tournaments.ratings.table import Table

ROUNDS = "rounds"
CELLS, PAYOFF, META, DECISION, END = "cells", "payoff", "meta", "decision", "end"
BEGUN, MADE = "begun", "made"
_KEYS = {
    CELLS: {"pairs"},
    PAYOFF: {"agents"},
    META: {"round"},
    DECISION: {"round"},
    BEGUN: {"learners"},
    MADE: {"learners"},
}  # of the files that are read again
FORMAT = 2

Weights = Mapping[str, Sequence[float]]  # by the members' digests, by seat; members of weight 0 in all are left out


@dataclass(frozen=True)
class Member:
    """A frozen agent: a checkpoint in the population's folder, or an agent that the config names."""

    id: str
    digest: str
    role: str  # start, response, or that of a league's learner
    round: int  # the first whose table it is in
    reference: str | None = None  # as the config has it
    checkpoint: str | None = None  # relative to the population's folder
    algorithm: str | None = None
    step: int | None = None
    seed: int | None = None
    learner: str | None = None  # the id of the learner that it is, or was when it froze
    parent: str | None = None  # the id of the member from which it descends
    diverged: str | None = None  # why its training ended before its last step

    def named(self, folder: Path) -> str:
        """Return the reference that loads the member; its files go where it is read (marl/base/parcels.py)."""
        return Reads(self.reference or folder / str(self.checkpoint))


@dataclass(frozen=True)
class Mixture:
    """The weights [2] of the members by seat, by their digests, and the round that found them."""

    round: int
    weights: Mapping[str, Sequence[float]]


def write_population(folder: Path, game: str, members: Sequence[Member], mixture: Mixture | None) -> None:
    """Write population.json, without a mixture where there is none; raises RunFailed where it cannot be written."""
    entries = [{key: value for key, value in asdict(member).items() if value is not None} for member in members]
    mixed = {} if mixture is None else {"mixture": asdict(mixture)}
    _write(folder / FILE, {"format": FORMAT, "game": game, "members": entries} | mixed)


def read_members(folder: Path) -> list[Member]:
    """Return the members that population.json lists; none where it is not there yet."""
    try:
        return [Member(**member.model_dump(exclude_unset=True)) for member in listed(folder).members]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, UserError) as error:
        raise _unreadable(folder / FILE, str(error)) from error


class Round:
    """The files of one round."""

    def __init__(self, folder: Path, number: int) -> None:
        self.number, self._folder = number, folder / ROUNDS / f"{number:04d}"

    def read(self, name: str) -> Any:
        """Return what was written under a name; None where nothing was."""
        return _read(self._folder / f"{name}.json", _KEYS.get(name, set()))

    def found(self) -> Any:
        """Return the solution of a round that is over; None for one that is not, or whose table is gone."""
        return self.read(META) if (self._folder / f"{PAYOFF}.json").exists() else None

    def write(self, name: str, data: Mapping[str, Any]) -> None:
        """Write data under a name; raises RunFailed where it cannot be written."""
        _write(self._folder / f"{name}.json", {"round": self.number} | dict(data))


def solutions(folder: Path) -> list[Any]:
    """Return the solutions of the rounds that are over, from the first, in order."""
    found = (Round(folder, number).found() for number in count())
    return list(takewhile(lambda meta: meta is not None, found))


def findings(folder: Path) -> list[Any]:
    """Return what the rounds of a method without payoff tables have found, from the first, in order."""
    found = (Round(folder, number).read(META) for number in count())
    return list(takewhile(lambda meta: meta is not None, found))


def opponents_of(decision: Mapping[str, Any] | None, learner: str) -> Weights:
    """Return whom a learner meets by a round's decision; populations of before had one learner in a round."""
    if decision is None:
        return {}
    if "opponents" in decision:
        return dict(decision["opponents"]) if decision["response"] == learner else {}
    return dict(decision["learners"].get(learner, {"opponents": {}})["opponents"])


def table_of(round: Round) -> Table:
    """Return the payoff table of a round that is over, as it was written."""
    written = round.read(PAYOFF)
    payoff, error, games = (np.array(written[name]) for name in ("payoff", "error", "games"))
    return replace(Table.exact(written["agents"], payoff), error=error, games=games)


def finite(number: float) -> float | None:
    """Return a number as JSON data: null where it is infinite or not a number."""
    return float(number) if np.isfinite(number) else None


def payoff_json(table: Table) -> dict[str, Any]:
    """Return a payoff table as JSON data."""
    numbers = {name: getattr(table, name).tolist() for name in ("payoff", "error", "games")}
    return {"agents": list(table.agents)} | numbers


def _write(path: Path, data: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")
    except OSError as error:
        raise RunFailed(
            f"'{path}' could not be written ({error}); what was written before is kept: make room, and go on with "
            "--resume"
        ) from error


def _read(path: Path, keys: Set[str]) -> Any:
    try:
        data = parse_json(read_text(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(path, str(error)) from error
    if not isinstance(data, dict) or (lacks := keys - data.keys()):
        raise _unreadable(path, f"it lacks {min(lacks)}" if isinstance(data, dict) else "it has no keys")
    return data


def _unreadable(path: Path, why: str) -> RunFailed:
    return RunFailed(f"'{path}' cannot be read ({why}); delete it, and --resume makes it again from games and members")
