"""Leagues that tests make up: tables of scores between agents, and members by short names."""

import numpy as np

from tournaments.populations.league.config import MAIN, LeagueConfig
from tournaments.populations.league.evidence import Evidence, FrozenMember, Learner
from tournaments.ratings.table import Table

LEAGUE = {"method": "league", "game": "openspiel:connect_four", "learner": "ippo", "roles": {"main": 1}}


def table(scores, pairs=10, forfeiters=()):
    """Return a table of a zero-sum game by the scores of some cells: {("a", "b"): 0.7}, or {("a", "b"): (0.7, 20)}."""
    agents = sorted({agent for cell in scores for agent in cell})
    n = len(agents)
    score, count = np.full((n, n), np.nan), np.zeros((n, n), np.int64)
    for (one, other), value in scores.items():
        found, number = value if isinstance(value, tuple) else (value, pairs)
        i, j = agents.index(one), agents.index(other)
        score[i, j], score[j, i], count[i, j], count[j, i] = found, 1 - found, number, number
    played = np.stack([count, count])
    gone = np.array([agent in forfeiters for agent in agents])
    payoff = np.stack([2 * score - 1] * 2)
    return Table(
        agents=tuple(agents),
        payoff=payoff,
        error=np.zeros((2, n, n)),
        games=played,
        forfeits=played * gone[None, :, None],
        score=score,
        pairs=count,
    )


def evidence(scores, outcomes=None, **options):
    return Evidence(table(scores, **options), outcomes or {})


def main(*line, id="main-0", rounds=1):
    return Learner(id, MAIN, line, rounds)


def frozen(digest, role=MAIN, round=1, learner="main-0"):
    return FrozenMember(digest, role, round, learner)


def config(**changes):
    return LeagueConfig.model_validate(LEAGUE | changes)
