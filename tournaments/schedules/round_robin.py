"""The schedule of a tournament: deterministic, with balanced seats and shared seeds.

A seed is played in every rotation of the seats, and every pairing plays the same seeds (common random numbers). So
seats and chance events favour no agent, and no fixture depends on the other agents: more agents or seeds add fixtures
and change none. One exception: if agents are fewer than players, copies fill the seats; once there are enough agents,
the store keeps those games but does not count them (`Store.results`).

Fixtures are made while they are played: a thousand agents have millions, and the first of them begin at once.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from itertools import chain, combinations, combinations_with_replacement, groupby, product
from typing import Literal

from games.contract import Teams
from games.errors import UserError
from marl.base.schema import Frozen
from tournaments.records.fixture import Block, Fixture, by_team, rotations, seeds_of
from tournaments.records.store import Store
from tournaments.schedules.rounds import SEEDS_AT_A_TIME, Entry, OneRound, Rules


class RoundRobinConfig(Frozen):
    """Every agent against every other: `seeds` for each pairing."""

    kind: Literal["round_robin"] = "round_robin"

    def schedule(self, entry: Entry) -> OneRound:
        """Return the schedule of some agents; raises UserError where it does not fit them."""
        rules = entry.rules
        return OneRound(
            RoundRobin(
                rules.game,
                entry.agents,
                rules.num_players,
                entry.seeds,
                rules.seed,
                self_play=entry.repeats,
                opening_moves=rules.opening_moves,
                max_steps=rules.max_steps,
                teams=rules.teams,
            )
        )


def cell(
    game: str,
    one: str,
    other: str,
    seeds: range,
    seed: int,
    opening_moves: int = 0,
    max_steps: int | None = None,
) -> list[Fixture]:
    """Return the fixtures of two agents on some of the seeds: both seatings, or the one of an agent with itself.

    Those of a round robin with the same `seed` are the same fixtures.
    """
    tables = rotations(tuple(sorted((one, other))))
    return [Fixture(game, table, key, opening_moves, max_steps) for key in seeds_of(seed, seeds) for table in tables]


class RoundRobin:
    """Every pairing of agents on each of `seeds` seeds, in every cyclic rotation of the seats.

    Agents are ordered by id, so that the order of the list does not matter. With `self_play`, or with fewer agents than
    players, an agent may hold several seats of a game; rotations with the same seating are played once. With `teams`,
    all of this is said of teams, whose seats one agent holds. Raises UserError for too few agents, players or seeds,
    and for an agent that is listed twice.
    """

    def __init__(
        self,
        game: str,
        agents: Collection[str],
        num_players: int,
        seeds: int,
        seed: int,
        self_play: bool = False,
        opening_moves: int = 0,
        max_steps: int | None = None,
        teams: Teams = (),
    ) -> None:
        if num_players < 1 or seeds < 1:
            raise UserError(f"expected at least one player and one seed, got {num_players} players and {seeds} seeds")
        sides = len(teams) or num_players
        self.agents = sorted(agents)
        twice = next((one for one, other in zip(self.agents, self.agents[1:], strict=False) if one == other), None)
        if twice is not None:
            raise UserError(f"expected each agent once, got '{twice}' twice; a copy of an agent is the same agent")
        if len(agents) < min(sides, 2):
            raise UserError(f"expected at least {min(sides, 2)} agents, got {len(agents)}; list more agents")
        self.game, self.sides = game, sides
        self.keys = seeds_of(seed, range(seeds))
        self._rules = Rules(game, num_players, seed, opening_moves, max_steps, teams)
        self._repeats = self_play or len(agents) < sides  # whether an agent may hold several sides of a game

    def __len__(self) -> int:
        return len(self.keys) * self._counted(len(self.agents), frozenset())[1]

    def seats(self, table: Sequence[str]) -> bool:
        """Return whether agents sit down so, in the order of their seats."""
        if len(table) != self._rules.num_players or (sides := by_team(table, self._rules.teams)) is None:
            return False
        pairing = tuple(sorted(sides))
        known = self._known.issuperset(pairing)
        return known and (self._repeats or len(set(pairing)) == len(pairing)) and sides in rotations(pairing)

    def stored(self, store: Store, retry_timeouts: bool = False) -> int:
        """Return how many of the games are stored; with `retry_timeouts`, without those of timeouts."""
        return store.played(self, retry_timeouts)

    def blocks(self, size: int, apart: Collection[str] = ()) -> Iterator[Block]:
        """Yield all fixtures in the order in which they are played, in blocks for pieces of `size` (`batches`).

        SEEDS_AT_A_TIME seeds of all pairings come first, then the next ones, so that an interrupted tournament is
        balanced. For these seeds the agents are cut into groups, and a block holds the games of one group against
        another. With g games of each pairing of N players, groups of (size / g)^(1/N) agents fill a piece. Games in
        which agents of `apart` are seated come last, those of each company of them by themselves.
        """
        apart = self._known.intersection(apart)
        for company in self._companies(apart):
            yield from self._blocks_with(company, apart, size)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.agents)

    def _companies(self, apart: frozenset[str]) -> list[frozenset[str]]:
        """Return the sets of agents of `apart` that meet in games: none first, then in the order of first pairings."""
        others = [agent for agent in self.agents if agent not in apart]

        def first_pairing(company: tuple[str, ...]) -> list[str]:
            free = self.sides - len(company)
            if self._repeats:
                return sorted([*company, *[min([*others[:1], *company])] * free])
            return sorted([*company, *others[:free]])

        found = [
            company
            for count in range(1, self.sides + 1)
            for company in combinations(sorted(apart), count)
            if self._counted(len(others), frozenset(company))[0]
        ]
        return [frozenset[str](), *(frozenset(company) for company in sorted(found, key=first_pairing))]

    def _counted(self, others: int, company: frozenset[str]) -> tuple[int, int]:
        """Return how many pairings, and how many tables, seat all of a company, and none but it and so many others."""
        free, few = self.sides - len(company), others + len(company)
        if not self._repeats:
            pairings = math.comb(others, free)
            return pairings, pairings * self.sides
        pairings = math.comb(few + free - 1, free) if few else 0
        alone = (others if not company else int(len(company) == 1)) if self.sides > 1 else 0
        return pairings, (pairings - alone) * self.sides + alone  # alone in all seats, every rotation is the same

    def _blocks_with(self, company: frozenset[str], apart: frozenset[str], size: int) -> Iterator[Block]:
        """Yield the blocks of the games in which those of a company are seated, and nobody else of `apart`."""
        rounds = [self.keys[start : start + SEEDS_AT_A_TIME] for start in range(0, len(self.keys), SEEDS_AT_A_TIME)]
        pairings, tables = self._counted(len(self.agents) - len(apart), company)
        games = tables * len(self.keys) / max(1, pairings * len(rounds))
        width = max(1, int((size / max(1, games)) ** (1 / self.sides)))
        free = len(company) < self.sides
        members = [agent for agent in self.agents if agent in company or (free and agent not in apart)]
        groups = [members[start : start + width] for start in range(0, len(members), width)]
        seated = [members.index(agent) // width for agent in company]
        for keys in rounds:
            for meeting in combinations_with_replacement(range(len(groups)), self.sides):
                if all(meeting.count(k) >= seated.count(k) for k in seated):
                    yield [
                        self._rules.fixture(table, key)
                        for pairing in self._pairings(meeting, groups)
                        if company.issubset(pairing)
                        for turns in [rotations(pairing)]
                        for key in keys
                        for table in turns
                    ]

    def _pairings(self, meeting: Sequence[int], groups: Sequence[Sequence[str]]) -> Iterator[tuple[str, ...]]:
        """Yield the pairings of agents of some groups, one agent for each time that the group's number is given."""
        parts = product(*(self._chosen(groups[k], len(list(same))) for k, same in groupby(meeting)))
        return (tuple(chain.from_iterable(part)) for part in parts)

    def _chosen(self, agents: Sequence[str], count: int) -> Iterator[tuple[str, ...]]:
        """Return the ways to choose so many of some agents, in their order."""
        return combinations_with_replacement(agents, count) if self._repeats else combinations(agents, count)
