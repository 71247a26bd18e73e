"""The facts of a tournament: ratings, payoffs, endings and warnings, as a pure function of the store."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from games.contract import Payoff
from games.errors import UserError
from marl.base.intervals import MIN_SEEDS
from tournaments.metagame import Matchups, matchups
from tournaments.payoffs import MeanPayoff, mean_payoffs
from tournaments.ratings import Ratings, rate, refusal
from tournaments.results import FORFEITS, Results, offended, outcomes, rounding_of, settle
from tournaments.store import TERMINATIONS, AgentFailures, Store

MOST_FAILURES = 8  # agents whose first failure is shown
_NO_RESULT = {"cut": "cut after max_steps", "no_contest": "no contest"}


@dataclass(frozen=True)
class Endings:
    """How an agent's games ended; `forfeited` is the number of games that it lost by forfeit."""

    agent: str
    counts: dict[str, int]  # by termination
    forfeited: int


@dataclass(frozen=True, eq=False)
class Summary:
    """The contents of a report: `ratings` if the game gets Elo, else the `reason` why not; `payoffs` always."""

    game: str
    num_players: int
    results: Results
    agents: tuple[str, ...]  # in the leaderboard's order
    references: dict[str, str]  # of each agent, by its name
    ratings: Ratings | None
    reason: str | None
    matchups: Matchups | None  # of two-player games without Elo
    payoffs: list[MeanPayoff]
    endings: list[Endings]
    unplayed: tuple[str, ...]  # agents without a game
    set_aside: tuple[str, ...]  # agents whose games do not count any more: agents held several seats in all of them
    repeated: int  # seatings whose games are the same on every seed
    opening_moves: int = 0  # drawn at random
    failures: Sequence[AgentFailures] = ()  # of agents that forfeited games, if the store has the reason
    without_result: Mapping[str, Mapping[tuple[str, ...], int]] = field(default_factory=dict)  # by termination, seats

    @property
    def title(self) -> str:
        """The game, and the number of its random opening moves."""
        return title(self.game, self.opening_moves)

    @cached_property
    def wdl(self) -> NDArray[np.int64]:
        """Wins, draws and losses of the row agent against the column agent [n, n, 3], both seatings together."""
        n, place = len(self.agents), {agent: k for k, agent in enumerate(self.agents)}
        row, column = np.array([place[a] for a in self.results.agents], np.int64)[self.results.seats].T
        outcome = outcomes(self.results)
        there = np.bincount((row * n + column) * 3 + outcome, minlength=3 * n * n)
        back = np.bincount((column * n + row) * 3 + 2 - outcome, minlength=3 * n * n)
        return (there + back).reshape(n, n, 3)

    @cached_property
    def never_finished(self) -> dict[str, str]:
        """A sentence on each agent that forfeited all of its games, by agent: its rating has no other meaning."""
        why = {failures.agent: f"; in the first, {_described(failures)}" for failures in self.failures}
        return {
            e.agent: f"{e.agent} never finished a game: it forfeited {e.forfeited} of {sum(e.counts.values())}"
            f"{why.get(e.agent, '')}."
            for e in self.endings
            if e.forfeited and not any(count for kind, count in e.counts.items() if kind not in FORFEITS)
        }

    @cached_property
    def warnings(self) -> list[str]:
        """Warnings about the numbers, one sentence each."""
        found = []
        if self.ratings:
            parts = self.ratings.parts
            if len(parts) > 1:
                found.append(
                    f"No games connect the {len(parts)} parts, so their ratings cannot be compared; play between them."
                )
            for number, part in enumerate(parts, start=1):
                if part.one_sided:
                    where = f"in part {number} " if len(parts) > 1 else ""
                    found.append(
                        f"Some results {where}are one-sided (all won or all lost), so only the prior limits those "
                        "distances; add opponents in between."
                    )
            weak = [rating.agent for rating in self.ratings.ratings if rating.prior_dominated]
            if weak:
                found.append(f"Ratings that rest on the prior more than on games: {listed(weak)}.")
            found += self._few_seeds(self.ratings)
            if self.repeated:
                found.append(
                    f"Seatings that repeated one game on every seed, because neither agent plays by chance: "
                    f"{self.repeated}. Each copy counts as a game of its own, so intervals are too short; "
                    "opening_moves makes games differ."
                )
        if self.matchups and self.matchups.missing:
            found.append(
                f"Pairings without a game, self-play included: {self.matchups.missing}. Payoffs against the pool leave "
                "them out; run the tournament again to play them."
            )
        within = 0 if self.results.lengths is None else int((self.results.lengths <= self.opening_moves).sum())
        if within:
            found.append(
                f"{within} of {len(self.results)} games ended within their random opening; they count, although no "
                "agent decided anything in them."
            )
        truncated = int((self.results.terminations == "truncated").sum())
        if truncated and (self.ratings or truncated < len(self.results)):  # if all were, the game has no end
            found.append(
                f"{truncated} of {len(self.results)} games were truncated; they count with the payoffs until then."
            )
        guilty = [f"{e.agent} ({e.forfeited})" for e in self.endings if e.forfeited]
        if guilty:
            found.append(f"Games lost by an illegal action or an agent's failure: {listed(guilty)}.")
        failures = [failures for failures in self.failures if failures.agent not in self.never_finished]
        found += [f"The first game that {f.agent} forfeited: {_described(f)}." for f in failures[:MOST_FAILURES]]
        if len(failures) > MOST_FAILURES:
            found.append(f"And {len(failures) - MOST_FAILURES} more agents forfeited games; --json has them all.")
        if any(e.counts["timeout"] for e in self.endings):
            found.append("Some agents took too long; `marl tournament run --retry-timeouts` plays those games again.")
        for termination, tables in self.without_result.items():
            pairs = Counter[str]()
            for seats, count in tables.items():
                pairs[" – ".join(sorted(seats))] += count
            games = listed([f"{agents} ({count})" for agents, count in sorted(pairs.items())])
            found.append(f"Games without a result ({_NO_RESULT[termination]}): {games}.")
        if self.unplayed:
            found.append(f"Not played yet: {listed(self.unplayed)}.")
        if self.set_aside:
            found.append(
                f"Played only games with copies of an agent, which do not count any more: {listed(self.set_aside)}."
            )
        return found

    @staticmethod
    def _few_seeds(ratings: Ratings) -> list[str]:
        """Return warnings on agents without intervals (one seed), and with intervals from few seeds."""
        seeds = dict(zip(ratings.agents, ratings.seeds.tolist(), strict=True))
        one = [rating.agent for rating in ratings.ratings if not np.isfinite(rating.ci95)]
        few = [agent for agent in ratings.agents if seeds[agent] < MIN_SEEDS and agent not in one]
        found = []
        if one:
            found.append(f"No intervals, since one seed shows no spread: {listed(one)}; play more seeds.")
        if few:
            found.append(f"Long intervals, from fewer than {MIN_SEEDS} seeds: {listed(few)}; play more seeds.")
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the ratings, or the payoffs and why there is no Elo, as JSON data."""
        facts: dict[str, Any] = {"game": self.game, "opening_moves": self.opening_moves}
        if self.failures:
            facts["failures"] = [asdict(failure) for failure in self.failures]
        if self.without_result:
            facts["without_result"] = {kind: sum(tables.values()) for kind, tables in self.without_result.items()}
        if self.ratings:
            return facts | self.ratings.to_json()
        data = facts | {"rating_rule": "payoff", "reason": self.reason}
        data |= {"payoffs": [vars(payoff) for payoff in self.payoffs]}
        return data | ({"matchups": self.matchups.to_json()} if self.matchups else {})


def _described(failures: AgentFailures) -> str:
    """Return a sentence on the first game that an agent forfeited."""
    first = failures.first
    return f"as player {first.player} at step {first.ply} (seed {failures.seed}) it {first.detail}"


def title(game: str, opening_moves: int) -> str:
    """Return a tournament's game, with the number of its random opening moves."""
    return game + (f", {opening_moves} random opening moves" if opening_moves else "")


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return the first `most` names, separated by commas, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


class _Facts(BaseModel):
    """The facts of a store that a report needs: its game (a reference), and some fields of the game's Spec."""

    model_config = ConfigDict(strict=True)

    game: str
    num_players: PositiveInt
    payoff: Payoff
    step_rewards: bool = False
    return_bounds: tuple[float, float] | None = None
    opening_moves: NonNegativeInt = 0

    @classmethod
    def of(cls, store: Store) -> "_Facts":
        """Read the facts; raises UserError if they are missing or malformed."""
        spec, own = store.get("spec"), {"game": store.get("game"), "opening_moves": store.get("opening_moves", 0)}
        try:
            return cls.model_validate_json(json.dumps(dict(spec) | own))
        except (TypeError, ValueError) as error:
            raise UserError(
                f"expected a store that says which game it holds, got '{store.path}'; run its tournament again"
            ) from error


def summarize(store: Store) -> Summary:
    """Rate the games of a store.

    Match-ups are payoffs per step if the game pays before its end, else per game. Raises UserError if the store is
    damaged, or does not name its game.
    """
    facts = _Facts.of(store)
    results, labels = store.results(), store.labels()
    if len(results) and results.seats.shape[1] != facts.num_players:
        raise UserError(
            f"expected games of {facts.num_players} players, as the Spec in the store '{store.path}' says, "
            f"got games of {results.seats.shape[1]}; run its tournament again"
        )
    bounds = facts.return_bounds
    if bounds is None:
        results = settle(results, facts.payoff == "zero_sum")
    results = replace(results, rounding=rounding_of(results, bounds and max(map(abs, bounds))))
    seated, without_result = store.seated(), store.without_result()
    inconclusive = {label for tables in without_result.values() for seats in tables for label in seats}
    uncounted = sorted((label, id) for id, label in labels.items() if label not in results.agents)
    reason = refusal(facts.num_players, facts.payoff)
    ratings = None if reason else rate(results)
    two = reason is not None and facts.num_players == 2
    table = matchups(results, "step" if facts.step_rewards else "game") if two else None
    payoffs = mean_payoffs(results)
    ranked = ratings or table
    agents = ranked.agents if ranked else tuple(p.agent for p in payoffs if p.seat is None)
    return Summary(
        game=facts.game,
        num_players=facts.num_players,
        results=results,
        agents=agents,
        references={agent: agent for agent in agents} | {labels[e.id]: e.reference for e in store.agents()},
        ratings=ratings,
        reason=reason,
        matchups=table,
        payoffs=payoffs,
        endings=_endings(results, agents),
        unplayed=tuple(label for label, id in uncounted if id not in seated),
        set_aside=tuple(label for label, id in uncounted if id in seated and label not in inconclusive),
        repeated=store.repeated(),
        opening_moves=facts.opening_moves,
        failures=store.failures(),
        without_result=without_result,
    )


def _endings(results: Results, order: Sequence[str]) -> list[Endings]:
    lost = offended(results)
    found = []
    for agent in order:
        mine = results.seats == results.agents.index(agent)  # [G, N]
        ended = results.terminations[mine.any(1)]
        counts = {kind: int((ended == kind).sum()) for kind in TERMINATIONS}
        found.append(Endings(agent, counts, int((mine & lost).any(1).sum())))
    return found
