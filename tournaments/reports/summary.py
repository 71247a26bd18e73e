"""The facts of a tournament: ratings, payoffs, endings and warnings, as a pure function of the store."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.contract import Payoff, Teams
from games.errors import UserError
from marl.base.intervals import MIN_SEEDS
from tournaments.ratings.by_seed import BySeed
from tournaments.ratings.cross_play import Partnerships, families_of, partnerships
from tournaments.ratings.elo import K, Rating, Ratings, rate, refusal
from tournaments.ratings.matchups import Matchups, matchups
from tournaments.ratings.melo import MOST_AGENTS as MOST_IN_MELO
from tournaments.ratings.melo import HeldOut, held_out, melo
from tournaments.ratings.metagame import MOST_AGENTS, Metagame, incomplete, metagame
from tournaments.ratings.model import Lineage
from tournaments.ratings.payoffs import MeanPayoff, mean_payoffs
from tournaments.ratings.table import of_results
from tournaments.ratings.transitivity import Transitivity, transitivity
from tournaments.records.facts import Facts
from tournaments.records.fixture import by_team
from tournaments.records.played import TERMINATIONS, AgentFailures
from tournaments.records.provenance import Machine, machines
from tournaments.records.results import FORFEITS, Results, compared, offended, places
from tournaments.records.store import Store
from tournaments.reports.agents import About, agents_of
from tournaments.reports.families import lineages

MOST_FAILURES = 8  # agents whose first failure is shown
MOST_CELLS = 20_000_000  # of a table of pairs by seeds: 160 MB
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
    clean: Ratings | None  # without forfeited games; None where there are none, and where nothing else was played
    reason: str | None
    matchups: Matchups | None  # of two-player games without Elo
    endings: list[Endings]
    unplayed: tuple[str, ...]  # agents without a game
    set_aside: tuple[str, ...]  # agents whose games do not count any more: agents held several seats in all of them
    repeated: int  # seatings whose games are the same on every seed
    opening_moves: int = 0  # drawn at random
    failures: Sequence[AgentFailures] = ()  # of agents that forfeited games, if the store has the reason
    without_result: Mapping[str, Mapping[tuple[str, ...], int]] = field(default_factory=dict)  # by termination, seats
    about: Sequence[About] = ()  # the agents, those that have not played among them
    machines: Sequence[Machine] = ()  # on which the games were played
    payoff_rule: Payoff = "zero_sum"
    teams: Teams = ()  # of the game's Spec: the seats of each, all of which an agent held; payoffs are those of teams
    mixed: int = 0  # games that do not count, since members of one team were different agents

    @property
    def sides(self) -> int:
        """How many agents a game has: one for each team, or else for each seat."""
        return len(self.teams) or self.num_players

    @property
    def side(self) -> str:
        """What an agent holds in a game, in a word."""
        return "team" if self.teams else "seat"

    @property
    def title(self) -> str:
        """The game, and the number of its random opening moves."""
        return title(self.game, self.opening_moves)

    @cached_property
    def payoffs(self) -> list[MeanPayoff]:
        """Mean payoffs by agent and seat, the best agent first."""
        return mean_payoffs(self.results)

    @cached_property
    def mean_payoff(self) -> dict[str, MeanPayoff]:
        """Each agent's mean payoff over all seats."""
        return {paid.agent: paid for paid in self.payoffs if paid.seat is None}

    @cached_property
    def without_forfeits(self) -> dict[str, Rating]:
        """The ratings without forfeited games, by agent; empty where there are none."""
        return {rating.agent: rating for rating in self.clean.ratings} if self.clean else {}

    @cached_property
    def wdl(self) -> NDArray[np.int64]:
        """Wins, draws and losses of the row agent against the column agent [n, n, 3], all seatings together."""
        n, place = len(self.agents), {agent: k for k, agent in enumerate(self.agents)}
        seats = np.array([place[a] for a in self.results.agents], np.int64)[self.results.seats]
        outcome = compared(self.results)
        pair = seats[:, :, None] * n + seats[:, None, :]
        known = outcome >= 0
        return np.bincount(pair[known] * 3 + outcome[known], minlength=3 * n * n).reshape(n, n, 3)

    @cached_property
    def tallies(self) -> dict[str, list[int]]:
        """The wins, draws and losses of each rated agent of a two-player game; empty for other games."""
        if self.ratings is None or self.sides != 2:
            return {}
        return dict(zip(self.agents, self.wdl.sum(1).tolist(), strict=True))

    @cached_property
    def transitivity(self) -> Transitivity | None:
        """Whether one strength for each agent explains the results; None without Elo of two players."""
        if self.ratings is None or self.sides != 2 or len(self.agents) < 3 or self._too_large:
            return None
        return transitivity(self.results)

    @cached_property
    def held_out(self) -> HeldOut | None:
        """How well ratings with a cycle predict, beside Elo; None where no cycles mislead."""
        misleads = self.transitivity is not None and self.transitivity.misleading
        return held_out(self.results) if misleads and len(self.agents) <= MOST_IN_MELO else None

    @property
    def refused(self) -> str:
        """Why there is no Elo, and the command that shows what there is, where Elo alone was asked for."""
        return f"{self.reason} `marl tournament report` shows what was paid."

    @cached_property
    def metagame(self) -> Metagame | None:
        """The meta-game of a two-player game; None where there is none, or `no_metagame` says why not."""
        paid, zero_sum = self._paid, self.payoff_rule == "zero_sum"
        if paid is None or self.no_metagame:
            return None
        by_seed = BySeed.of(self.results, paid.unit)
        return metagame(paid, by_seed, self.results.agents, self.agents, zero_sum)

    @cached_property
    def no_metagame(self) -> str | None:
        """Why a two-player game has no meta-game, in a sentence."""
        if self.sides == 2 and self._too_large:
            return f"The meta-game is left out: it is solved for {MOST_AGENTS} agents at most, fewer on many seeds."
        return None if self._paid is None else incomplete(self._paid, self.payoff_rule == "zero_sum")

    @cached_property
    def _paid(self) -> Matchups | None:
        """The payoff table of a two-player game, unless it is too large."""
        if self.sides != 2 or not self.agents or self._too_large:
            return None
        return self.matchups or matchups(self.results)

    @cached_property
    def _too_large(self) -> bool:
        """Whether a table of each pair on each seed takes too much memory."""
        n = len(self.agents)
        return n > MOST_AGENTS or n * n * len(np.unique(self.results.seeds)) > MOST_CELLS

    @cached_property
    def partnerships(self) -> Partnerships | None:
        """Who plays well with whom, in a team game of two players, or where agents differ by training seeds alone."""
        if self.matchups is None or len(self.agents) < 2 or np.isnan(self.matchups.payoff).any():
            return None
        families = families_of([self.references[agent] for agent in self.agents])
        if self.payoff_rule != "team" and len(set(families)) == len(families):
            return None
        return partnerships(of_results(self.results, self.agents), families)

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
            if self.transitivity and self.transitivity.misleading:
                found.append(self.transitivity.sentence + ("" if self.no_metagame else " See the meta-game."))
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
            if self.ratings.lineage and not self.ratings.lineage.chains:
                found.append("No run plays with two checkpoints or more, so --lineage changes nothing.")
            if self.repeated:
                found.append(
                    f"Seatings that repeated one game on every seed, because neither agent plays by chance: "
                    f"{self.repeated}. Each copy counts as a game of its own, so intervals are too short; "
                    "opening_moves makes games differ."
                )
            if partners := self._partners():
                found.append(
                    f"Seats that shared a place in every game, as partners do: {partners}. Agents are rated as if each "
                    "played for itself: by the teams that they were in. With `teams` in the game's Spec they are rated "
                    "as teams."
                )
        if self.matchups and self.matchups.missing:
            found.append(
                f"Pairings without a game, self-play included: {self.matchups.missing}. Payoffs against the pool leave "
                "them out; a round robin of all these agents plays them."
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
        if self.mixed:
            found.append(
                f"Games of mixed teams, whose members were different agents, do not count: {self.mixed}; `marl "
                "tournament credit` says what each member of a team adds."
            )
        if self.set_aside:
            kinds = "with copies of an agent" + (", or of mixed teams" if self.mixed else "")
            found.append(f"Played only games {kinds}, which do not count any more: {listed(self.set_aside)}.")
        return found

    def _partners(self) -> str:
        """Return the seats of more than two players that shared a place in all games; "" where they did not."""
        place, forfeited = places(self.results)
        place = place[~forfeited]
        if place.shape[1] < 3 or len(place) < MIN_SEEDS:
            return ""
        shared = (place[:, :, None] == place[:, None, :]).all(0)
        teams = [np.flatnonzero(row) for row in np.unique(shared, axis=0)[::-1]]
        return listed([" and ".join(map(str, team)) for team in teams if len(team) > 1])

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
        if self.teams:
            facts["teams"] = [list(team) for team in self.teams]
        if self.failures:
            facts["failures"] = [asdict(failure) for failure in self.failures]
        if self.without_result:
            facts["without_result"] = {kind: sum(tables.values()) for kind, tables in self.without_result.items()}
        if self.transitivity:
            facts["transitivity"] = self.transitivity.to_json()
        if self.held_out:
            facts["melo"] = melo(self.results).to_json(self.results.agents) | {"held_out": self.held_out.to_json()}
        if self.metagame:
            facts["metagame"] = self.metagame.to_json()
        if self.partnerships:
            facts["cross_play"] = self.partnerships.to_json()
        if self.ratings:
            facts |= self.ratings.to_json()
            if self.clean:
                facts["without_forfeits"] = self.clean.to_json()
            return facts | ({"payoffs": [vars(payoff) for payoff in self.payoffs]} if self.sides > 2 else {})
        data = facts | {"rating_rule": "payoff", "reason": self.reason}
        data |= {"payoffs": [vars(payoff) for payoff in self.payoffs]}
        return data | ({"matchups": self.matchups.to_json()} if self.matchups else {})


def _described(failures: AgentFailures) -> str:
    """Return a sentence on the first game that an agent forfeited."""
    first = failures.first
    return f"as player {first.player} at step {first.ply} (seed {failures.seed}) it {first.detail}"


def title(game: str, opening_moves: int) -> str:
    """Return a tournament's game, with the number of its random opening moves."""
    return game + (f", {opening_moves} random opening move{'s' * (opening_moves != 1)}" if opening_moves else "")


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return the first `most` names, separated by commas, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def summarize(store: Store, lineage: float | None = None) -> Summary:
    """Rate the games of a store.

    With `lineage`, an sd in Elo, the checkpoints of each run are rated as stages of its training (model.Lineage).
    Match-ups are payoffs per step if the game pays before its end, else per game. Raises UserError if the store is
    damaged, or does not name its game.
    """
    facts = Facts.of(store)
    results, labels = store.results(), store.labels()
    if len(results) and results.seats.shape[1] != facts.sides:
        raise UserError(
            f"expected games of {facts.sides} players, as the Spec in the store '{store.path}' says, "
            f"got games of {results.seats.shape[1]}; run its tournament again"
        )
    results = facts.settled(results)
    without_result = {
        how: {by_team(seats, facts.teams) or seats: count for seats, count in tables.items()}
        for how, tables in store.without_result().items()
    }
    inconclusive = {label for tables in without_result.values() for seats in tables for label in seats}
    counted = frozenset(results.agents)
    uncounted = sorted((label, id) for id, label in labels.items() if label not in counted)
    seated = store.seated() if uncounted else frozenset()
    reason = refusal(facts.sides, facts.payoff)
    if lineage is not None and not (lineage > 0 and np.isfinite(lineage)):
        raise UserError(f"expected an sd of gains in Elo above 0 for --lineage, got {lineage:g}; 50 is one")
    references = {agent: agent for agent in results.agents} | {labels[e.id]: e.reference for e in store.agents()}
    stages = None if lineage is None else Lineage(lineages(references), lineage / K)
    ratings = None if reason else rate(results, lineage=stages)
    finished = results.without_forfeits()
    forfeits = len(finished) < len(results)
    two = reason is not None and facts.sides == 2
    table = matchups(results, "step" if facts.step_rewards else "game") if two else None
    ranked = ratings or table
    agents = ranked.agents if ranked else tuple(p.agent for p in mean_payoffs(results) if p.seat is None)
    return Summary(
        game=facts.game,
        num_players=facts.num_players,
        results=results,
        agents=agents,
        references=references,
        ratings=ratings,
        clean=rate(finished, lineage=stages) if ratings and forfeits and len(finished) else None,
        reason=reason,
        matchups=table,
        endings=_endings(results, agents),
        unplayed=tuple(label for label, id in uncounted if id not in seated),
        set_aside=tuple(label for label, id in uncounted if id in seated and label not in inconclusive),
        repeated=store.repeated(),
        opening_moves=facts.opening_moves,
        failures=store.failures(),
        without_result=without_result,
        about=agents_of(store, agents),
        machines=machines(store),
        payoff_rule=facts.payoff,
        teams=facts.teams,
        mixed=store.mixed(),
    )


def _endings(results: Results, order: Sequence[str]) -> list[Endings]:
    """Count how each agent's games ended; one in which it holds several seats is one game."""
    n, kinds, seats = len(results.agents), len(TERMINATIONS), results.seats
    kind = np.zeros(len(results), np.int64)
    for k, termination in enumerate(TERMINATIONS):
        kind[results.terminations == termination] = k
    first = np.stack([(seats[:, :s] != seats[:, s, None]).all(1) for s in range(seats.shape[1])], 1)  # [G, N]
    ended = np.bincount((seats * kinds + kind[:, None])[first], minlength=n * kinds).reshape(n, kinds).tolist()
    lost, game = offended(results), np.arange(len(results))[:, None]
    broken = np.unique((seats + game * n)[lost]) % max(n, 1)
    forfeited = np.bincount(broken, minlength=n).tolist()
    place = {agent: k for k, agent in enumerate(results.agents)}
    return [Endings(a, dict(zip(TERMINATIONS, ended[place[a]], strict=True)), forfeited[place[a]]) for a in order]
