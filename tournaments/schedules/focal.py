"""Focal agents in the company of background agents, as Melting Pot evaluates them (Leibo et al. 2021).

A focal agent holds k of the N seats, copies of it if k > 1, and background agents hold the others. Its score is what
its seats are paid on average. Each seed draws its company from the background, the same one for all focal agents.
(https://proceedings.mlr.press/v139/leibo21a.html)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from games.errors import UserError
from games.keys import fold_one, stream, uniform_one
from marl.base.intervals import interval
from marl.base.schema import Frozen, References, Sizes
from tournaments.ratings.payoffs import Means
from tournaments.records.results import Results
from tournaments.schedules.rounds import Entry, Match, Matches, OneRound, Outcome, Read


class FocalConfig(Frozen):
    """Each focal agent in each number of `seats`, with companies of the others: `seeds` for each of both."""

    kind: Literal["focal"] = "focal"
    focal: References = Field(min_length=1)  # of `agents`; the others are the background
    seats: Sizes = ()  # how many a focal agent holds: each number is played; 1 to N − 1 by default
    floor: float | None = None  # the payoff that is shown as 0
    ceiling: float | None = None  # the payoff that is shown as 1

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if (self.floor is None) != (self.ceiling is None):
            raise ValueError("expected both floor and ceiling or neither, got one of them")
        if self.floor is not None and self.ceiling is not None and not self.floor < self.ceiling:
            raise ValueError(f"expected a floor below the ceiling, got {self.floor:g} and {self.ceiling:g}")
        return self

    def schedule(self, entry: Entry) -> OneRound:
        """Return the schedule of some agents; raises UserError where it does not fit them."""
        players = entry.rules.sides
        focal = entry.find("focal", self.focal)
        background = sorted(set(entry.agents).difference(focal))
        if not background:
            raise UserError("expected agents that are not focal, got none; add the background to 'agents'")
        seats = tuple(dict.fromkeys(self.seats)) or tuple(range(1, players))
        if not seats or max(seats) >= players:
            raise UserError(
                f"expected a focal agent in fewer {entry.rules.places} than the game's {players}, got "
                f"{max(seats, default=0)}; leave one for the background"
            )
        matches = [
            Match(
                tuple(sorted((one,) * count + _company(background, players - count, entry.rules.seed, k))),
                range(k, k + 1),
            )
            for k in range(entry.seeds)
            for count in seats
            for one in focal
        ]
        table = _Table(self, entry, tuple(focal), seats)
        return OneRound(Matches(entry.rules, matches), table.outcome)


def _company(background: Sequence[str], size: int, seed: int, number: int) -> tuple[str, ...]:
    """Draw the background agents of a seed, by its number: each at most once where there are enough of them."""
    key = fold_one(stream(seed, "company"), number)
    drawn = sorted(background, key=lambda agent: uniform_one(fold_one(key, int(agent[:16], 16))))
    return tuple((drawn * -(-size // len(drawn)))[:size])


@dataclass(frozen=True)
class _Table:
    """What focal agents were paid, in all and by the number of seats that they held."""

    config: FocalConfig
    entry: Entry
    focal: tuple[str, ...]
    seats: tuple[int, ...]

    def outcome(self, read: Read) -> Outcome:
        """Return the table: the focal mean, in all and by seats, with 95 % intervals by seed, and normalised."""
        results = read()
        lines = [line for agent in self.focal for line in self._lines(results, agent)]
        normal = self.config.floor is not None
        titles = ["agent", "copies", "focal mean", "±95 %", *(["normalised", "±95 %"] if normal else []), "games"]
        rows = [[str(cell) if isinstance(cell, int | str) else _number(cell) for cell in line] for line in lines]
        names = ("agent", "seats", "mean", "ci95", *(("score", "score_ci95") if normal else ()), "games")
        facts = [
            {n: c if isinstance(c, int | str) or np.isfinite(c) else None for n, c in zip(names, line, strict=True)}
            for line in lines
        ]
        return Outcome("Focal agents, each among agents of the background", None, titles, rows, {"focal": facts})

    def _lines(self, results: Results, agent: str) -> list[list[str | int | float]]:
        if agent not in results.agents:
            return []
        held = results.seats == results.agents.index(agent)  # [G, N]
        mine = held.any(1)
        held, results = held[mine], results.where(mine)
        count = held.sum(1)
        paid = np.divide(np.where(held, results.payoffs, 0.0).sum(1), count)  # NaN where a seat's payoff is not known
        group = np.array([self.seats.index(k) for k in count.tolist()], np.int64)
        every = Means.of(np.zeros(len(paid), np.int64), paid, results.seeds, 1)
        by_count = Means.of(group, paid, results.seeds, len(self.seats))
        lines = [self._line(agent, "all", every, 0)] if len(self.seats) > 1 else []
        return lines + [self._line(agent, str(seats), by_count, k) for k, seats in enumerate(self.seats)]

    def _line(self, agent: str, seats: str, means: Means, k: int) -> list[str | int | float]:
        mean, half = float(means.mean[k]), float(interval(np.nan_to_num(means.error), means.seeds)[k])
        line: list[str | int | float] = [self.entry.names[agent], seats, mean, half]
        if self.config.floor is not None and self.config.ceiling is not None:
            width = self.config.ceiling - self.config.floor
            line += [(mean - self.config.floor) / width, half / width]
        return [*line, int(means.games[k])]


def _number(number: float) -> str:
    return f"{number:.3f}" if np.isfinite(number) else "—"
