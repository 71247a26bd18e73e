"""What a population has done so far, read from its files: for its status, its report, and who descends from whom.

A method says in its own history what its rounds found: as facts, as columns of the members' table, and as sections of
the report.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from games.errors import UserError, nearest
from marl.base.intervals import interval
from tournaments.populations.files import DECISION, END, PAYOFF, Member, Round, read_members, solutions
from tournaments.populations.settings import AdvancingConfig
from tournaments.reports.pairs import written

NOTHING = "—"  # in a table, where there is no value

Config = TypeVar("Config", bound=AdvancingConfig)


def with_error(mean: float, error: float, seeds: float | None) -> str:
    """Return a mean with its 95 % interval, Student's t, as text; without one where it is exact.

    `seeds` is the effective number of them; None where that is not known, as in populations of before, or infinite.
    """
    return written(mean, float(interval(np.asarray(error), np.inf if seeds is None else seeds)) if error else None)


@dataclass(frozen=True)
class Line:
    """A curve over rounds."""

    name: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Shares:
    """How a whole is shared among members, by round."""

    title: str
    names: Sequence[str]
    rows: Sequence[Sequence[float]]  # [rounds][members], each from 0 to 1


@dataclass(frozen=True)
class Section:
    """A part of the report."""

    title: str
    text: str
    lines: Sequence[Line] = ()
    shares: Sequence[Shares] = ()
    columns: Sequence[str] = ()  # titles of a table, whose first column names
    rows: Sequence[Sequence[str]] = ()

    @property
    def id(self) -> str:
        """Its anchor in the page."""
        return self.title.lower().replace(" ", "-").replace(".", "-")


@dataclass(frozen=True)
class Payoffs:
    """What the agents of a round are paid in the first seat: the row's against the column's; None: not known."""

    round: int
    names: Sequence[str]
    paid: Sequence[Sequence[float | None]]


@dataclass(frozen=True)
class History(ABC, Generic[Config]):
    """A population's members and the rounds that are over, in order."""

    folder: Path
    config: Config
    members: Sequence[Member]
    found: Sequence[Mapping[str, Any]]  # meta.json of each round

    about: ClassVar[str]  # the method, in words
    begins: ClassVar[str] = "the first members meet"  # with what it begins
    columns: ClassVar[Sequence[str]] = ()  # of what `row` says, where these do not depend on the config
    met_columns: ClassVar[Sequence[str]] = ()  # the titles of a member's opponents, and of their weights

    @classmethod
    def read(cls, folder: Path, config: Config) -> "History[Config]":
        """Read what a population with this config has left in its folder."""
        return cls(folder, config, read_members(folder), solutions(folder))

    @property
    def over(self) -> bool:
        """Whether no round is to come."""
        last = len(self.found) - 1
        return last >= self.rounds or Round(self.folder, last).read(END) is not None

    @property
    def rounds(self) -> int:
        """How many rounds train."""
        return self.config.rounds

    @property
    def game(self) -> str:
        """The game that members play."""
        return self.config.game

    @property
    def plays_as(self) -> str | None:
        """What plays as the population does, in words; None before anything does."""
        return f"its mixture plays as: mixture({self.folder})"

    @property
    def rounds_over(self) -> int:
        """How many rounds have trained."""
        return max(0, len(self.found) - 1)

    @cached_property
    def name(self) -> Mapping[str, str]:
        """The members' ids by digest."""
        return {member.digest: member.id for member in reversed(self.members)}  # a copy by its first id

    def payoff(self, number: int) -> Any:
        """Return the payoff table of a round."""
        return Round(self.folder, number).read(PAYOFF)

    def decision(self, number: int) -> Any:
        """Return what was decided in a round; None where that is not decided."""
        return Round(self.folder, number).read(DECISION)

    @property
    def doing(self) -> str:
        """What is done next, in words."""
        if self.over:
            return "it is done"
        return self._does(self._training(len(self.found) - 1)) if self.found else self.begins

    def _does(self, learners: Mapping[str, tuple[int, int]]) -> str:
        """Return what is done next in words, by the steps of those that train."""
        if all(steps >= until for steps, until in learners.values()):
            return f"{' and '.join(learners)} {'meets' if len(learners) == 1 else 'meet'} the others"
        return "; ".join(f"{name} trains: step {steps:,} of {until:,}" for name, (steps, until) in learners.items())

    def member(self, text: str) -> Member:
        """Return the member with an id, or with a digest that begins so; raises UserError for none or several."""
        found = [each for each in self.members if each.id == text]
        found = found or [each for each in self.members if text and each.digest.startswith(text)]
        if len(found) == 1:
            return found[0]
        ids = [each.id for each in self.members]
        what = f"which {len(found)} have" if found else f"which none has{nearest(text, ids) or '; `status` lists them'}"
        raise UserError(f"expected a member's id or the beginning of its digest, got '{text}', {what}")

    def to_json(self) -> dict[str, Any]:
        """Return the status as JSON data."""
        whole = {
            "method": self.config.method,
            "game": self.game,
            "rounds": len(self.found),
            "iterations": self.rounds,
            "next": self.doing,
        }
        return whole | self.more | {"members": [self.about_member(member) for member in self.members]}

    def about_member(self, member: Member) -> dict[str, Any]:
        """Return what the status says of a member, as JSON data."""
        said = {
            name: getattr(member, name) for name in ("id", "role", "round", "reference", "digest", "step", "diverged")
        }
        return said | self.worth(member)

    def origin(self, member: Member) -> dict[str, Any]:
        """Return from where a member came and whom it was trained against, as JSON data."""
        said = {name: getattr(member, name) for name in ("id", "digest", "role", "round", "reference")}
        return said | {"opponents": [{"id": self.name[digest], "weights": met} for digest, met in self.met(member)]}

    @property
    def descent_columns(self) -> Sequence[str]:
        """The titles of what `descent` says."""
        return self.met_columns

    def descent(self, member: Member) -> Sequence[Sequence[str]]:
        """Return rows of text about where a member came from: whom it was trained against."""
        return [[self.name[digest], *(f"{weight:.3f}" for weight in met)] for digest, met in self.met(member)]

    def replay(self, member: Member, folder: str) -> list[str]:
        """Return the commands that train a member again, in order; raises UserError where its method has none."""
        raise UserError(
            f"expected a population of method: pbt to replay a member, got method: {self.config.method}; leave "
            "--config out"
        )

    @property
    def titles(self) -> Sequence[str]:
        """The titles of what `row` says."""
        return self.columns

    @property
    @abstractmethod
    def more(self) -> dict[str, Any]:
        """What the status says of the whole beside what all methods do, as JSON data."""

    @property
    @abstractmethod
    def headline(self) -> str | None:
        """What the newest round found, in words; None before there is anything."""

    @property
    @abstractmethod
    def facts(self) -> Sequence[tuple[str, str]]:
        """What the report says first, with its names."""

    @property
    @abstractmethod
    def warnings(self) -> Iterator[str]:
        """What a reader should know before the numbers are trusted."""

    @property
    def diverged(self) -> Iterator[str]:
        """Which members' training diverged, and how."""
        for member in self.members:
            if member.diverged:
                yield f"{member.id} diverged: {member.diverged}"

    @property
    @abstractmethod
    def sections(self) -> Sequence[Section]:
        """The parts of the report."""

    @abstractmethod
    def table(self, number: int) -> Payoffs | None:
        """Return the payoff table of a round that is over; None where its method has none."""

    @abstractmethod
    def row(self, member: Member) -> Sequence[str]:
        """Return what a member is worth, as text under `columns`."""

    @abstractmethod
    def worth(self, member: Member) -> dict[str, Any]:
        """Return what a member is worth, as JSON data."""

    @abstractmethod
    def made_by(self, member: Member) -> str:
        """Return what made a member: the algorithm, or the reference that the config has."""

    @abstractmethod
    def met(self, member: Member) -> Sequence[tuple[str, Sequence[float]]]:
        """Return whom a member was trained against, by digest, with weights, under `met_columns`."""

    @staticmethod
    def _cells(table: Mapping[str, Any], member: Member, other: Member) -> list[dict[str, Any]]:
        """Return what a member was paid against another by a payoff table, by its seat, as JSON data."""
        if not {member.digest, other.digest} <= set(table["agents"]):
            return []
        i, j = (table["agents"].index(each.digest) for each in (member, other))
        names = ("payoff", "error", "games")
        return [{"seat": seat} | {name: table[name][seat][i][j] for name in names} for seat in range(2)]

    @abstractmethod
    def cells(self, member: Member, other: Member) -> list[dict[str, Any]]:
        """Return what a member was paid against another, by its seat, by the newest table, as JSON data."""

    @abstractmethod
    def _training(self, number: int) -> Mapping[str, tuple[int, int]]:
        """Return the step of each learner that trains in a round, and the step at which its round ends."""
