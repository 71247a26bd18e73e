"""A fixture: one match to be played, which its contents identify."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from games.contract import Teams
from games.keys import fold_one, stream
from marl.base.digests import digest


@dataclass(frozen=True)
class Fixture:
    """One match to be played: the game's reference, the agents' ids by seat, and the 64-bit seed of its randomness.

    Its first `opening_moves` are drawn at random; after `max_steps` it is cut (None: `marl.rollout.loop.most_steps`).
    """

    game: str
    agents: tuple[str, ...]
    seed: int
    opening_moves: int = 0
    max_steps: int | None = None

    @cached_property
    def id(self) -> str:
        """SHA-256 of the fixture's canonical JSON: sorted keys, no spaces, ASCII; without settings that are not set."""
        fields = {"agents": self.agents, "game": self.game, "seed": self.seed}
        settings = {"opening_moves": self.opening_moves, "max_steps": self.max_steps}
        fields |= {name: value for name, value in settings.items() if value}
        return digest(fields)

    @property
    def pairing(self) -> tuple[str, ...]:
        """The agents in the order of their ids, whatever their seats."""
        return tuple(sorted(self.agents))


Block = list[Fixture]  # fixtures of few agents, which are played one after another


class Tables(Protocol):
    """Fixtures of some tables of agents, each of which plays all of the seeds."""

    game: str

    @property
    def keys(self) -> Sequence[int]:
        """The seeds."""

    def seats(self, table: Sequence[str]) -> bool:
        """Return whether agents sit down so, in the order of their seats."""


def seeds_of(seed: int, numbers: range) -> list[int]:
    """Return the 64-bit seeds of games by their numbers, in a tournament or population of this seed."""
    return [fold_one(stream(seed, "fixtures"), k) for k in numbers]


def rotations(pairing: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the tables at which agents sit in every cyclic rotation of the seats, each table once."""
    return list(dict.fromkeys(pairing[turn:] + pairing[:turn] for turn in range(len(pairing))))


def by_seat(table: Sequence[str], teams: Teams) -> tuple[str, ...]:
    """Return the agents by seat, where each holds all seats of a team; without teams, those of the table."""
    if not teams:
        return tuple(table)
    holder = {seat: agent for agent, team in zip(table, teams, strict=True) for seat in team}
    return tuple(holder[seat] for seat in range(len(holder)))


def by_team(agents: Sequence[str], teams: Teams) -> tuple[str, ...] | None:
    """Return who holds each team, given the agents by seat; None for a mixed team. Without teams, the agents."""
    if any(agents[seat] != agents[team[0]] for team in teams for seat in team):
        return None
    return tuple(agents[team[0]] for team in teams) or tuple(agents)
