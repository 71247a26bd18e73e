"""One table of several tournaments: agents that played all of these games, each game a voter (ratings/voting.py).

A game's score of an agent is its mean payoff against the pool of that game's store, from 0, the least of the agents
that are compared, to 1, the most. Intervals are 95 % percentile bootstrap over the seeds of each game.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from games.arrays import Floats, Ints
from games.errors import UserError
from games.keys import fold_one, stream
from games.text import csv_line, markdown_cell, markdown_table
from marl.base.bootstrap import bounds, draws, multiplicities
from marl.base.intervals import MIN_SEEDS
from tournaments.ratings.by_seed import RESAMPLES, BySeed
from tournaments.ratings.voting import levels, maximal_lottery, soft_condorcet, votes
from tournaments.records.facts import Facts
from tournaments.records.results import Results, sum_by
from tournaments.records.store import stored
from tournaments.reports.pairs import written
from tournaments.reports.summary import listed, title

EQUAL = 9  # decimals of scores that are compared
TITLES = ("place", "agent", "score", "SCO", "lottery")


@dataclass(frozen=True)
class Line:
    """An agent of the table; intervals are None with fewer than 10 seeds in a game."""

    agent: str
    place: int  # by lotteries one after another, from 1
    score: float  # the mean of `scores`
    score_interval: tuple[float, float] | None
    sco: float
    sco_interval: tuple[float, float] | None
    lottery: float  # the agent's weight in the maximal lottery
    lottery_interval: tuple[float, float] | None
    scores: tuple[float, ...]  # of each game, 0 to 1
    payoffs: tuple[float, ...]  # of each game, as it pays


@dataclass(frozen=True)
class Across:
    """The table, the best first, and whom it leaves out."""

    games: tuple[str, ...]
    lines: tuple[Line, ...]
    left_out: tuple[str, ...]  # agents that did not play all games
    few_seeds: tuple[str, ...]  # games with fewer than 10 seeds

    @property
    def titles(self) -> list[str]:
        """The titles of `rows`."""
        return [*TITLES, *(f"game {k}" for k in range(1, len(self.games) + 1))]

    @property
    def rows(self) -> list[list[str]]:
        """A row of text for each agent."""
        return [
            [
                str(line.place),
                line.agent,
                _bounded(line.score, line.score_interval),
                _bounded(line.sco, line.sco_interval, 0),
                _bounded(line.lottery, line.lottery_interval, 2),
                *(f"{score:.3f}" for score in line.scores),
            ]
            for line in self.lines
        ]

    @property
    def sentences(self) -> Iterator[str]:
        """What the table says, a sentence each."""
        for k, game in enumerate(self.games, start=1):
            yield f"Game {k} is {game}."
        yield (
            "A score is the mean payoff against a game's pool, from 0, the least of these agents, to 1, the most. Each "
            "game votes for agents by their scores: place is by maximal lotteries one after another (VasE), SCO a "
            "smooth Kemeny rating from 0 to 100."
        )
        if self.few_seeds:
            yield f"No intervals: fewer than {MIN_SEEDS} seeds of {listed(self.few_seeds)}."
        else:
            yield "In brackets: 95 % percentile bootstrap over the seeds of each game."
        if self.left_out:
            yield f"Left out, for they did not play all games: {listed(self.left_out)}."

    def to_json(self) -> dict[str, Any]:
        """Return the table as JSON data."""
        return {
            "games": list(self.games),
            "agents": [vars(line) for line in self.lines],
            "left_out": list(self.left_out),
        }

    def markdown(self) -> str:
        """Return the table as Markdown."""
        table = markdown_table(self.titles, self.rows)
        return "\n".join(["# Across games", "", *table, "", *(f"- {markdown_cell(s)}" for s in self.sentences), ""])

    def csv(self) -> str:
        """Return the table as CSV, with a score and a payoff of each game."""
        ends = ("score", "sco", "lottery")
        columns = [name for end in ends for name in (end, f"{end}_low", f"{end}_high")]
        games = [f"{what}: {game}" for game in self.games for what in ("score", "payoff")]
        lines = [csv_line(["place", "agent", *columns, *games])]
        for line in self.lines:
            numbers = [n for end in ends for n in (getattr(line, end), *(getattr(line, f"{end}_interval") or ("", "")))]
            numbers += [number for pair in zip(line.scores, line.payoffs, strict=True) for number in pair]
            cells = [number if number == "" else f"{number:.6f}" for number in numbers]
            lines.append(csv_line([line.place, line.agent, *cells]))
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, eq=False)
class _Game:
    """A store's payoffs against its pool, by the names of agents in the table."""

    title: str
    agents: tuple[str, ...]  # as the store calls them
    payoff: Mapping[str, float]
    resampled: Mapping[str, Floats]  # [R]
    seeds: int


def across(paths: Sequence[Path], names: Mapping[str, str]) -> Across:
    """Return one table of several stores; `names` says what agents are called here, by what they are called there.

    Agents are matched by these names. Raises UserError for fewer than two stores, one that is given twice or has no
    games, and where fewer than two agents played all games.
    """
    if len(paths) < 2:
        raise UserError(f"expected at least two stores, got {len(paths)}; `marl tournament report` is for one")
    games = [_game(path, names, stream(k, "across")) for k, path in enumerate(paths)]
    seen = [game.title for game in games]
    if twice := sorted({one for one in seen if seen.count(one) > 1}):
        raise UserError(f"expected stores of different games, got '{twice[0]}' twice; a game votes once")
    known = [agent for game in games for agent in game.payoff]
    if missing := sorted(set(names).difference(*(game.agents for game in games))):
        raise UserError(f"expected --name to name an agent that has played, got '{missing[0]}'")
    agents = sorted({agent for agent in known if known.count(agent) == len(games)})
    if len(agents) < 2:
        who = "; ".join(f"{game.title}: {listed(sorted(game.payoff))}" for game in games)
        raise UserError(
            f"expected two agents that played all games, got {listed(agents) or 'none'} of {who}; let the same agents "
            "play, or say by --name AGENT=NAME who is who"
        )
    payoff = np.array([[game.payoff[agent] for agent in agents] for game in games])  # [G, n]
    low, width = payoff.min(1, keepdims=True), np.ptp(payoff, axis=1, keepdims=True)
    drawn = np.stack([[game.resampled[agent] for agent in agents] for game in games], 1)  # [n, G, R]
    found = _solved(_scaled(payoff, low, width))
    few = tuple(game.title for game in games if game.seeds < MIN_SEEDS)
    ends = None
    if not few:
        each = [_solved(_scaled(table, low, width)) for table in drawn.transpose(2, 1, 0)]
        ends = [bounds(np.stack(column)) for column in zip(*each, strict=True)]
    scores = _scaled(payoff, low, width)
    place = levels(votes(scores))

    def interval(which: int, k: int) -> tuple[float, float] | None:
        return None if ends is None else (float(ends[which][0][k]), float(ends[which][1][k]))

    lines = [
        Line(
            agent=agents[k],
            place=int((place < place[k]).sum()) + 1,
            score=float(found[0][k]),
            score_interval=interval(0, k),
            sco=float(found[1][k]),
            sco_interval=interval(1, k),
            lottery=float(found[2][k]),
            lottery_interval=interval(2, k),
            scores=tuple(scores[:, k].tolist()),
            payoffs=tuple(payoff[:, k].tolist()),
        )
        for k in sorted(range(len(agents)), key=lambda k: (place[k], -round(float(found[0][k]), EQUAL), agents[k]))
    ]
    return Across(tuple(seen), tuple(lines), tuple(sorted(set(known) - set(agents))), few)


def _scaled(payoff: Floats, low: Floats, width: Floats) -> Floats:
    """Return payoffs [G, n] as scores, rounded so that equal ones are equal; ½ where all agents earn the same."""
    scaled = np.divide(payoff - low, width, out=np.full(payoff.shape, 0.5), where=width > 0)
    return np.asarray(np.round(scaled, EQUAL))


def _solved(scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Return mean scores, SCO's ratings and the maximal lottery [n] of scores [G, n]."""
    count = votes(scores)
    return scores.mean(0), soft_condorcet(count), maximal_lottery(count)


def _game(path: Path, names: Mapping[str, str], key: int) -> _Game:
    """Read a store."""
    with stored(path) as store:
        facts = Facts.of(store)
        results = store.results()
    if not len(results):
        raise UserError(f"expected a store with games, got '{store.path}' without any; run its tournament")
    results = facts.settled(results)
    called = [names.get(agent, agent) for agent in results.agents]
    if twice := sorted({name for name in called if called.count(name) > 1}):
        raise UserError(f"expected each agent of '{store.path}' to have its own name, got '{twice[0]}' twice")
    if facts.sides == 2:
        by_seed = BySeed.of(results, "step" if facts.step_rewards and facts.payoff != "zero_sum" else "game")
        mean = _row_means(by_seed.payoff)[None]
        drawn = np.stack([_row_means(table) for table in by_seed.resampled(fold_one(key, 0))])
    else:
        mean, drawn = _means(results, key)
    known = ~np.isnan(mean[0])
    resampled = {name: drawn[:, k] for k, name in enumerate(called) if known[k]}
    payoff = {name: float(mean[0, k]) for k, name in enumerate(called) if known[k]}
    seeds = len(np.unique(results.seeds))
    return _Game(title(facts.game, facts.opening_moves), results.agents, payoff, resampled, seeds)


def _row_means(payoff: Floats) -> Floats:
    """Return the mean of each row of a table [n, n] over its known cells [n]; NaN without one."""
    known = ~np.isnan(payoff)
    total, cells = np.where(known, payoff, 0.0).sum(1), known.sum(1)
    return np.asarray(np.divide(total, cells, out=np.full(total.shape, np.nan), where=cells > 0))


def _means(results: Results, key: int) -> tuple[Floats, Floats]:
    """Return mean payoffs over games, of all seeds [1, n] and resampled [R, n]; who is not drawn keeps the former."""
    n = len(results.agents)
    names, seed = np.unique(results.seeds, return_inverse=True)
    place: Ints = (seed[:, None] * n + results.seats).ravel()
    known = ~np.isnan(results.payoffs).ravel()
    paid = sum_by(place[known], results.payoffs.ravel()[known], len(names) * n).reshape(-1, n)
    games = sum_by(place[known], np.ones(int(known.sum())), len(names) * n).reshape(-1, n)
    times = np.concatenate([np.ones((1, len(names))), multiplicities(draws(key, len(names), RESAMPLES))])
    count = times @ games
    found = np.divide(times @ paid, count, out=np.full(count.shape, np.nan), where=count > 0)
    return found[:1], np.where(np.isnan(found[1:]), found[:1], found[1:])


def _bounded(value: float, ends: tuple[float, float] | None, digits: int = 3) -> str:
    if digits == 3:
        low_high = ends and f" ({written(ends[0])} to {written(ends[1])})"
        return f"{written(value)}{low_high or ''}"
    low_high = ends and f" ({ends[0]:.{digits}f} to {ends[1]:.{digits}f})"
    return f"{value:.{digits}f}{low_high or ''}"
