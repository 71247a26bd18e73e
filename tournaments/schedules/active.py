"""An active tournament: the next games are those that say most, for the steps they cost, of what is to be known.

Its games are some of those of the round robin with the same `seed`: of each pairing the first seeds, as many as are
worth it. A round adds a tenth to the games so far.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import PositiveFloat, model_validator

from games.arrays import Bools, Floats
from games.errors import UserError
from marl.base.intervals import interval
from marl.base.schema import Frozen, Size
from tournaments.ratings.elo import Ratings, rate
from tournaments.records.results import Results
from tournaments.schedules.information import Information, ring
from tournaments.schedules.rounds import GROWTH, Decisions, Entry, Matches, Outcome, Seeds

FIRST = 2  # seeds of each table of the ring that begins
ERRORS = 0.05  # the chance that the best `top` agents are named wrongly


class ActiveConfig(Frozen):
    """Games until the target is reached, at most `seeds` seeds of each pairing."""

    kind: Literal["active"] = "active"
    ci95: PositiveFloat = 20.0  # Elo: the target, for the interval of every difference, or of `agent`
    top: Size | None = None  # instead: which agents are the best so many; closer ones than ci95 are practically equal
    agent: str | None = None  # instead: the rating of this one of `agents`, relative to the mean
    max_games: Size | None = None

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if self.top is not None and self.agent is not None:
            raise ValueError("expected one target, got top and agent; leave one of them out")
        return self

    def schedule(self, entry: Entry) -> "Active":
        """Return the schedule of some agents; raises UserError where it does not fit them."""
        entry.require_elo(self.kind)
        agents, players = sorted(entry.agents), entry.rules.sides
        if len(agents) < players:
            raise UserError(
                f"expected at least {players} agents for the schedule 'active', got {len(agents)}; list more agents"
            )
        if self.top is not None and self.top >= len(agents):
            raise UserError(f"expected fewer than all {len(agents)} agents as the top, got {self.top}; lower top")
        target: Target = EveryDifference(self.ci95)
        if self.top is not None:
            target = Top(self.top, self.ci95)
        elif self.agent is not None:
            one = self._one(entry)
            target = One(agents.index(one), entry.names[one], self.ci95)
        first = [tuple(agents[k] for k in table) for table in ring(len(agents), players)]
        begin = len(first) * min(FIRST, entry.seeds) * players
        if self.max_games is not None and self.max_games < begin:
            raise UserError(
                f"expected max_games of at least {begin}, with which every agent plays, got {self.max_games}; raise it"
            )
        return Active(entry, target, self.max_games, first)

    def _one(self, entry: Entry) -> str:
        found = entry.find("agent", [self.agent or ""])
        if len(found) != 1:
            raise UserError(f"expected one agent, got '{self.agent}', which stands for {len(found)}; name one of them")
        return found[0]


class Target:
    """What is to be known of the agents, which are numbered in the order of their ids."""

    name: str

    def differences(self, ratings: Ratings, agents: Sequence[str], looks: int) -> Floats:
        """Return the weights of the differences that are not known well enough [n, n]; all 0 when it is reached.

        `looks` counts the rounds: who asks often is wrong more often, unless each answer is surer.
        """
        raise NotImplementedError

    def found(self, ratings: Ratings, agents: Sequence[str], names: Sequence[str]) -> str:
        """Return what is known, as the end of a sentence."""
        raise NotImplementedError


class EveryDifference(Target):
    """The interval of every difference of two ratings."""

    def __init__(self, ci95: float) -> None:
        self._ci95 = ci95
        self.name = f"every difference within ± {ci95:g} Elo"

    def differences(self, ratings: Ratings, agents: Sequence[str], looks: int) -> Floats:
        return _numbered(ratings, agents, _differ(ratings) & (ratings.difference_ci95 > self._ci95)).astype(np.float64)

    def found(self, ratings: Ratings, agents: Sequence[str], names: Sequence[str]) -> str:
        widest = np.where(_differ(ratings), ratings.difference_ci95, 0).max()
        return f"the widest interval is ± {widest:.1f} Elo"


class Top(Target):
    """Which agents are the best `top`: each of them is surely better than each other, or practically equal."""

    def __init__(self, top: int, equal: float) -> None:
        self._top, self._equal = top, equal
        self.name = f"the best {top}, or practically equal ones (± {equal:g} Elo)"

    def differences(self, ratings: Ratings, agents: Sequence[str], looks: int) -> Floats:
        n = len(agents)
        best = np.argsort(np.argsort(-ratings.elo, kind="stable"), kind="stable") < self._top
        across = best[:, None] != best[None, :]
        share = ERRORS * 6 / (np.pi * looks) ** 2 / (self._top * (n - self._top))  # all looks and pairs: ERRORS
        sure = interval(ratings.difference_se, ratings.difference_seeds, share)
        gap = np.abs(ratings.elo[:, None] - ratings.elo[None, :])
        known = (gap > sure) | (gap + sure <= self._equal)
        return _numbered(ratings, agents, across & ~known).astype(np.float64)

    def found(self, ratings: Ratings, agents: Sequence[str], names: Sequence[str]) -> str:
        name = dict(zip(agents, names, strict=True))
        order = sorted(range(len(agents)), key=lambda k: -ratings.elo[k])
        return f"the best {self._top}: {', '.join(name[ratings.agents[k]] for k in order[: self._top])}"


class One(Target):
    """The rating of one agent, relative to the mean."""

    def __init__(self, one: int, name: str, ci95: float) -> None:
        self._one, self._ci95 = one, ci95
        self.name = f"the rating of {name} within ± {ci95:g} Elo"

    def differences(self, ratings: Ratings, agents: Sequence[str], looks: int) -> Floats:
        weights = np.zeros((len(agents), len(agents)))
        if _rating(ratings, agents[self._one])[1] > self._ci95:
            weights[self._one] = weights[:, self._one] = 1.0
            weights[self._one, self._one] = 0.0
        return weights

    def found(self, ratings: Ratings, agents: Sequence[str], names: Sequence[str]) -> str:
        elo, ci95 = _rating(ratings, agents[self._one])
        return f"it is {elo:z.0f} ± {ci95:.1f} Elo"


def _rating(ratings: Ratings, agent: str) -> tuple[float, float]:
    (found,) = (rating for rating in ratings.ratings if rating.agent == agent)
    alone = len(ratings.parts[found.part].ratings) == 1  # of a part of its own, whose mean it is
    return found.elo, np.inf if alone else found.ci95


def _differ(ratings: Ratings) -> Bools:
    return ~np.eye(len(ratings.agents), dtype=bool)


def _numbered(ratings: Ratings, agents: Sequence[str], table: Bools) -> Bools:
    """Return a table [n, n] of the leaderboard's order in the order of agents' numbers."""
    place = {agent: k for k, agent in enumerate(ratings.agents)}
    order = [place[agent] for agent in agents]
    return np.asarray(table[np.ix_(order, order)])


class Active:
    """The rounds of an active tournament.

    `first` are the tables with which it begins. Where `known` results of others are given, only tables at which the
    `newcomer` sits are played.
    """

    exact = False

    def __init__(
        self,
        entry: Entry,
        target: Target,
        max_games: int | None,
        first: Sequence[tuple[str, ...]],
        known: Results | None = None,
        newcomer: str | None = None,
    ) -> None:
        self._entry, self._target, self._first, self._known = entry, target, first, known
        self._agents = sorted(entry.agents)
        self._newcomer = None if newcomer is None else self._agents.index(newcomer)
        players, n = entry.rules.sides, len(self._agents)
        tables = math.comb(n, players) if newcomer is None else math.comb(n - 1, players - 1)
        self.most = tables * players * entry.seeds
        if max_games is not None:
            self.most = min(self.most, max_games)

    def rounds(self) -> Decisions:
        entry, agents, seeds = self._entry, self._agents, Seeds()
        number = {agent: k for k, agent in enumerate(agents)}
        results = None if self._known is None else self._known.among(agents)
        chosen = {tuple(number[agent] for agent in table): min(FIRST, entry.seeds) for table in self._first}
        games, looks = 0, 0
        while True:
            matches = [seeds.next((agents[k] for k in table), count) for table, count in chosen.items()]
            if matches:
                read = yield Matches(entry.rules, matches)
                games += sum(map(len, matches))
                more = read().among(agents)
                results = more if results is None else results.joined(more)
            assert results is not None
            looks += 1
            ratings = rate(results)
            differences = self._target.differences(ratings, agents, looks)
            room = (self.most - games) // entry.rules.sides
            budget = min(room, max(len(agents), games // entry.rules.sides // GROWTH))
            chosen = self._next(ratings, results, seeds, differences, budget) if differences.any() else {}
            if not chosen:
                return self._outcome(ratings, games, reached=not differences.any())

    def _next(
        self, ratings: Ratings, results: Results, seeds: Seeds, differences: Floats, budget: int
    ) -> dict[tuple[int, ...], int]:
        """Return the tables of the next round, and how many seeds each plays."""
        agents, players = self._agents, self._entry.rules.sides
        place = {agent: k for k, agent in enumerate(ratings.agents)}
        information = Information(ratings.elo[[place[agent] for agent in agents]], players)
        information.add(Counter(map(tuple, np.sort(results.seats, 1).tolist())))
        return information.choose(
            differences,
            _mean_lengths(results),
            budget,
            lambda table: self._entry.seeds - seeds.met(agents[k] for k in table),
            self._newcomer,
        )

    def _outcome(self, ratings: Ratings, games: int, reached: bool) -> Outcome:
        names = [self._entry.names[agent] for agent in self._agents]
        found = self._target.found(ratings, self._agents, names)
        if reached:
            text = f"Reached: {self._target.name}; {found} after {games:,} games"
        else:
            text = (
                f"Not reached: {self._target.name}; {found} after {games:,} games, all that 'seeds' and 'max_games' "
                "allow; raise them, or the target"
            )
        return Outcome(text, reached, facts={"target": self._target.name, "found": found, "games": games})


def _mean_lengths(results: Results) -> Floats:
    """Return the mean number of steps of each agent's games [n]: what they cost; of those without games, the mean.

    Steps do not depend on the machine, as seconds do, so the same games are chosen anywhere.
    """
    n, players = len(results.agents), results.seats.shape[1]
    steps = np.ones(len(results)) if results.lengths is None else np.maximum(results.lengths, 1).astype(np.float64)
    games = np.bincount(results.seats.ravel(), minlength=n)
    total = np.bincount(results.seats.ravel(), np.repeat(steps, players), n)
    mean = steps.mean() if len(steps) else 1.0
    return np.asarray(np.where(games > 0, total / np.maximum(games, 1), mean))
